"""Roles: granted by managers of the organization or the space."""

from paasd.actions import flags
from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import Permission, authorise_in_organization, authorise_in_space
from paasd.actions.visibility import need_space, need_visible, or_unprocessable, visible
from paasd.auth import Caller
from paasd.errors import NotFound, Unprocessable
from paasd.model import Organization, Role, Space, User
from paasd.model import roles as model
from paasd.model.roles import NOT_OF_ORGANIZATION
from paasd.model.users import find_user
from paasd.state import Eq, ReadTx


async def create(
    context: Context,
    caller: Caller,
    *,
    type: str,
    user_guid: str | None = None,
    username: str | None = None,
    origin: str | None = None,
    organization_guid: str | None = None,
    space_guid: str | None = None,
) -> Role:
    """The user by guid, or by name and origin. Raises Unprocessable, Forbidden."""
    with context.database.read() as tx:
        _authorise(tx, caller, organization_guid, space_guid)
        if user_guid is None:
            flags.require(tx, caller, "set_roles_by_username")
            try:
                user_guid = _named(tx, caller, username or "", origin, space_guid).guid
            except NotFound as error:
                raise Unprocessable(error.detail) from error
        elif not caller.sees_everything and tx.find(User, *visible(tx, caller, User), guid=user_guid) is None:
            raise Unprocessable("Invalid user. Ensure that the user exists and you have access to it.")
    arguments = model.CreateRole(
        type=type,
        user_guid=user_guid,
        organization_guid=organization_guid,
        space_guid=space_guid,
        actor=actor_of(caller),
    )
    return await context.database.write(model.create_role, arguments)


def _named(tx: ReadTx, caller: Caller, username: str, origin: str | None, space_guid: str | None) -> User:
    """In an organization anybody by name; in a space those who are known, and of others not even that they exist."""
    if space_guid is None or caller.sees_everything:
        return find_user(tx, username, origin)
    of_origin = () if origin is None else (Eq("origin", origin),)
    known = tx.all(User, *visible(tx, caller, User), *of_origin, username=username)
    if not known:
        raise Unprocessable(NOT_OF_ORGANIZATION)
    return known[0] if len(known) == 1 else find_user(tx, username, origin)


def _authorise(tx: ReadTx, caller: Caller, organization_guid: str | None, space_guid: str | None) -> None:
    if space_guid is not None:
        with or_unprocessable("Invalid space. Ensure that the space exists and you have access to it."):
            space = need_space(tx, caller, space_guid)
        authorise_in_space(tx, caller, space, Permission.UPDATE_SPACE)
        return
    with or_unprocessable("Invalid organization. Ensure that the organization exists and you have access to it."):
        need_visible(tx, caller, Organization, organization_guid or "")
    authorise_in_organization(tx, caller, organization_guid or "", Permission.MANAGE_ORGANIZATION)


async def delete(context: Context, caller: Caller, role_guid: str) -> None:
    """Raises NotFound, Forbidden, Unprocessable."""
    with context.database.read() as tx:
        role = need_visible(tx, caller, Role, role_guid)
        if role.space_guid is not None:
            authorise_in_space(tx, caller, tx.need(Space, role.space_guid), Permission.UPDATE_SPACE)
        else:
            authorise_in_organization(tx, caller, role.organization_guid or "", Permission.MANAGE_ORGANIZATION)
    origins = context.config.auth.origins
    arguments = model.DeleteRole(role_guid=role_guid, strictly=True, origins=origins, actor=actor_of(caller))
    await context.database.write(model.delete_role, arguments)
