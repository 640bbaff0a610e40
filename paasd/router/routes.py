"""From what the platform knows to route entries: which host leads to which running instances.

A route is in the table when its domain is public and one of its destinations is an app that is meant to run. A route
whose apps are all stopped answers 404, as in Cloud Foundry; one whose app has no healthy instance answers 503.
"""

from collections.abc import Iterable, Mapping

from paasd.model.names import full_name, normal_path
from paasd.model.records import App, Destination, Domain, Route
from paasd.observed import InstanceFact
from paasd.router.neighbours import Neighbours, ProcessKey
from paasd.router.records import Endpoint, RouteEntry, RouteTable
from paasd.router.tunnels import target_of

_SHARES = 1000


class Knowledge:
    """What is needed to build entries, by guid; `destinations` by route, `instances` by app and process type."""

    def __init__(self, node_guid: str) -> None:
        self.neighbours = Neighbours(node_guid)
        self.domains: dict[str, Domain] = {}
        self.apps: dict[str, App] = {}
        self.organizations: dict[str, str] = {}
        self.destinations: dict[str, tuple[Destination, ...]] = {}
        self.instances: dict[ProcessKey, tuple[InstanceFact, ...]] = {}


def build_entries(routes: Iterable[Route], known: Knowledge) -> tuple[RouteEntry, ...]:
    """The entries of routes, one for a host and path: of the organization that has the oldest route of that name.

    No second one can be made (`model/names.py`). Should rows be there that were, their order decides, and not who made
    the last one or whose app is stopped.
    """
    owners: dict[tuple[str, str], str] = {}
    entries: dict[tuple[str, str], RouteEntry] = {}
    for route in sorted(routes, key=lambda one: (one.created_at, one.guid)):
        domain = known.domains.get(route.domain_guid)
        if domain is None or domain.internal or domain.deleting or route.port is not None:
            continue
        name = full_name(domain, route.host), normal_path(route.path)
        organization = known.organizations.get(route.space_guid, "")
        if owners.setdefault(name, organization) == organization and name not in entries:
            entry = _build_entry(route, domain, known)
            if entry is not None:
                entries[name] = entry
    return tuple(entries.values())


def _build_entry(route: Route, domain: Domain, known: Knowledge) -> RouteEntry | None:
    """The entry of one route; None when it is not to be in the table."""
    destinations = [item for item in known.destinations.get(route.guid, ()) if runs(known.apps.get(item.app_guid))]
    if not destinations:
        return None
    endpoints = [endpoint for item in destinations for endpoint in _endpoints(item, known)]
    return RouteEntry(
        host=full_name(domain, route.host),
        path=route.path,
        port=route.port,
        endpoints=tuple({item.place: item for item in endpoints}.values()),
        route_guid=route.guid,
        app_guid=destinations[0].app_guid,
        space_guid=route.space_guid,
        organization_guid=known.organizations.get(route.space_guid, ""),
        http2=all(item.protocol == "http2" for item in destinations),
        options=route.options,
    )


def build_port(route: Route, known: Knowledge) -> RouteEntry | None:
    """The entry of a route with a port; None when nobody is to listen there."""
    domain = known.domains.get(route.domain_guid)
    return None if domain is None or domain.deleting else _build_entry(route, domain, known)


def runs(app: App | None) -> bool:
    return app is not None and app.state == "STARTED" and not app.deleting


def _endpoints(destination: Destination, known: Knowledge) -> Iterable[Endpoint]:
    facts = known.instances.get((destination.app_guid, destination.process_type), ())
    # A weight is the share of the destination, however many instances it has.
    weight = max(1, round(destination.weight * _SHARES / len(facts))) if destination.weight and facts else 1
    for fact in facts:
        if fact.address and fact.port:
            elsewhere = fact.node_guid != known.neighbours.own
            yield Endpoint(
                instance_guid=fact.instance_guid,
                index=fact.index,
                address=fact.address,
                port=destination.port or fact.port,
                app_guid=fact.app_guid,
                process_type=fact.process_type,
                weight=weight,
                node_guid=fact.node_guid if elsewhere else "",
                target=target_of(fact.instance_guid, fact.epoch, destination.port) if elsewhere else "",
                distance=known.neighbours.distance(fact.node_guid),
            )


def public_domains(domains: Iterable[Domain]) -> tuple[str, ...]:
    """The names under which requests from outside are looked up."""
    public = (one for one in domains if not one.internal and not one.deleting and one.router_group_guid is None)
    return tuple(sorted(domain.name.lower() for domain in public))


def build_table(
    routes: Iterable[Route], known: Knowledge, public: tuple[str, ...], system: Mapping[str, tuple[Endpoint, ...]]
) -> RouteTable:
    """The whole table."""
    routes = list(routes)
    ports = {one.port: entry for one in routes if one.port is not None and (entry := build_port(one, known))}
    return RouteTable(
        ports=ports,
        routes=build_entries(routes, known),
        domains=public,
        system=dict(system),
    )
