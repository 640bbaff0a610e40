"""Routes and their destinations: who answers under a name."""

import re
from typing import Any

from paasd.errors import NotFound, Unprocessable
from paasd.model.arguments import Actor, Arguments, Metadata
from paasd.model.auditing import difference
from paasd.model.domains import usable_domains
from paasd.model.events import record_app_event, record_event
from paasd.model.jobs import open_job
from paasd.model.metadata import drop_metadata, merge_metadata
from paasd.model.names import check_host_is_free, full_name, normal_path, taken_text
from paasd.model.quotas.accounting import check_new_route
from paasd.model.records import App, Destination, Domain, Job, Route, RouteShare, Space
from paasd.model.route_options import check_options, check_tcp_options, check_weights
from paasd.state import Duplicate, Tx, operation

HOST = re.compile(r"[\w]([\w-]*[\w])?(\.[\w]([\w-]*[\w])?)*", re.ASCII)
HOST_LIMIT = 63
NAME_LIMIT = 253
PATH_LIMIT = 128
DESTINATION_LIMIT = 100
PROTOCOLS = ("http1", "http2")
TCP_PROTOCOLS = ("tcp",)
INVALID_DOMAIN = "Invalid domain. Ensure that the domain exists and you have access to it."
NO_DESTINATION = "Unable to unmap route from destination. Ensure the route has a destination with this guid."
WILDCARD = (
    "You do not have sufficient permissions to create a route with a wildcard host on a domain not scoped to an"
    " organization."
)


class CreateRoute(Arguments):
    """Arguments of `create_route`. `reserved` are full host names that the platform answers itself.

    `wildcards`: whether the host may be `*` also on a shared domain, where it takes what all others leave.
    """

    domain_guid: str
    space_guid: str
    host: str = ""
    path: str = ""
    port: int | None = None
    options: dict[str, Any] = {}
    metadata: Metadata | None = None
    reserved: list[str] = []
    wildcards: bool = False
    actor: Actor


@operation("route.create", version=1)
def create_route(tx: Tx, args: CreateRoute) -> Route:
    """Raises Unprocessable for a name that is taken, reserved or malformed, or a domain out of the space's reach."""
    space = tx.need(Space, args.space_guid)
    if space.deleting:
        raise NotFound("Space")
    usable = {domain.guid: domain for domain in usable_domains(tx, space.organization_guid)}
    domain = usable.get(args.domain_guid)
    if domain is None:
        raise Unprocessable(INVALID_DOMAIN)
    check_route_name(domain, args.host, args.path, args.port)
    check_options(args.options)
    if args.host == "*" and domain.organization_guid is None and not args.wildcards:
        raise Unprocessable(WILDCARD)
    check_host_is_free(tx, domain, args.host, args.path, space, args.reserved)
    try:
        route = tx.insert(
            Route(
                domain_guid=domain.guid,
                space_guid=space.guid,
                host=args.host.lower(),
                path=normal_path(args.path),
                options={key: value for key, value in args.options.items() if value is not None},
            )
        )
    except Duplicate as error:
        raise Unprocessable(taken_text(domain, args.host, args.path)) from error
    check_new_route(tx, space, args.port)
    merge_metadata(tx, "route", route.guid, args.metadata)
    record_route_event(tx, "audit.route.create", args.actor, route, domain)
    return route


def check_route_name(domain: Domain, host: str, path: str, port: int | None = None) -> None:
    """Raise Unprocessable when the parts do not make a route on this domain."""
    if domain.router_group_guid is not None:
        raise Unprocessable("Routes with protocol 'tcp' must specify a port.")
    if port is not None:
        raise Unprocessable("Routes with protocol 'http' do not support ports.")
    if not host and domain.organization_guid is None:
        raise Unprocessable("Missing host. Routes in shared domains must have a host defined.")
    if domain.internal and host == "*":
        raise Unprocessable("Wildcard hosts are not supported for internal domains.")
    if domain.internal and path:
        raise Unprocessable("Paths are not supported for internal domains.")
    if host and host != "*":
        if not HOST.fullmatch(host):
            raise Unprocessable('Host must be either "*" or contain only alphanumeric characters, "_", or "-"')
        if any(len(label) > HOST_LIMIT for label in host.split(".")):
            raise Unprocessable(f"Host cannot exceed {HOST_LIMIT} characters")
        if domain.organization_guid is None and "." in host:
            raise Unprocessable('Host must be either "*" or contain only alphanumeric characters, "_", or "-"')
    if len(route_url(domain, host)) > NAME_LIMIT:
        raise Unprocessable(f"Host combined with domain name must be no more than {NAME_LIMIT} characters")
    check_path(path)


