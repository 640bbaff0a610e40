"""Routes and destinations: developers and supporters of the space."""

from collections.abc import Sequence
from typing import Any

import msgspec

from paasd.actions import flags
from paasd.actions.context import Context, actor_of
from paasd.actions.jobs import finished
from paasd.actions.permissions import Permission
from paasd.actions.visibility import need_app, need_route, need_space, need_visible, or_unprocessable
from paasd.auth import Caller
from paasd.errors import NotFound, Unprocessable
from paasd.model import Destination, Domain, Job, Route, tcp_routes
from paasd.model import routes as model
from paasd.model.arguments import Metadata
from paasd.model.routes import NewDestination
from paasd.state import InSelect, Not


async def create(
    context: Context,
    caller: Caller,
    *,
    space_guid: str,
    domain_guid: str,
    host: str = "",
    path: str = "",
    port: int | None = None,
    options: dict[str, Any] | None = None,
    metadata: Metadata | None = None,
) -> Route:
    """Raises Forbidden, Unprocessable (`Route already exists with host ...`)."""
    with context.database.read() as tx:
        with or_unprocessable("Invalid space. Ensure that the space exists and you have access to it."):
            need_space(tx, caller, space_guid, Permission.OPERATE_APPS)
        flags.require(tx, caller, "route_creation")
        with or_unprocessable(model.INVALID_DOMAIN):
            domain = need_visible(tx, caller, Domain, domain_guid)
    if domain.router_group_guid is not None:
        _check_tcp(host, path)
        return await _create_tcp(context, caller, space_guid, domain_guid, port, options or {}, metadata)
    arguments = model.CreateRoute(
        domain_guid=domain_guid,
        space_guid=space_guid,
        host=host,
        path=path,
        port=port,
        options=options or {},
        metadata=metadata,
        reserved=context.reserved_hosts,
        wildcards=caller.admin,
        actor=actor_of(caller),
    )
    return await context.database.write(model.create_route, arguments)


def _check_tcp(host: str, path: str) -> None:
    if host:
        raise Unprocessable(tcp_routes.NO_HOSTS)
    if path:
        raise Unprocessable(tcp_routes.NO_PATHS)


async def _create_tcp(
    context: Context,
    caller: Caller,
    space_guid: str,
    domain_guid: str,
    port: int | None,
    options: dict[str, Any],
    metadata: Metadata | None,
) -> Route:
    """Without a port any free one. Which is drawn, so that who gave one up is not followed by who asks next."""
    ranges = context.tcp_ports
    low, high = map(int, context.choose([f"{low} {high}" for low, high in ranges]).split()) if ranges else (0, 0)
    arguments = tcp_routes.CreateTcpRoute(
        domain_guid=domain_guid,
        space_guid=space_guid,
        port=port,
        begin=int(context.choose([str(one) for one in range(low, high + 1)])),
        reservable=list(ranges),
        options=options,
        metadata=metadata,
        actor=actor_of(caller),
    )
    return await context.database.write(tcp_routes.create_tcp_route, arguments)


async def update(
    context: Context,
    caller: Caller,
    route_guid: str,
    *,
    options: dict[str, Any] | None = None,
    metadata: Metadata | None = None,
) -> Route:
    """Raises NotFound, Forbidden."""
    _authorise(context, caller, route_guid)
    arguments = model.UpdateRoute(route_guid=route_guid, options=options, metadata=metadata, actor=actor_of(caller))
    return await context.database.write(model.update_route, arguments)


async def delete(context: Context, caller: Caller, route_guid: str) -> Job:
    """The job is complete when this returns."""
    _authorise(context, caller, route_guid)
    arguments = model.DeleteRoute(route_guid=route_guid, actor=actor_of(caller))
    return await context.database.write(model.delete_route, arguments)


async def add_destinations(
    context: Context, caller: Caller, route_guid: str, destinations: Sequence[NewDestination]
) -> list[Destination]:
    """All destinations of the route afterwards. Raises Unprocessable for an app that cannot be seen."""
    arguments = _change(context, caller, route_guid, destinations)
    return await context.database.write(model.add_destinations, arguments)


async def replace_destinations(
    context: Context, caller: Caller, route_guid: str, destinations: Sequence[NewDestination]
) -> list[Destination]:
    """Exactly these destinations. Raises Unprocessable for an app that cannot be seen."""
    arguments = _change(context, caller, route_guid, destinations)
    return await context.database.write(model.replace_destinations, arguments)


async def remove_destination(context: Context, caller: Caller, route_guid: str, destination_guid: str) -> None:
    """Raises NotFound, Forbidden, Unprocessable."""
    _authorise(context, caller, route_guid)
    arguments = model.RemoveDestination(
        route_guid=route_guid, destination_guid=destination_guid, actor=actor_of(caller)
    )
    await context.database.write(model.remove_destination, arguments)


async def update_destination(
    context: Context, caller: Caller, route_guid: str, destination_guid: str, protocol: str | None
) -> Destination:
    """How the app is spoken to; None is HTTP/1.1, or TCP on such a route. Raises NotFound, Forbidden, Unprocessable."""
    _authorise(context, caller, route_guid)
    arguments = model.UpdateDestination(
        route_guid=route_guid, destination_guid=destination_guid, protocol=protocol, actor=actor_of(caller)
    )
    return await context.database.write(model.update_destination, arguments)


def _change(
    context: Context, caller: Caller, route_guid: str, destinations: Sequence[NewDestination]
) -> model.ChangeDestinations:
    with context.database.read() as tx:
        route = need_route(tx, caller, route_guid, Permission.OPERATE_APPS)
        model.check_count(len(destinations))
        for wanted in destinations:
            try:
                need_app(tx, caller, wanted.app_guid)
            except NotFound as error:
                raise Unprocessable(
                    f'App(s) with guid(s) "{wanted.app_guid}" do not exist or you do not have access.'
                ) from error
    usual = None if route.port is not None else model.PROTOCOLS[0]
    spoken = [msgspec.structs.replace(one, protocol=one.protocol or usual) for one in destinations]
    return model.ChangeDestinations(route_guid=route_guid, destinations=spoken, actor=actor_of(caller))


def _authorise(context: Context, caller: Caller, route_guid: str) -> None:
    with context.database.read() as tx:
        need_route(tx, caller, route_guid, Permission.OPERATE_APPS)


async def delete_unmapped(context: Context, caller: Caller, space_guid: str) -> Job:
    """Delete every route of the space that leads nowhere. The job is complete when this returns."""
    with context.database.read() as tx:
        need_space(tx, caller, space_guid, Permission.OPERATE_APPS)
        mapped = InSelect("guid", Destination, "route_guid")
        unmapped = [route.guid for route in tx.all(Route, Not(mapped), space_guid=space_guid)]
    for guid in unmapped:
        arguments = model.DeleteRoute(route_guid=guid, actor=actor_of(caller))
        await context.database.write(model.delete_route, arguments)
    return await finished(
        context, caller, "space.delete_unmapped_routes", resource_type="space", resource_guid=space_guid
    )
