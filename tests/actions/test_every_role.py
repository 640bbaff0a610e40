"""What the role matrix says is seen, act by act who only reads the platform, and what suspension leaves.

tests/tenancy/test_roles.py does likewise over HTTP, and compares docs/roles.md.
"""

import msgspec
import pytest

from paasd.actions import domains, organizations
from paasd.actions.permissions import SIGHT
from paasd.actions.visibility import visible
from paasd.auth import ADMIN_READ_ONLY, GLOBAL_AUDITOR
from paasd.errors import Forbidden, OrganizationSuspended
from paasd.model import App, AuditEvent, Domain, Organization, Role, Route, Space
from paasd.state import Record
from tests.actions.test_roles import ACTS, EVERY_ROLE, scene
from tests.actions.world import World

READING = {"read the environment", "download a droplet"}
OF_ADMINISTRATORS = {name for name, (allowed, _act) in ACTS.items() if not allowed}


async def test_every_role_sees_what_the_matrix_says_and_no_more(world: World) -> None:
    made = await scene(world, world.admin)
    other = await world.user("organization_auditor", "space_auditor")
    own = await domains.create(
        world.context, world.admin, name="own.example.org", organization_guid=world.organization.guid
    )
    with world.context.database.read() as tx:
        held = {role.type: role.guid for role in tx.all(Role, user_guid=other.user_guid)}
        event = tx.all(AuditEvent, space_guid=world.space.guid)[0]
    things: dict[str, tuple[type[Record], str]] = {
        "organization": (Organization, world.organization.guid),
        "space": (Space, world.space.guid),
        "app": (App, made.app.guid),
        "route": (Route, made.route.guid),
        "private domain": (Domain, own.guid),
        "role in the organization": (Role, held["organization_auditor"]),
        "role in a space": (Role, held["space_auditor"]),
        "audit event": (AuditEvent, event.guid),
    }
    assert things.keys() == SIGHT.keys()
    for role in EVERY_ROLE:
        caller = await world.user(role)
        roles = {role, "organization_user"} if role.startswith("space_") else {role}
        with world.context.database.read() as tx:
            sees = {what: tx.exists(kind, *visible(tx, caller, kind), guid=g) for what, (kind, g) in things.items()}
        said = {what: bool(roles & (by_space | by_organization)) for what, (by_space, by_organization) in SIGHT.items()}
        assert sees == said, role


@pytest.mark.parametrize(("scope", "allowed"), [(ADMIN_READ_ONLY, READING), (GLOBAL_AUDITOR, set[str]())])
async def test_who_only_reads_the_whole_platform_sees_all_of_it_and_changes_nothing(
    scope: str, allowed: set[str], world: World
) -> None:
    plain = await world.user()
    caller = msgspec.structs.replace(plain, scopes=(*plain.scopes, scope))
    made = await scene(world, caller)
    with world.context.database.read() as tx:
        assert tx.exists(App, *visible(tx, caller, App), guid=made.app.guid)
        assert not tx.exists(App, *visible(tx, plain, App), guid=made.app.guid)
    for name, (_roles, act) in ACTS.items():
        if name in allowed:
            await act(made)
            continue
        with pytest.raises(Forbidden):
            await act(made)
            pytest.fail(f"{name} was done")


async def test_nobody_but_an_administrator_changes_anything_in_a_suspended_organization(world: World) -> None:
    owner = await world.user(*EVERY_ROLE)
    made = await scene(world, owner)
    await organizations.update(world.context, world.admin, world.organization.guid, suspended=True)
    for name, (_roles, act) in ACTS.items():
        if name in READING:
            await act(made)
            continue
        with pytest.raises(Forbidden if name in OF_ADMINISTRATORS else OrganizationSuspended):
            await act(made)
            pytest.fail(f"{name} was done")
