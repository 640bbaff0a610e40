"""Rows of sign-in: what goes with what, what is bounded, and what is written once."""

from paasd.model import (
    DeployToken,
    ExternalIdentity,
    FactorDemand,
    Organization,
    Passcode,
    Role,
    SecondFactor,
    User,
    deploy_tokens,
    identities,
    passcodes,
    second_factors,
)
from paasd.model.arguments import SYSTEM, Actor
from paasd.model.deletion import DeleteChunk, delete_chunk
from paasd.model.organizations import DeleteOrganization, begin_delete_organization
from paasd.model.users import DeleteUser, delete_user
from tests.model.seeding import Seed

ROOT = Actor(guid="root", type="client", name="root")
FAR = 4_000_000_000


def token(guid: str, organization: Organization, **more: object) -> deploy_tokens.CreateDeployToken:
    fields = {"name": guid, "role": "organization_auditor", "expires_at": FAR, **more}
    return deploy_tokens.CreateDeployToken(
        guid=guid, secret_hash="h", organization_guid=organization.guid, actor=ROOT, **fields
    )


async def test_a_user_takes_every_way_in_along(seed: Seed) -> None:
    user = await seed.database.write(
        identities.sign_in_externally, identities.SignInExternally(origin="corp", subject="s", username="ann")
    )
    enrolled = second_factors.EnrolFactor(user_guid=user.guid, sealed_secret="x", actor=SYSTEM)
    await seed.database.write(second_factors.enrol_factor, enrolled)
    code = passcodes.CreatePasscode(code_hash="c", user_guid=user.guid, expires_at=FAR)
    await seed.database.write(passcodes.create_passcode, code)
    await seed.database.write(delete_user, DeleteUser(user_guid=user.guid, actor=SYSTEM))
    with seed.database.read() as tx:
        assert [tx.count(kind) for kind in (User, ExternalIdentity, SecondFactor, Passcode)] == [0, 0, 0, 0]
    # The same person comes again: a new account, and nothing of the old one.
    again = await seed.database.write(
        identities.sign_in_externally, identities.SignInExternally(origin="corp", subject="s", username="ann")
    )
    assert again.guid != user.guid


async def test_an_organization_takes_its_tokens_and_its_demand_along(seed: Seed) -> None:
    organization, space, _ = await seed.place()
    for number in range(3):
        await seed.database.write(deploy_tokens.create_deploy_token, token(f"t{number}", organization))
    in_space = token("s", organization, role="space_developer", space_guid=space.guid)
    await seed.database.write(deploy_tokens.create_deploy_token, in_space)
    demand = second_factors.DemandFactor(organization_guid=organization.guid, demanded=True, actor=SYSTEM)
    assert await seed.database.write(second_factors.demand_factor, demand)
    assert not await seed.database.write(second_factors.demand_factor, demand), "it is demanded already"
    request = DeleteOrganization(organization_guid=organization.guid, actor=SYSTEM)
    await seed.database.write(begin_delete_organization, request)
    await seed.database.write(delete_chunk, DeleteChunk(kind="organization", guid=organization.guid))
    assert await seed.database.write(delete_chunk, DeleteChunk(kind="space", guid=space.guid))
    for _ in range(3):
        gone = await seed.database.write(delete_chunk, DeleteChunk(kind="organization", guid=organization.guid))
    assert gone
    with seed.database.read() as tx:
        assert [tx.count(kind) for kind in (DeployToken, FactorDemand, User, Role)] == [0, 0, 0, 0]


async def test_a_person_has_a_few_codes_open_and_those_that_expired_are_forgotten(seed: Seed) -> None:
    user = await seed.user()
    for number in range(passcodes.OPEN_LIMIT + 3):
        made = passcodes.CreatePasscode(code_hash=f"c{number}", user_guid=user.guid, expires_at=FAR + number)
        await seed.database.write(passcodes.create_passcode, made)
    old = passcodes.CreatePasscode(code_hash="old", user_guid=(await seed.user("bob")).guid, expires_at=1)
    await seed.database.write(passcodes.create_passcode, old)
    with seed.database.read() as tx:
        kept = {one.code_hash for one in tx.all(Passcode, user_guid=user.guid)}
    assert kept == {f"c{number}" for number in range(3, passcodes.OPEN_LIMIT + 3)}
    another = passcodes.CreatePasscode(code_hash="new", user_guid=user.guid, expires_at=FAR)
    await seed.database.write(passcodes.create_passcode, another)
    with seed.database.read() as tx:
        assert tx.get(Passcode, "old") is None
    assert await seed.database.write(passcodes.use_passcode, passcodes.UsePasscode(code_hash="old")) is None


async def test_a_token_that_expired_long_ago_is_forgotten_when_another_is_made(seed: Seed) -> None:
    organization, _, _ = await seed.place()
    await seed.database.write(deploy_tokens.create_deploy_token, token("old", organization, expires_at=1))
    await seed.database.write(deploy_tokens.create_deploy_token, token("new", organization))
    with seed.database.read() as tx:
        assert [one.guid for one in tx.all(DeployToken)] == ["new"]
        assert [one.guid for one in tx.all(User)] == ["new"]
    for day, written in (("2026-01-31", True), ("2026-01-31", False), ("2026-01-30", False), ("2026-02-01", True)):
        note = deploy_tokens.NoteDeployTokenUse(guid="new", day=day)
        assert await seed.database.write(deploy_tokens.note_deploy_token_use, note) is written