def check_path(path: str) -> None:
    """Raise Unprocessable for a path that no request could have."""
    if not path:
        return
    if not path.startswith("/"):
        raise Unprocessable("Path must begin with a '/'")
    if not normal_path(path):
        raise Unprocessable("Path cannot be a single '/'")
    if "?" in path or "#" in path:
        raise Unprocessable("Path cannot contain '?'")
    if not path.isprintable() or " " in path:
        raise Unprocessable("Path is invalid.")
    if len(path) > PATH_LIMIT:
        raise Unprocessable(f"Path exceeds {PATH_LIMIT} characters")


def route_url(domain: Domain, host: str, path: str = "", port: int | None = None) -> str:
    """`host.domain/path` or `domain:port` as people write it."""
    return full_name(domain, host) + ("" if port is None else f":{port}") + path


class UpdateRoute(Arguments):
    """Arguments of `update_route`; None leaves a field as it is, an option of None goes away."""

    route_guid: str
    options: dict[str, Any] | None = None
    metadata: Metadata | None = None
    actor: Actor


@operation("route.update", version=1)
def update_route(tx: Tx, args: UpdateRoute) -> Route:
    """Raises NotFound."""
    former = route = tx.need(Route, args.route_guid)
    options = {key: value for key, value in {**route.options, **(args.options or {})}.items() if value is not None}
    if args.options:
        (check_options if route.port is None else check_tcp_options)(options)
    route = tx.update(route, options=options)
    merge_metadata(tx, "route", route.guid, args.metadata)
    data = difference(former, route, args.metadata)
    record_route_event(tx, "audit.route.update", args.actor, route, tx.need(Domain, route.domain_guid), data)
    return route


class DeleteRoute(Arguments):
    """Arguments of `delete_route`."""

    route_guid: str
    actor: Actor


@operation("route.delete", version=1)
def delete_route(tx: Tx, args: DeleteRoute) -> Job:
    """Delete the route and its destinations; the job is complete when this returns."""
    route = tx.need(Route, args.route_guid)
    domain = tx.need(Domain, route.domain_guid)
    tx.delete_all(Destination, route_guid=route.guid)
    tx.delete_all(RouteShare, route_guid=route.guid)
    drop_metadata(tx, route.guid)
    tx.delete(route)
    record_route_event(tx, "audit.route.delete-request", args.actor, route, domain)
    return open_job(
        tx, "route.delete", resource_type="route", resource_guid=route.guid, state="COMPLETE", by=args.actor
    )


class NewDestination(Arguments):
    """One destination to add."""

    app_guid: str
    process_type: str = "web"
    port: int | None = None
    protocol: str | None = None
    weight: int | None = None


class ChangeDestinations(Arguments):
    """Arguments of `add_destinations` and `replace_destinations`."""

    route_guid: str
    destinations: list[NewDestination]
    actor: Actor


@operation("route.add_destinations", version=1)
def add_destinations(tx: Tx, args: ChangeDestinations) -> list[Destination]:
    """Add those that are not there yet; returns all of the route. Raises NotFound, Unprocessable."""
    route = tx.need(Route, args.route_guid)
    for index, wanted in enumerate(args.destinations):
        if wanted.weight is not None:
            raise Unprocessable(
                f"Destinations[{index}]: weighted destinations can only be used when replacing all destinations."
            )
    if any(one.weight is not None for one in destinations_of(tx, route)):
        raise Unprocessable("Destinations cannot be inserted when there are weighted destinations already configured.")
    for wanted in args.destinations:
        map_route(tx, route, wanted, args.actor)
    return destinations_of(tx, route)


@operation("route.replace_destinations", version=1)
def replace_destinations(tx: Tx, args: ChangeDestinations) -> list[Destination]:
    """Make exactly these the destinations of the route; those that stay keep their guids."""
    route = tx.need(Route, args.route_guid)
    check_weights([wanted.weight for wanted in args.destinations])
    kept = {map_route(tx, route, wanted, args.actor).guid for wanted in args.destinations}
    for destination in destinations_of(tx, route):
        if destination.guid not in kept:
            unmap_route(tx, route, destination, args.actor)
    return destinations_of(tx, route)


def destinations_of(tx: Tx, route: Route) -> list[Destination]:
    """All destinations of a route, oldest first."""
    return tx.all(Destination, route_guid=route.guid, order=("created_at", "guid"))


def check_count(count: int) -> None:
    """Raise Unprocessable for more destinations than a route may have."""
    if count > DESTINATION_LIMIT:
        raise Unprocessable(f"Routes can be mapped to at most {DESTINATION_LIMIT} destinations.")


