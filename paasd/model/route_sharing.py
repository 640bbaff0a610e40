"""Routes that lead to apps of further spaces, and routes that change their space."""

from typing import Any, Final

from paasd.errors import NotFound, Unprocessable
from paasd.model.arguments import Actor, Arguments
from paasd.model.auditing import difference
from paasd.model.domain_sharing import usable_by
from paasd.model.events import record_event
from paasd.model.quotas.accounting import check_new_route
from paasd.model.records import App, Destination, Domain, Route, RouteShare, Space
from paasd.model.routes import route_url, unmap_route
from paasd.state import Eq, InSelect, ReadTx, Tx, operation

SHARED_LIMIT: Final = 100  # spaces of one route
NO_DOMAIN: Final = "Target space does not have access to route's domain"


class ShareRoute(Arguments):
    """Arguments of `share_route`."""

    route_guid: str
    space_guids: list[str]
    actor: Actor


@operation("route.share", version=1)
def share_route(tx: Tx, args: ShareRoute) -> None:
    """Nothing changes for spaces with which it is shared already. Raises NotFound, Unprocessable."""
    route = tx.need(Route, args.route_guid)
    if route.space_guid in args.space_guids:
        raise Unprocessable(
            f"Unable to share route '{url_of(tx, route)}' with space '{route.space_guid}'. "
            "Routes cannot be shared into the space where they were created."
        )
    spaces = [_space(tx, guid) for guid in dict.fromkeys(args.space_guids)]
    new = [space for space in spaces if tx.get(RouteShare, route.guid, space.guid) is None]
    if tx.count(RouteShare, route_guid=route.guid) + len(new) > SHARED_LIMIT:
        raise Unprocessable(f"A route can be shared with at most {SHARED_LIMIT} spaces.")
    for space in new:
        tx.insert(RouteShare(route_guid=route.guid, space_guid=space.guid))
        _events(tx, "audit.route.share", args.actor, route, space)


class MoveRoute(Arguments):
    """Arguments of `unshare_route` and `move_route`: the route and the other space."""

    route_guid: str
    space_guid: str
    actor: Actor


@operation("route.unshare", version=1)
def unshare_route(tx: Tx, args: MoveRoute) -> None:
    """The route leads to apps of that space no more. Raises NotFound, Unprocessable for its own space."""
    route, space = tx.need(Route, args.route_guid), tx.need(Space, args.space_guid)
    if space.guid == route.space_guid:
        raise Unprocessable(
            f"Unable to unshare route '{url_of(tx, route)}' from space '{space.guid}'. "
            "Routes cannot be removed from the space that owns them."
        )
    share = tx.get(RouteShare, route.guid, space.guid)
    if share is None:
        return
    tx.delete(share)
    theirs = InSelect("app_guid", App, "guid", Eq("space_guid", space.guid))
    for destination in tx.all(Destination, theirs, route_guid=route.guid):
        unmap_route(tx, route, destination, args.actor)
    _events(tx, "audit.route.unshare", args.actor, route, space)


@operation("route.move", version=1)
def move_route(tx: Tx, args: MoveRoute) -> Route:
    """The route is the other space's; that which had it keeps it shared, and its apps go on. Raises Unprocessable."""
    route, space = tx.need(Route, args.route_guid), _space(tx, args.space_guid)
    if space.guid == route.space_guid:
        return route
    former = tx.need(Space, route.space_guid)
    if tx.find(Domain, usable_by(space.organization_guid), guid=route.domain_guid, deleting=False) is None:
        raise Unprocessable(
            f"Unable to transfer owner of route '{url_of(tx, route)}' to space '{space.guid}'. {NO_DOMAIN}"
        )
    moved = tx.update(route, space_guid=space.guid)
    _events(tx, "audit.route.transfer-owner", args.actor, route, space, difference(route, moved))
    route = moved
    check_new_route(tx, space, route.port)
    tx.delete_all(RouteShare, route_guid=route.guid, space_guid=space.guid)
    tx.insert(RouteShare(route_guid=route.guid, space_guid=former.guid))
    return route


def url_of(tx: ReadTx, route: Route) -> str:
    """As people write it."""
    return route_url(tx.need(Domain, route.domain_guid), route.host, route.path, route.port)


def _space(tx: ReadTx, guid: str) -> Space:
    space = tx.need(Space, guid)
    if space.deleting:
        raise NotFound("Space")
    return space


def _events(
    tx: Tx, event_type: str, actor: Actor, route: Route, space: Space, changed: dict[str, Any] | None = None
) -> None:
    """One for each side: people of either see the events of their own space alone.

    Whose route it was is told what changed; people of the other space have nothing to do with where it was before.
    """
    for side, data in ((route.space_guid, changed or {}), (space.guid, {})):
        record_event(
            tx,
            event_type,
            actor,
            target_type="route",
            target_guid=route.guid,
            target_name=url_of(tx, route),
            space_guid=side,
            data={"space_guid": space.guid, **data},
        )
