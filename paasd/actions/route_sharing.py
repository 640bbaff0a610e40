"""Routes of several spaces, where the platform allows it: for those who may change apps in both."""

from collections.abc import Sequence

from paasd.actions import flags
from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import Permission, allowed_in_space
from paasd.actions.visibility import need_route, need_space, visible
from paasd.auth import Caller
from paasd.errors import NotFound, Unprocessable
from paasd.model import Organization, Route, RouteShare, Space
from paasd.model import route_sharing as model
from paasd.state import InSelect, ReadTx

FLAG = "route_sharing"
UNSEEN = "Ensure the space exists and that you have access to it."
NONE_SEEN = "Ensure the spaces exist and that you have access to them."
NO_RIGHT = (
    "Write permission is required in order to share a route with a space and the containing organization must not be "
    "suspended."
)


def shared_spaces(context: Context, caller: Caller, route_guid: str) -> list[str]:
    """With which spaces the route is shared, of those that the caller sees. Raises NotFound, FeatureDisabled."""
    with context.database.read() as tx:
        flags.require(tx, caller, FLAG)
        route = need_route(tx, caller, route_guid)
        seen = InSelect("space_guid", Space, "guid", *visible(tx, caller, Space))
        shares = tx.all(RouteShare, seen, route_guid=route.guid, order=("created_at", "space_guid"))
        return [share.space_guid for share in shares]


async def share(context: Context, caller: Caller, route_guid: str, space_guids: Sequence[str]) -> None:
    """Let the route lead to apps of these spaces, too. Raises NotFound, Forbidden, Unprocessable."""
    with context.database.read() as tx:
        route = _own(tx, caller, route_guid, Permission.OPERATE_APPS)
        url = model.url_of(tx, route)
        found = {guid: _why_not(tx, caller, guid) for guid in space_guids}
    unseen = [guid for guid, why in found.items() if why == UNSEEN]
    if wrong := unseen or [guid for guid, why in found.items() if why]:
        listed = ", ".join(f"'{guid}'" for guid in wrong)
        raise Unprocessable(f"Unable to share route {url} with spaces [{listed}]. {NONE_SEEN if unseen else NO_RIGHT}")
    arguments = model.ShareRoute(route_guid=route_guid, space_guids=list(space_guids), actor=actor_of(caller))
    await context.database.write(model.share_route, arguments)


async def unshare(context: Context, caller: Caller, route_guid: str, space_guid: str) -> None:
    """Apps of that space stand behind the route no more. Raises NotFound, Forbidden, Unprocessable."""
    with context.database.read() as tx:
        route = _own(tx, caller, route_guid, Permission.OPERATE_APPS)
        if why := _why_not(tx, caller, space_guid):
            raise Unprocessable(f"Unable to unshare route '{model.url_of(tx, route)}' from space '{space_guid}'. {why}")
    arguments = model.MoveRoute(route_guid=route_guid, space_guid=space_guid, actor=actor_of(caller))
    await context.database.write(model.unshare_route, arguments)


async def move(context: Context, caller: Caller, route_guid: str, space_guid: str) -> None:
    """Make the route another space's; it stays shared with the one that had it. Raises as `unshare`."""
    with context.database.read() as tx:
        route = _own(tx, caller, route_guid, Permission.WRITE_SPACE)
        if why := _why_not(tx, caller, space_guid):
            text = f"Unable to transfer owner of route '{model.url_of(tx, route)}' to space '{space_guid}'. {why}"
            raise Unprocessable(text)
    arguments = model.MoveRoute(route_guid=route_guid, space_guid=space_guid, actor=actor_of(caller))
    await context.database.write(model.move_route, arguments)


def _own(tx: ReadTx, caller: Caller, route_guid: str, permission: Permission) -> Route:
    flags.require(tx, caller, FLAG)
    return need_route(tx, caller, route_guid, permission)


def _why_not(tx: ReadTx, caller: Caller, space_guid: str) -> str:
    """Why the caller cannot share routes with a space, as the end of a sentence; empty when they can."""
    try:
        space = need_space(tx, caller, space_guid)
    except NotFound:
        return UNSEEN
    if not allowed_in_space(tx, caller, space, Permission.WRITE_SPACE):
        return "You don't have write permission for the target space."
    if tx.need(Organization, space.organization_guid).suspended and not caller.admin:
        return "The target organization is suspended."
    return ""
