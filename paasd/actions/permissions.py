"""Who may do what: the role matrix as data. Roles are Cloud Foundry's; platform administrators may do everything.

`SIGHT` says who sees what, `MATRIX` who may do what with what they see. docs/roles.md shows both; a test compares.
"""

from enum import Enum
from typing import Final

from paasd.auth import ADMIN_READ_ONLY, Caller
from paasd.errors import Forbidden, OrganizationSuspended
from paasd.model import Organization, Role, Space
from paasd.model.roles import ORGANIZATION_ROLES, SPACE_ROLES
from paasd.state import ReadTx

ORGANIZATION_MANAGER: Final = "organization_manager"
ORGANIZATION_AUDITOR: Final = "organization_auditor"
AUDITOR: Final = "space_auditor"
DEVELOPER: Final = "space_developer"
SUPPORTER: Final = "space_supporter"
MANAGER: Final = "space_manager"


class Permission(Enum):
    """What a role allows beyond seeing."""

    WRITE_SPACE = "change apps, routes and services of a space"
    OPERATE_APPS = "start, stop, build, scale, configure and route what is there"
    READ_ENVIRONMENT = "read environment variables"
    READ_SECRETS = "read start commands, manifests, uploaded bits and variables of revisions"
    UPDATE_SPACE = "rename a space, grant roles in it"
    MANAGE_ORGANIZATION = "create spaces and private domains, grant roles"

    @property
    def space_roles(self) -> frozenset[str]:
        """Roles in the space that have the permission."""
        return MATRIX[self][0]

    @property
    def organization_roles(self) -> frozenset[str]:
        """Roles in the organization that have the permission."""
        return MATRIX[self][1]


MATRIX: Final[dict[Permission, tuple[frozenset[str], frozenset[str]]]] = {
    Permission.WRITE_SPACE: (frozenset({DEVELOPER}), frozenset()),
    Permission.OPERATE_APPS: (frozenset({DEVELOPER, SUPPORTER}), frozenset()),
    Permission.READ_ENVIRONMENT: (frozenset({DEVELOPER, SUPPORTER}), frozenset()),
    Permission.READ_SECRETS: (frozenset({DEVELOPER}), frozenset()),
    Permission.UPDATE_SPACE: (frozenset({MANAGER}), frozenset({ORGANIZATION_MANAGER})),
    Permission.MANAGE_ORGANIZATION: (frozenset(), frozenset({ORGANIZATION_MANAGER})),
}

# What is seen, by the roles in its space and in its organization through which it is.
SIGHT: Final[dict[str, tuple[frozenset[str], frozenset[str]]]] = {
    "organization": (frozenset(SPACE_ROLES), frozenset(ORGANIZATION_ROLES)),
    "space": (frozenset(SPACE_ROLES), frozenset({ORGANIZATION_MANAGER})),
    "app": (frozenset(SPACE_ROLES), frozenset({ORGANIZATION_MANAGER})),
    "route": (frozenset(SPACE_ROLES), frozenset({ORGANIZATION_MANAGER, ORGANIZATION_AUDITOR})),
    "private domain": (frozenset(SPACE_ROLES), frozenset({ORGANIZATION_MANAGER, ORGANIZATION_AUDITOR})),
    "role in the organization": (frozenset(SPACE_ROLES), frozenset(ORGANIZATION_ROLES)),
    "role in a space": (frozenset(SPACE_ROLES), frozenset({ORGANIZATION_MANAGER})),
    "audit event": (
        frozenset({AUDITOR, DEVELOPER, SUPPORTER}),
        frozenset({ORGANIZATION_MANAGER, ORGANIZATION_AUDITOR}),
    ),
}

READS: Final = frozenset({Permission.READ_ENVIRONMENT, Permission.READ_SECRETS})
CHANGES: Final = frozenset(Permission) - READS
NOT_ALLOWED: Final = "You are not authorized to perform the requested action"
SUSPENDED: Final = "The organization is suspended"


def allowed_in_space(tx: ReadTx, caller: Caller, space: Space, permission: Permission) -> bool:
    """Whether a role of the caller in the space or its organization has the permission."""
    if permission in READS and ADMIN_READ_ONLY in caller.scopes:
        return True
    if caller.admin:
        return True
    if space.organization_guid in caller.hidden_organizations:
        return False
    held = {role.type for role in tx.all(Role, user_guid=caller.user_guid, space_guid=space.guid)}
    if held & permission.space_roles:
        return True
    return allowed_in_organization(tx, caller, space.organization_guid, permission)


def allowed_in_organization(tx: ReadTx, caller: Caller, organization_guid: str, permission: Permission) -> bool:
    """Whether a role of the caller in the organization has the permission."""
    if caller.admin:
        return True
    if not permission.organization_roles or organization_guid in caller.hidden_organizations:
        return False
    held = tx.all(Role, user_guid=caller.user_guid, organization_guid=organization_guid)
    return any(role.type in permission.organization_roles for role in held)


def authorise_in_space(tx: ReadTx, caller: Caller, space: Space, permission: Permission) -> None:
    """Raise Forbidden unless the caller has the permission in the space, and the organization is not suspended."""
    if not allowed_in_space(tx, caller, space, permission):
        raise Forbidden(NOT_ALLOWED)
    if permission in CHANGES:
        check_not_suspended(tx, caller, space.organization_guid)


def authorise_in_organization(tx: ReadTx, caller: Caller, organization_guid: str, permission: Permission) -> None:
    """Raise Forbidden unless the caller has the permission in the organization and it is not suspended."""
    if not allowed_in_organization(tx, caller, organization_guid, permission):
        raise Forbidden(NOT_ALLOWED)
    if permission in CHANGES:
        check_not_suspended(tx, caller, organization_guid)


def authorise_admin(caller: Caller) -> None:
    """Raise Forbidden for anybody but a platform administrator."""
    if not caller.admin:
        raise Forbidden(NOT_ALLOWED)


def authorise_to_read_all(caller: Caller) -> None:
    """Raise Forbidden for who does not see the whole platform."""
    if not caller.sees_everything:
        raise Forbidden(NOT_ALLOWED)


def check_not_suspended(tx: ReadTx, caller: Caller, organization_guid: str) -> None:
    """Raise OrganizationSuspended in one that is, for anybody but an administrator. Whoever asks for a permission that
    changes something has asked this, too.
    """
    organization = tx.get(Organization, organization_guid)
    if organization is not None and organization.suspended and not caller.admin:
        raise OrganizationSuspended(SUSPENDED)
