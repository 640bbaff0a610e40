"""Which roles stand on which others."""

from paasd.model import (
    Role,
    roles,
)
from paasd.model.arguments import SYSTEM
from tests.model.refusing import refused
from tests.model.seeding import Seed


async def test_roles_stand_on_each_other(seed: Seed) -> None:
    organization, space, _ = await seed.place()
    user = await seed.user()
    in_space = roles.CreateRole(type="space_developer", user_guid=user.guid, space_guid=space.guid, actor=SYSTEM)
    assert "do not have a role in that space's organization" in await refused(seed, roles.create_role, in_space)
    member = roles.CreateRole(
        type="organization_user", user_guid=user.guid, organization_guid=organization.guid, actor=SYSTEM
    )
    role = await seed.database.write(roles.create_role, member)
    await seed.database.write(roles.create_role, in_space)
    assert (
        await refused(seed, roles.create_role, in_space)
        == "User 'ann' already has 'space_developer' role in space 'dev'."
    )
    assert (
        await refused(seed, roles.create_role, member)
        == "User 'ann' already has 'organization_user' role in organization 'main'."
    )
    text = await refused(seed, roles.delete_role, roles.DeleteRole(role_guid=role.guid, actor=SYSTEM))
    assert "Cannot delete organization_user role" in text
    with seed.database.read() as tx:
        assert tx.count(Role, user_guid=user.guid) == 2


async def test_who_has_roles_in_spaces_keeps_some_role_in_their_organization(seed: Seed) -> None:
    organization, space, _ = await seed.place()
    user = await seed.user()
    made = {}
    for kind in ("organization_auditor", "organization_billing_manager"):
        wanted = roles.CreateRole(type=kind, user_guid=user.guid, organization_guid=organization.guid, actor=SYSTEM)
        made[kind] = (await seed.database.write(roles.create_role, wanted)).guid
    in_space = roles.CreateRole(type="space_developer", user_guid=user.guid, space_guid=space.guid, actor=SYSTEM)
    made["space_developer"] = (await seed.database.write(roles.create_role, in_space)).guid

    def taking(kind: str) -> roles.DeleteRole:
        return roles.DeleteRole(role_guid=made[kind], actor=SYSTEM)

    await seed.database.write(roles.delete_role, taking("organization_billing_manager"))
    text = await refused(seed, roles.delete_role, taking("organization_auditor"))
    assert "Cannot delete organization_auditor role while user has roles in spaces" in text
    await seed.database.write(roles.delete_role, taking("space_developer"))
    await seed.database.write(roles.delete_role, taking("organization_auditor"))
    with seed.database.read() as tx:
        assert tx.count(Role, user_guid=user.guid) == 0
