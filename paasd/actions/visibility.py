"""The one place that says what a caller may see: a condition per record, used by every list and every look-up.

What one may not see is NotFound. Things that are being deleted are seen by nobody.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from paasd.actions.hiding import counting_roles, holder_of
from paasd.actions.permissions import SIGHT, Permission, allowed_in_space, authorise_in_space
from paasd.auth import Caller
from paasd.errors import NotFound, Unprocessable
from paasd.model import (
    App,
    AppUsageEvent,
    AuditEvent,
    Build,
    Buildpack,
    Destination,
    Domain,
    DomainShare,
    Droplet,
    Instance,
    Job,
    Node,
    Organization,
    OrganizationQuota,
    Package,
    Process,
    Revision,
    Role,
    Route,
    SecurityGroup,
    SecurityGroupSpace,
    Sidecar,
    Space,
    SpaceQuota,
    Task,
    User,
)
from paasd.state import And, Condition, Eq, In, InSelect, IsNull, Not, Or, ReadTx, Record, table_of

R = TypeVar("R", bound=Record)
Scope = Callable[[str], Condition]

EVERYTHING: Final[Condition] = And()
NOTHING: Final[Condition] = Or()


def visible(tx: ReadTx, caller: Caller, record: type[Record]) -> tuple[Condition, ...]:
    """Conditions that leave only the rows of `record` that the caller may see."""
    present = PRESENT.get(record, ())
    if caller.sees_everything:
        return (_known_users(caller.user_guid),) if record is User else present
    return (*present, SCOPES[record](holder_of(caller)))


def need_visible(tx: ReadTx, caller: Caller, record: type[R], guid: str) -> R:
    """The row, if the caller may see it. Raises NotFound."""
    found = tx.find(record, *visible(tx, caller, record), guid=guid)
    if found is None:
        raise NotFound(table_of(record).label)
    return found


@contextmanager
def or_unprocessable(text: str) -> Iterator[None]:
    """What a body names and cannot be seen makes the body wrong, in these words: Unprocessable instead of NotFound."""
    try:
        yield
    except NotFound as error:
        raise Unprocessable(text) from error


def need_app(tx: ReadTx, caller: Caller, app_guid: str, permission: Permission | None = None) -> App:
    """An app that the caller may see and, with a permission, act on. Raises NotFound, Forbidden."""
    app = need_visible(tx, caller, App, app_guid)
    if permission is not None:
        authorise_in_space(tx, caller, tx.need(Space, app.space_guid), permission)
    return app


def need_of_app(
    tx: ReadTx,
    caller: Caller,
    record: type[R],
    guid: str,
    permission: Permission | None = None,
) -> R:
    """A part of an app (process, package, build, droplet, sidecar) likewise. Raises NotFound, Forbidden."""
    found = need_visible(tx, caller, record, guid)
    if permission is not None:
        need_app(tx, caller, found.app_guid, permission)  # type: ignore[attr-defined]
    return found


def may_read_secrets(tx: ReadTx, caller: Caller, app_guid: str) -> bool:
    """Whether who sees an app may read its start commands, too."""
    space = tx.need(Space, tx.need(App, app_guid).space_guid)
    return allowed_in_space(tx, caller, space, Permission.READ_SECRETS)


def need_space(tx: ReadTx, caller: Caller, space_guid: str, permission: Permission | None = None) -> Space:
    """A space that the caller may see and, with a permission, act in. Raises NotFound, Forbidden."""
    space = need_visible(tx, caller, Space, space_guid)
    if permission is not None:
        authorise_in_space(tx, caller, space, permission)
    return space


def need_route(tx: ReadTx, caller: Caller, route_guid: str, permission: Permission | None = None) -> Route:
    """A route likewise. Raises NotFound, Forbidden."""
    route = need_visible(tx, caller, Route, route_guid)
    if permission is not None:
        authorise_in_space(tx, caller, tx.need(Space, route.space_guid), permission)
    return route


def _of(user: str, types: tuple[str, ...]) -> tuple[Condition, ...]:
    return (Eq("user_guid", user), In("type", types), *counting_roles(user))


def _sees(user: str, what: str, space: str = "space_guid") -> Condition:
    """Rows whose space, in the column of that name, or organization gives the user sight of them (`SIGHT`)."""
    by_space, by_organization = SIGHT[what]
    return Or(
        InSelect(space, Role, "space_guid", *_of(user, tuple(by_space))),
        _in_organizations("organization_guid", user, *by_organization),
    )


def _organizations(user: str) -> Condition:
    by_space, by_organization = SIGHT["organization"]
    through_space = InSelect("guid", Role, "space_guid", *_of(user, tuple(by_space)))
    return Or(
        _in_organizations("guid", user, *by_organization),
        InSelect("guid", Space, "organization_guid", through_space),
    )


def _in_organizations(column: str, user: str, *types: str) -> Condition:
    return InSelect(column, Role, "organization_guid", *_of(user, types))


def _spaces(user: str) -> Condition:
    return _sees(user, "space", "guid")


def _in_spaces(user: str) -> Condition:
    return InSelect("space_guid", Space, "guid", *PRESENT[Space], _spaces(user))


def _in_apps(user: str) -> Condition:
    return InSelect("app_guid", App, "guid", _in_spaces(user))


def _routes(user: str) -> Condition:
    return InSelect("space_guid", Space, "guid", *PRESENT[Space], _sees(user, "route", "guid"))


def _domains(user: str) -> Condition:
    mine = Or(
        _in_organizations("organization_guid", user, *SIGHT["private domain"][1]),
        InSelect("organization_guid", Space, "organization_guid", _spaces(user)),
    )
    return Or(IsNull("organization_guid"), mine, InSelect("guid", DomainShare, "domain_guid", mine))


def _roles(user: str) -> Condition:
    return Or(
        Eq("user_guid", user),
        InSelect("organization_guid", Organization, "guid", _organizations(user)),
        _in_spaces(user),
    )


def _users(user: str) -> Condition:
    return Or(Eq("guid", user), InSelect("guid", Role, "user_guid", _roles(user)))


def _known_users(user: str) -> Condition:
    """Not those who have an account alone: Cloud Controller has not been told of them, or has forgotten them since."""
    return Or(Eq("registered", True), Eq("guid", user), InSelect("guid", Role, "user_guid"))


def _security_groups(user: str) -> Condition:
    bound = InSelect("guid", SecurityGroupSpace, "security_group_guid", _in_spaces(user))
    return Or(Eq("running_default", True), Eq("staging_default", True), bound)


def _events(user: str) -> Condition:
    return _sees(user, "audit event")


def _jobs(user: str) -> Condition:
    """Who started a job may watch it, and who may see what it is about."""
    about = [
        And(Eq("resource_type", label), InSelect("resource_guid", record, "guid", scope(user)))
        for label, record, scope in (
            ("organization", Organization, _organizations),
            ("space", Space, _spaces),
            ("app", App, _in_spaces),
            ("domain", Domain, _domains),
            ("droplet", Droplet, _in_apps),
        )
    ]
    return Or(Eq("user_guid", user), *about)


def _organization_quotas(user: str) -> Condition:
    """Only those that apply to an organization that one sees: their names may tell who else is a tenant."""
    return InSelect("guid", Organization, "quota_guid", *PRESENT[Organization], _organizations(user))


def _space_quotas(user: str) -> Condition:
    applied = InSelect("guid", Space, "quota_guid", *PRESENT[Space], Not(IsNull("quota_guid")), _spaces(user))
    return Or(applied, _in_organizations("organization_guid", user, "organization_manager"))


_NOT_DELETING: Final[tuple[Condition, ...]] = (Eq("deleting", False),)
_LIVE_SPACE: Final[Condition] = InSelect("space_guid", Space, "guid", *_NOT_DELETING)
_LIVE_APP: Final[Condition] = InSelect("app_guid", App, "guid", *_NOT_DELETING, _LIVE_SPACE)

PRESENT: Final[dict[type[Record], tuple[Condition, ...]]] = {
    Organization: _NOT_DELETING,
    Space: _NOT_DELETING,
    App: (*_NOT_DELETING, _LIVE_SPACE),
    Process: (_LIVE_APP,),
    Sidecar: (_LIVE_APP,),
    Revision: (_LIVE_APP,),
    Package: (_LIVE_APP,),
    Build: (_LIVE_APP,),
    Droplet: (_LIVE_APP,),
    Instance: (_LIVE_APP,),
    Task: (_LIVE_APP,),
    Destination: (_LIVE_APP,),
    Domain: _NOT_DELETING,
    Route: (_LIVE_SPACE, InSelect("domain_guid", Domain, "guid", *_NOT_DELETING)),
}

SCOPES: Final[dict[type[Record], Scope]] = {
    Organization: _organizations,
    Space: _spaces,
    User: _users,
    Role: _roles,
    App: _in_spaces,
    Process: _in_apps,
    Sidecar: _in_apps,
    Revision: _in_apps,
    Package: _in_apps,
    Build: _in_apps,
    Droplet: _in_apps,
    Instance: _in_apps,
    Task: _in_apps,
    Destination: _in_apps,
    Domain: _domains,
    Route: _routes,
    SecurityGroup: _security_groups,
    AuditEvent: _events,
    Job: _jobs,
    Buildpack: lambda _user: EVERYTHING,
    Node: lambda _user: NOTHING,
    AppUsageEvent: lambda _user: NOTHING,
    OrganizationQuota: _organization_quotas,
    SpaceQuota: _space_quotas,
}