def map_route(tx: Tx, route: Route, wanted: NewDestination, actor: Actor) -> Destination:
    """The destination that is wanted, inserted unless it is there. Raises Unprocessable."""
    app = tx.get(App, wanted.app_guid)
    if app is None or app.deleting:
        raise Unprocessable(f'App(s) with guid(s) "{wanted.app_guid}" do not exist or you do not have access.')
    if app.space_guid != route.space_guid and tx.get(RouteShare, route.guid, app.space_guid) is None:
        raise Unprocessable("Routes cannot be mapped to destinations in different spaces.")
    protocol = _protocol(route, wanted.protocol)
    if wanted.port is not None and not 1024 <= wanted.port <= 65535:
        raise Unprocessable("Destination port must be between 1024 and 65535")
    present = tx.find(
        Destination, route_guid=route.guid, app_guid=app.guid, process_type=wanted.process_type, port=wanted.port
    )
    if present is not None:
        changes = {"weight": wanted.weight, "protocol": wanted.protocol or present.protocol}
        if changes != {"weight": present.weight, "protocol": present.protocol}:
            former, present = present, tx.update(present, **changes)
            _record_change(tx, actor, app, former, present)
        return present
    check_count(tx.count(Destination, route_guid=route.guid) + 1)
    destination = tx.insert(
        Destination(
            route_guid=route.guid,
            app_guid=app.guid,
            process_type=wanted.process_type,
            port=wanted.port,
            protocol=protocol,
            weight=wanted.weight,
        )
    )
    record_app_event(
        tx,
        "audit.app.map-route",
        actor,
        app,
        {"route_guid": route.guid, "destination_guid": destination.guid, "process_type": wanted.process_type},
    )
    return destination


def _destination(tx: Tx, route: Route, guid: str) -> Destination:
    destination = tx.get(Destination, guid)
    if destination is None or destination.route_guid != route.guid:
        raise Unprocessable(NO_DESTINATION)
    return destination


class RemoveDestination(Arguments):
    """Arguments of `remove_destination`."""

    route_guid: str
    destination_guid: str
    actor: Actor


@operation("route.remove_destination", version=1)
def remove_destination(tx: Tx, args: RemoveDestination) -> None:
    """Raises NotFound for the route, Unprocessable for a destination that is not of this route."""
    route = tx.need(Route, args.route_guid)
    destination = _destination(tx, route, args.destination_guid)
    unmap_route(tx, route, destination, args.actor)


class UpdateDestination(Arguments):
    """Arguments of `update_destination`; without a protocol it is the usual one again."""

    route_guid: str
    destination_guid: str
    protocol: str | None = None
    actor: Actor


@operation("route.update_destination", version=1)
def update_destination(tx: Tx, args: UpdateDestination) -> Destination:
    """How instances are spoken to. Raises NotFound for the route, Unprocessable."""
    route = tx.need(Route, args.route_guid)
    destination = _destination(tx, route, args.destination_guid)
    protocol = _protocol(route, args.protocol)
    if protocol != destination.protocol:
        former, destination = destination, tx.update(destination, protocol=protocol)
        _record_change(tx, args.actor, tx.need(App, destination.app_guid), former, destination)
    return destination


def _record_change(tx: Tx, actor: Actor, app: App, former: Destination, destination: Destination) -> None:
    data = {
        "route_guid": destination.route_guid,
        "destination_guid": destination.guid,
        "protocol": destination.protocol,
        **difference(former, destination),
    }
    record_app_event(tx, "audit.app.map-route", actor, app, data)


def _protocol(route: Route, wanted: str | None) -> str:
    """What is spoken to the app: by default the first that fits the route."""
    fitting = PROTOCOLS if route.port is None else TCP_PROTOCOLS
    if wanted in (None, *fitting):
        return wanted or fitting[0]
    if wanted in PROTOCOLS + TCP_PROTOCOLS:
        valid = ", ".join(fitting)
        raise Unprocessable(
            f"Cannot use '{wanted}' protocol for {route.protocol} routes; valid options are: [{valid}]."
        )
    raise Unprocessable(f"Destination protocol must be one of {', '.join(fitting)}")


def unmap_route(tx: Tx, route: Route, destination: Destination, actor: Actor) -> None:
    """Delete a destination and say so in the app's events."""
    tx.delete(destination)
    app = tx.get(App, destination.app_guid)
    if app is not None:
        data = {"route_guid": route.guid, "process_type": destination.process_type}
        record_app_event(tx, "audit.app.unmap-route", actor, app, data)


def record_route_event(
    tx: Tx, event_type: str, actor: Actor, route: Route, domain: Domain, data: dict[str, Any] | None = None
) -> None:
    """What happened to a route, by its whole name."""
    record_event(
        tx,
        event_type,
        actor,
        target_type="route",
        target_guid=route.guid,
        target_name=route_url(domain, route.host, route.path, route.port),
        space_guid=route.space_guid,
        data=data,
    )
