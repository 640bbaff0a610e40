"""Roles: who may do what where. The types are Cloud Foundry's."""

from typing import Any, Final

from paasd.errors import NotFound, Unprocessable
from paasd.model.arguments import Actor, Arguments
from paasd.model.events import record_event
from paasd.model.last_holders import check_not_last
from paasd.model.records import Organization, Role, Space, User
from paasd.state import Eq, Not, ReadTx, Tx, operation

ORGANIZATION_ROLES: Final = (
    "organization_user",
    "organization_manager",
    "organization_auditor",
    "organization_billing_manager",
)
SPACE_ROLES: Final = ("space_developer", "space_manager", "space_auditor", "space_supporter")
NOT_OF_ORGANIZATION: Final = (
    "Users cannot be assigned roles in a space if they do not have a role in that space's organization."
)


class CreateRole(Arguments):
    """Arguments of `create_role`; exactly one of the two places. `invited_by` names whose offer the user accepts."""

    type: str
    user_guid: str
    organization_guid: str | None = None
    space_guid: str | None = None
    invited_by: str = ""
    actor: Actor


@operation("role.create", version=1)
def create_role(tx: Tx, args: CreateRole) -> Role:
    """Raises Unprocessable for a role that is there already or that does not fit its place."""
    user = tx.get(User, args.user_guid)
    if user is None or user.origin == "deploy-token":  # whose one role is what it was made with
        raise Unprocessable("Invalid user. Ensure that the user exists and you have access to it.")
    if args.type not in ORGANIZATION_ROLES + SPACE_ROLES:
        raise Unprocessable(f"type must be one of the allowed types {', '.join(ORGANIZATION_ROLES + SPACE_ROLES)}")
    if not user.registered:
        user = tx.update(user, registered=True)
    create = _create_organization_role if args.type in ORGANIZATION_ROLES else _create_space_role
    return create(tx, args, user)


def _create_organization_role(tx: Tx, args: CreateRole, user: User) -> Role:
    organization = None if args.organization_guid is None else tx.get(Organization, args.organization_guid)
    if organization is None or organization.deleting:
        raise Unprocessable("Invalid organization. Ensure that the organization exists and you have access to it.")
    if tx.exists(Role, type=args.type, user_guid=user.guid, organization_guid=organization.guid):
        raise Unprocessable(
            f"User '{user.username}' already has '{args.type}' role in organization '{organization.name}'."
        )
    role = tx.insert(Role(type=args.type, user_guid=user.guid, organization_guid=organization.guid))
    _event(tx, "add", args.actor, role, user, None, organization.guid, invited_by=args.invited_by)
    return role


def _create_space_role(tx: Tx, args: CreateRole, user: User) -> Role:
    space = None if args.space_guid is None else tx.get(Space, args.space_guid)
    if space is None or space.deleting:
        raise Unprocessable("Invalid space. Ensure that the space exists and you have access to it.")
    if not tx.exists(Role, user_guid=user.guid, organization_guid=space.organization_guid):
        raise Unprocessable(NOT_OF_ORGANIZATION)
    if tx.exists(Role, type=args.type, user_guid=user.guid, space_guid=space.guid):
        raise Unprocessable(f"User '{user.username}' already has '{args.type}' role in space '{space.name}'.")
    role = tx.insert(Role(type=args.type, user_guid=user.guid, space_guid=space.guid))
    _event(tx, "add", args.actor, role, user, space.guid, space.organization_guid, invited_by=args.invited_by)
    return role


class DeleteRole(Arguments):
    """Arguments of `delete_role`; `strictly` and `origins` as `check_not_last` has them."""

    role_guid: str
    strictly: bool = False
    origins: list[str] | None = None
    actor: Actor


@operation("role.delete", version=1)
def delete_role(tx: Tx, args: DeleteRole) -> None:
    """Raises NotFound, or Unprocessable when space roles still stand on this organization role."""
    role = tx.need(Role, args.role_guid)
    user = tx.get(User, role.user_guid)
    if user is None:
        raise NotFound("User")
    organization_guid = role.organization_guid
    if organization_guid is not None and (role.type == "organization_user" or _is_only(tx, role)):
        _check_no_space_roles(tx, user, role.type, organization_guid)
    check_not_last(tx, role, strictly=args.strictly, origins=args.origins)
    end_role(tx, args.actor, role, user)


def end_roles(tx: Tx, actor: Actor, because: str, limit: int | None = None, **place: Any) -> int:
    """Up to `limit` roles of a user or a place, each with its event in the organization; how many there were."""
    roles = tx.all(Role, limit=limit, **place)
    for role in roles:
        user = tx.get(User, role.user_guid)
        if user is None:
            tx.delete(role)
        else:
            end_role(tx, actor, role, user, because)
    return len(roles)


def end_role(tx: Tx, actor: Actor, role: Role, user: User, because: str = "") -> None:
    """Delete the row, with its event; `because` is why, when nobody asked for just this."""
    organization_guid = role.organization_guid
    if role.space_guid is not None:
        organization_guid = tx.need(Space, role.space_guid).organization_guid
    tx.delete(role)
    _event(tx, "remove", actor, role, user, role.space_guid, organization_guid, because=because)


def _is_only(tx: ReadTx, role: Role) -> bool:
    """Whether the person would be left without any role in the organization."""
    others = Not(Eq("guid", role.guid))
    return not tx.exists(Role, others, user_guid=role.user_guid, organization_guid=role.organization_guid)


def _check_no_space_roles(tx: Tx, user: User, role_type: str, organization_guid: str) -> None:
    for space in tx.all(Space, organization_guid=organization_guid):
        if tx.exists(Role, user_guid=user.guid, space_guid=space.guid):
            raise Unprocessable(f"Cannot delete {role_type} role while user has roles in spaces in that organization.")


def _event(
    tx: Tx,
    verb: str,
    actor: Actor,
    role: Role,
    user: User,
    space_guid: str | None,
    organization_guid: str | None,
    **more: str,
) -> None:
    """`more` are further data; empty ones are left out."""
    record_event(
        tx,
        f"audit.user.{role.type}_{verb}",
        actor,
        target_type="user",
        target_guid=user.guid,
        target_name=user.username,
        space_guid=space_guid,
        organization_guid=organization_guid,
        data={name: value for name, value in more.items() if value} or None,
    )
