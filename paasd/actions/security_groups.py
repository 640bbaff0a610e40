"""Security groups: administrators make them, managers of a space or its organization decide if they count there."""

from collections.abc import Sequence
from typing import Any

from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import Permission, authorise_admin, authorise_in_space
from paasd.actions.visibility import need_visible, visible
from paasd.auth import Caller
from paasd.errors import Unprocessable
from paasd.model import Job, SecurityGroup, Space
from paasd.model import security_groups as model
from paasd.model.records.network import Phase
from paasd.state import In, ReadTx


async def create(
    context: Context,
    caller: Caller,
    *,
    name: str,
    rules: list[dict[str, Any]],
    running_default: bool = False,
    staging_default: bool = False,
    running_spaces: Sequence[str] = (),
    staging_spaces: Sequence[str] = (),
) -> SecurityGroup:
    """Raises Forbidden, Unprocessable."""
    authorise_admin(caller)
    arguments = model.CreateSecurityGroup(
        name=name,
        rules=rules,
        running_default=running_default,
        staging_default=staging_default,
        running_spaces=list(running_spaces),
        staging_spaces=list(staging_spaces),
        actor=actor_of(caller),
    )
    return await context.database.write(model.create_security_group, arguments)


async def update(
    context: Context,
    caller: Caller,
    guid: str,
    *,
    name: str | None = None,
    rules: list[dict[str, Any]] | None = None,
    running_default: bool | None = None,
    staging_default: bool | None = None,
) -> SecurityGroup:
    """Raises NotFound, Forbidden, Unprocessable."""
    with context.database.read() as tx:
        need_visible(tx, caller, SecurityGroup, guid)
    authorise_admin(caller)
    arguments = model.UpdateSecurityGroup(
        security_group_guid=guid,
        name=name,
        rules=rules,
        running_default=running_default,
        staging_default=staging_default,
        actor=actor_of(caller),
    )
    return await context.database.write(model.update_security_group, arguments)


async def delete(context: Context, caller: Caller, guid: str) -> Job:
    """The job is complete when this returns. Raises NotFound, Forbidden."""
    with context.database.read() as tx:
        need_visible(tx, caller, SecurityGroup, guid)
    authorise_admin(caller)
    arguments = model.DeleteSecurityGroup(security_group_guid=guid, actor=actor_of(caller))
    return await context.database.write(model.delete_security_group, arguments)


async def bind(context: Context, caller: Caller, guid: str, phase: Phase, space_guids: Sequence[str]) -> None:
    """Raises NotFound for the group, Unprocessable for spaces that the caller cannot see, Forbidden."""
    with context.database.read() as tx:
        need_visible(tx, caller, SecurityGroup, guid)
        found = _seen(tx, caller, space_guids)
        if unseen := [space_guid for space_guid in dict.fromkeys(space_guids) if space_guid not in found]:
            raise Unprocessable(model.inaccessible_text(unseen))
        for space in found.values():
            authorise_in_space(tx, caller, space, Permission.UPDATE_SPACE)
    arguments = model.BindSecurityGroup(
        security_group_guid=guid, phase=phase, space_guids=list(space_guids), actor=actor_of(caller)
    )
    await context.database.write(model.bind_security_group, arguments)


async def unbind(context: Context, caller: Caller, guid: str, phase: Phase, space_guid: str) -> None:
    """Raises NotFound for the group, Unprocessable for a space that cannot be seen or is not bound, Forbidden."""
    with context.database.read() as tx:
        need_visible(tx, caller, SecurityGroup, guid)
        space = _seen(tx, caller, [space_guid]).get(space_guid)
        if space is None:
            raise Unprocessable(model.unbound_text(space_guid))
        authorise_in_space(tx, caller, space, Permission.UPDATE_SPACE)
    arguments = model.UnbindSecurityGroup(
        security_group_guid=guid, phase=phase, space_guid=space_guid, actor=actor_of(caller)
    )
    await context.database.write(model.unbind_security_group, arguments)


def _seen(tx: ReadTx, caller: Caller, guids: Sequence[str]) -> dict[str, Space]:
    return {space.guid: space for space in tx.all(Space, In("guid", guids), *visible(tx, caller, Space))}
