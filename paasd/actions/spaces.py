"""Spaces: made and taken away by organization managers, renamed by space managers too."""

from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import Permission, authorise_in_organization
from paasd.actions.visibility import need_space, need_visible, or_unprocessable
from paasd.auth import Caller
from paasd.model import Job, Organization, Space
from paasd.model import spaces as model
from paasd.model.arguments import Metadata
from paasd.model.naming import check_name


async def create(
    context: Context, caller: Caller, *, name: str, organization_guid: str, metadata: Metadata | None = None
) -> Space:
    """Raises Unprocessable when the organization cannot be seen or the name is taken in it, Forbidden."""
    with context.database.read() as tx:
        with or_unprocessable("Invalid organization. Ensure the organization exists and you have access to it."):
            need_visible(tx, caller, Organization, organization_guid)
        authorise_in_organization(tx, caller, organization_guid, Permission.MANAGE_ORGANIZATION)
    check_name(name)
    arguments = model.CreateSpace(
        name=name, organization_guid=organization_guid, metadata=metadata, actor=actor_of(caller)
    )
    return await context.database.write(model.create_space, arguments)


async def update(
    context: Context,
    caller: Caller,
    space_guid: str,
    *,
    name: str | None = None,
    allow_ssh: bool | None = None,
    metadata: Metadata | None = None,
) -> Space:
    """Raises NotFound, Forbidden, Unprocessable when the name is taken."""
    with context.database.read() as tx:
        former = need_space(tx, caller, space_guid, Permission.UPDATE_SPACE)
    if name not in (None, former.name):
        check_name(name)
    arguments = model.UpdateSpace(
        space_guid=space_guid, name=name, allow_ssh=allow_ssh, metadata=metadata, actor=actor_of(caller)
    )
    return await context.database.write(model.update_space, arguments)


async def delete(context: Context, caller: Caller, space_guid: str) -> Job:
    """Organization managers; everything inside goes too."""
    with context.database.read() as tx:
        space = need_space(tx, caller, space_guid)
        authorise_in_organization(tx, caller, space.organization_guid, Permission.MANAGE_ORGANIZATION)
    arguments = model.DeleteSpace(space_guid=space_guid, actor=actor_of(caller))
    return await context.database.write(model.begin_delete_space, arguments)
