"""Arguments of the operations on users, roles and invitations."""

from typing import Any

from paasd.model import (
    Role,
    accounts,
    invitations,
    leaving,
    platform_roles,
    roles,
    users,
)
from paasd.model.arguments import SYSTEM
from tests.model.cases.register import case
from tests.model.seeding import Seed


@case(users.create_user)
async def _(seed: Seed) -> Any:
    return users.CreateUser(username="ann", actor=SYSTEM)


@case(users.update_user)
async def _(seed: Seed) -> Any:
    return users.UpdateUser(user_guid=(await seed.user()).guid, email="a@example.org", actor=SYSTEM)


@case(accounts.change_account)
async def _(seed: Seed) -> Any:
    user = await seed.user()
    return accounts.ChangeAccount(user_guid=user.guid, version=0, username="bob", active=False, actor=SYSTEM)


@case(users.set_password)
async def _(seed: Seed) -> Any:
    return users.SetPassword(user_guid=(await seed.user()).guid, password_hash="hash", actor=SYSTEM)


@case(users.delete_user)
@case(users.forget_roles)
async def _(seed: Seed) -> Any:
    role = await _role(seed)
    return users.DeleteUser(user_guid=role.user_guid, actor=SYSTEM)


@case(leaving.take_rights)
async def _(seed: Seed) -> Any:
    return leaving.TakeRights(user_guid=(await _role(seed)).user_guid, tokens=True, actor=SYSTEM)


async def _role(seed: Seed) -> Role:
    organization, _, _ = await seed.place()
    user = await seed.user()
    wanted = roles.CreateRole(
        type="organization_user", user_guid=user.guid, organization_guid=organization.guid, actor=SYSTEM
    )
    return await seed.database.write(roles.create_role, wanted)


@case(roles.create_role)
async def _(seed: Seed) -> Any:
    organization, _, _ = await seed.place()
    user = await seed.user()
    return roles.CreateRole(
        type="organization_manager", user_guid=user.guid, organization_guid=organization.guid, actor=SYSTEM
    )


SECRET = "secret"


async def _invitation(seed: Seed) -> invitations.CreateInvitation:
    organization, space, _ = await seed.place()
    return invitations.CreateInvitation(
        organization_guid=organization.guid,
        address="ann@example.org",
        secret_hash=SECRET,
        organization_roles=["organization_auditor"],
        space_roles={space.guid: ["space_developer"]},
        expires_at=2**40,
        by_platform=True,
        actor=SYSTEM,
    )


async def _invited(seed: Seed) -> str:
    return (await seed.database.write(invitations.create_invitation, await _invitation(seed))).guid


@case(invitations.create_invitation)
async def _(seed: Seed) -> Any:
    return await _invitation(seed)


@case(invitations.revoke_invitation)
async def _(seed: Seed) -> Any:
    return invitations.ChangeInvitation(invitation_guid=await _invited(seed), actor=SYSTEM)


@case(invitations.note_sent)
async def _(seed: Seed) -> Any:
    return invitations.NoteSent(invitation_guid=await _invited(seed))


@case(invitations.accept_invitation)
async def _(seed: Seed) -> Any:
    await _invited(seed)
    return invitations.AcceptInvitation(secret_hash=SECRET, username="ann@example.org", password_hash="hash")


@case(roles.delete_role)
async def _(seed: Seed) -> Any:
    return roles.DeleteRole(role_guid=(await _role(seed)).guid, actor=SYSTEM)


@case(users.note_sign_in)
async def _(seed: Seed) -> Any:
    return users.NoteSignIn(user_guid=(await seed.user()).guid, address="192.0.2.1")


@case(platform_roles.change_platform_role)
async def _(seed: Seed) -> Any:
    return platform_roles.ChangePlatformRole(
        user_guid=(await seed.user()).guid, scope=platform_roles.PLATFORM_ROLES[0], held=True, actor=SYSTEM
    )


@case(users.sign_out)
async def _(seed: Seed) -> Any:
    return users.EndSessions(user_guid=(await seed.user()).guid, actor=SYSTEM)
