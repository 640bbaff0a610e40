"""The role matrix: for each role what it may see and do, with a caller for whom it works beside one for whom not."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from paasd.actions import (
    apps,
    builds,
    domains,
    droplets,
    environment,
    manifests,
    organizations,
    packages,
    processes,
    roles,
    routes,
    spaces,
    users,
)
from paasd.actions.visibility import PRESENT, SCOPES, need_visible, visible
from paasd.auth import Caller
from paasd.errors import Forbidden, NotFound, Unprocessable
from paasd.model import App, AuditEvent, Domain, Droplet, Organization, Process, Role, Route, Space, User
from tests.actions.world import World, chunks

EVERY_ROLE = (
    "organization_user",
    "organization_manager",
    "organization_auditor",
    "organization_billing_manager",
    "space_developer",
    "space_manager",
    "space_auditor",
    "space_supporter",
)
DEVELOPER = {"space_developer"}
OPERATORS = {"space_developer", "space_supporter"}
SPACE_MEMBERS = {"space_developer", "space_manager", "space_auditor", "space_supporter", "organization_manager"}
MANAGERS = {"organization_manager"}
SPACE_MANAGERS = {"organization_manager", "space_manager"}


class Scene:
    """An app with a droplet, a route and ids of everything, for one caller."""

    def __init__(
        self, world: World, caller: Caller, app: App, droplet: Droplet, process: Process, route: Route
    ) -> None:
        self.world, self.context, self.caller = world, world.context, caller
        self.app, self.droplet, self.process, self.route = app, droplet, process, route
        self.unique = f"x{world.users}"


async def scene(world: World, caller: Caller) -> Scene:
    app = await world.app()
    droplet = await world.staged(app)
    with world.context.database.read() as tx:
        process = tx.all(Process, app_guid=app.guid)[0]
        domain = tx.find(Domain, name="apps.localhost")
    assert domain is not None
    route = await routes.create(
        world.context, world.admin, space_guid=world.space.guid, domain_guid=domain.guid, host=f"r{world.users}"
    )
    await apps.set_current_droplet(world.context, world.admin, app.guid, droplet.guid)
    return Scene(world, caller, app, droplet, process, route)


Act = Callable[[Scene], Awaitable[Any]]


async def _read_env(s: Scene) -> Any:
    return await environment.read_environment(s.context, s.caller, s.app.guid)


async def _upload_droplet(s: Scene) -> Any:
    droplet = await droplets.create(s.context, s.world.admin, app_guid=s.app.guid)
    return await droplets.upload(s.context, s.caller, droplet.guid, chunks(b"bits"))


ACTS: dict[str, tuple[set[str], Act]] = {
    "create an app": (DEVELOPER, lambda s: apps.create(s.context, s.caller, name="n", space_guid=s.world.space.guid)),
    "rename an app": (DEVELOPER, lambda s: apps.update(s.context, s.caller, s.app.guid, name="new")),
    "delete an app": (DEVELOPER, lambda s: apps.delete(s.context, s.caller, s.app.guid)),
    "start an app": (OPERATORS, lambda s: apps.start(s.context, s.caller, s.app.guid)),
    "stop an app": (OPERATORS, lambda s: apps.stop(s.context, s.caller, s.app.guid)),
    "restart an app": (OPERATORS, lambda s: apps.restart(s.context, s.caller, s.app.guid)),
    "set the droplet": (
        OPERATORS,
        lambda s: apps.set_current_droplet(s.context, s.caller, s.app.guid, s.droplet.guid),
    ),
    "scale a process": (OPERATORS, lambda s: processes.scale(s.context, s.caller, s.process.guid, instances=2)),
    "change a process": (OPERATORS, lambda s: processes.update(s.context, s.caller, s.process.guid, command="x")),
    "read the environment": (OPERATORS, _read_env),
    "change the environment": (
        OPERATORS,
        lambda s: environment.update_environment(s.context, s.caller, s.app.guid, {"A": "b"}),
    ),
    "create a package": (DEVELOPER, lambda s: packages.create(s.context, s.caller, app_guid=s.app.guid)),
    "create a build": (
        OPERATORS,
        lambda s: builds.create(s.context, s.caller, package_guid=s.droplet.package_guid or ""),
    ),
    "create a droplet": (DEVELOPER, lambda s: droplets.create(s.context, s.caller, app_guid=s.app.guid)),
    "upload a droplet": (DEVELOPER, _upload_droplet),
    "download a droplet": (DEVELOPER, lambda s: droplets.download(s.context, s.caller, s.droplet.guid)),
    "apply a manifest": (
        DEVELOPER,
        lambda s: manifests.apply(s.context, s.caller, s.world.space.guid, "applications: [{name: m}]"),
    ),
    "create a route": (
        OPERATORS,
        lambda s: routes.create(
            s.context, s.caller, space_guid=s.world.space.guid, domain_guid=s.route.domain_guid, host=s.unique
        ),
    ),
    "delete a route": (OPERATORS, lambda s: routes.delete(s.context, s.caller, s.route.guid)),
    "rename a space": (SPACE_MANAGERS, lambda s: spaces.update(s.context, s.caller, s.world.space.guid, name="x")),
    "delete a space": (MANAGERS, lambda s: spaces.delete(s.context, s.caller, s.world.space.guid)),
    "create a space": (
        MANAGERS,
        lambda s: spaces.create(s.context, s.caller, name="x", organization_guid=s.world.organization.guid),
    ),
    "create a private domain": (
        MANAGERS,
        lambda s: domains.create(
            s.context, s.caller, name=f"{s.unique}.example.org", organization_guid=s.world.organization.guid
        ),
    ),
    "create a shared domain": (set(), lambda s: domains.create(s.context, s.caller, name=f"{s.unique}.example.org")),
    "rename the organization": (
        MANAGERS,
        lambda s: organizations.update(s.context, s.caller, s.world.organization.guid, name=s.unique),
    ),
    "suspend the organization": (
        set(),
        lambda s: organizations.update(s.context, s.caller, s.world.organization.guid, suspended=True),
    ),
    "delete the organization": (
        set(),
        lambda s: organizations.delete(s.context, s.caller, s.world.organization.guid),
    ),
    "create an organization": (set(), lambda s: organizations.create(s.context, s.caller, name=s.unique)),
    "create an account": (set(), lambda s: users.create_account(s.context, s.caller, username=s.unique)),
    "grant a space role": (
        SPACE_MANAGERS,
        lambda s: roles.create(
            s.context, s.caller, type="space_auditor", user_guid=s.caller.user_guid, space_guid=s.world.space.guid
        ),
    ),
    "grant an organization role": (
        MANAGERS,
        lambda s: roles.create(
            s.context,
            s.caller,
            type="organization_billing_manager",
            user_guid=s.caller.user_guid,
            organization_guid=s.world.organization.guid,
        ),
    ),
}


@pytest.mark.parametrize("name", sorted(ACTS))
async def test_an_act_works_for_its_roles_and_for_no_other(name: str, world: World) -> None:
    allowed, act = ACTS[name]
    found: dict[str, str] = {}
    for role in EVERY_ROLE:
        caller = await world.user(role)
        made = await scene(world, caller)
        try:
            await act(made)
            found[role] = "done"
        except Forbidden:
            found[role] = "forbidden"
        except NotFound:
            found[role] = "not found"
        except Unprocessable as error:
            # What one may not see is told as an invalid reference where it is named in the body.
            found[role] = "not found" if "access" in error.detail else f"refused: {error.detail}"
        await next_place(world)
    assert {role for role, result in found.items() if result == "done"} == allowed
    assert {found[role] for role in EVERY_ROLE if role not in allowed} <= {"forbidden", "not found"}


async def next_place(world: World) -> None:
    """Another organization and space, so that the next caller finds the same names free."""
    name = f"org-{world.users}"
    world.organization = await organizations.create(world.context, world.admin, name=name)
    world.space = await spaces.create(world.context, world.admin, name="dev", organization_guid=world.organization.guid)


@pytest.mark.parametrize("role", EVERY_ROLE)
async def test_what_a_role_sees(role: str, world: World) -> None:
    caller = await world.user(role)
    made = await scene(world, caller)
    with world.context.database.read() as tx:
        sees = {
            record.__name__: tx.exists(record, *visible(tx, caller, record), guid=guid)
            for record, guid in (
                (Organization, world.organization.guid),
                (Space, world.space.guid),
                (App, made.app.guid),
                (Process, made.process.guid),
                (Droplet, made.droplet.guid),
                (Route, made.route.guid),
                (Domain, made.route.domain_guid),
            )
        }
    member = role in SPACE_MEMBERS
    assert sees == {
        "Organization": True,
        "Space": member,
        "App": member,
        "Process": member,
        "Droplet": member,
        "Route": member or role == "organization_auditor",
        "Domain": True,
    }


async def test_a_stranger_sees_nothing_of_another_tenant(world: World) -> None:
    other = await world.other_space()
    stranger = await world.user("space_developer", "organization_manager", space=other)
    made = await scene(world, stranger)
    with world.context.database.read() as tx:
        for record, guid in ((App, made.app.guid), (Space, world.space.guid), (Route, made.route.guid)):
            with pytest.raises(NotFound):
                need_visible(tx, stranger, record, guid)
        assert [one.guid for one in tx.all(Space, *visible(tx, stranger, Space))] == [other.guid]
        assert {one.user_guid for one in tx.all(Role, *visible(tx, stranger, Role))} == {stranger.user_guid}
        assert [one.guid for one in tx.all(User, *visible(tx, stranger, User))] == [stranger.user_guid]
        events = tx.all(AuditEvent, *visible(tx, stranger, AuditEvent))
        assert {event.organization_guid for event in events} <= {other.organization_guid}
        assert tx.exists(AuditEvent, space_guid=world.space.guid)
    with pytest.raises(NotFound):
        await apps.stop(world.context, stranger, made.app.guid)
    with pytest.raises(Unprocessable, match="Invalid space"):
        await apps.create(world.context, stranger, name="x", space_guid=world.space.guid)


async def test_a_suspended_organization_can_be_seen_and_changed_by_administrators_only(world: World) -> None:
    developer = await world.user("space_developer")
    made = await scene(world, developer)
    await organizations.update(world.context, world.admin, world.organization.guid, suspended=True)
    with pytest.raises(Forbidden, match="suspended"):
        await apps.stop(world.context, developer, made.app.guid)
    assert processes.find(world.context, developer, made.app.guid, "web").guid == made.process.guid
    await apps.stop(world.context, world.admin, made.app.guid)


def test_every_record_that_is_hidden_while_deleted_is_scoped_too() -> None:
    assert PRESENT.keys() <= SCOPES.keys()
