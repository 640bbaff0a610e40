"""Routes with a port: connections to it, whatever is spoken there, go to the instances behind the route."""

from typing import Any, Final

from paasd.errors import NotFound, Unprocessable
from paasd.model.arguments import Actor, Arguments, Metadata
from paasd.model.domains import usable_domains
from paasd.model.metadata import merge_metadata
from paasd.model.quotas.accounting import check_new_route
from paasd.model.records import Domain, Route, Space
from paasd.model.route_options import check_tcp_options
from paasd.model.router_groups import TCP_GROUP_NAME, free_port, is_reservable
from paasd.model.routes import INVALID_DOMAIN, record_route_event
from paasd.state import Duplicate, IsNull, Not, ReadTx, Tx, operation

NO_HOSTS: Final = "Hosts are not supported for TCP routes."
NO_PATHS: Final = "Paths are not supported for TCP routes."
NO_PORTS_LEFT: Final = (
    f"There are no more ports available for router group: {TCP_GROUP_NAME}."
    " Please contact your administrator for more information."
)


class CreateTcpRoute(Arguments):
    """Arguments of `create_tcp_route`. Without a port it gets the first free one from `begin` on.

    `reservable` are the ranges of ports that the operator set aside.
    """

    domain_guid: str
    space_guid: str
    port: int | None = None
    begin: int = 0
    reservable: list[tuple[int, int]] = []
    options: dict[str, Any] = {}
    metadata: Metadata | None = None
    actor: Actor


@operation("route.create_tcp", version=1)
def create_tcp_route(tx: Tx, args: CreateTcpRoute) -> Route:
    """Raises Unprocessable for a port that is taken or not set aside, or a domain out of the space's reach."""
    space = tx.need(Space, args.space_guid)
    if space.deleting:
        raise NotFound("Space")
    usable = {domain.guid: domain for domain in usable_domains(tx, space.organization_guid)}
    domain = usable.get(args.domain_guid)
    if domain is None or domain.router_group_guid is None:
        raise Unprocessable(INVALID_DOMAIN)
    check_tcp_options(args.options)
    port = _port(tx, args, domain)
    options = {key: value for key, value in args.options.items() if value is not None}
    made = Route(domain_guid=domain.guid, space_guid=space.guid, port=port, protocol="tcp", options=options)
    try:
        route = tx.insert(made)
    except Duplicate as error:
        raise Unprocessable(taken_port_text(port)) from error
    check_new_route(tx, space, port)
    merge_metadata(tx, "route", route.guid, args.metadata)
    record_route_event(tx, "audit.route.create", args.actor, route, domain)
    return route


def _port(tx: ReadTx, args: CreateTcpRoute, domain: Domain) -> int:
    """The port that is asked for, or one that nobody has."""
    if args.port is None:
        taken = {route.port for route in tx.all(Route, Not(IsNull("port"))) if route.port is not None}
        found = free_port(args.reservable, taken, args.begin)
        if found is None:
            raise Unprocessable(NO_PORTS_LEFT)
        return found
    holder = tx.find(Route, port=args.port)
    if holder is not None and holder.domain_guid == domain.guid:
        raise Unprocessable(f"Route already exists with port '{args.port}' for domain '{domain.name}'.")
    if holder is not None or not is_reservable(args.port, args.reservable):
        raise Unprocessable(taken_port_text(args.port))
    return args.port


def taken_port_text(port: int) -> str:
    """How Cloud Foundry says that a port is another's, or nobody's to have."""
    return f"Port '{port}' is not available. Try a different port or use a different domain."
