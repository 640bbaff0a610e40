"""What the route feed has read: rows and facts, indexed both ways. No I/O but the reads that it is handed."""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from paasd.model.names import full_name
from paasd.model.network_policies import ports_of
from paasd.model.records import App, Destination, Domain, Instance, NetworkPolicy, Node, Route, Space
from paasd.observed import InstanceFact
from paasd.router.doorway import Door
from paasd.router.neighbours import Doors, ProcessKey
from paasd.router.records import Endpoint, RouteEntry
from paasd.router.routes import Knowledge, build_entries, build_port, public_domains, runs
from paasd.router.tunnels import Links, target_of
from paasd.state import ReadTx

V = TypeVar("V")
TABLES = ("routes", "destinations", "domains", "apps", "spaces", "instances", "nodes", "network_policies")


class Picture(Knowledge):
    """What was last read, indexed both ways: from a row to the routes it concerns, from a route to its rows."""

    def __init__(self, node_guid: str, doors: Doors) -> None:
        super().__init__(node_guid)
        self.routes: dict[str, Route] = {}
        self._doors = doors
        self._facts: Mapping[str, InstanceFact] = {}
        self._by_process: dict[ProcessKey, dict[str, InstanceFact]] = {}
        self._route_of: dict[str, str] = {}
        self._routes_of_app: dict[str, set[str]] = {}
        self._hosts: dict[str, set[str]] = {}
        # The few that name another port than the instances' usual one.
        self._ported: dict[str, Destination] = {}
        # Which ports of an app some policy opens, to whomever.
        self._called: dict[str, frozenset[int]] = {}
        self.callees: Mapping[Door, ProcessKey] = {}
        """Which process stands behind the addresses and ports at which instances of this node call others."""
        self.public: tuple[str, ...] = ()
        """The names under which requests from outside are looked up."""

    def load(self, tx: ReadTx) -> None:
        """Read everything anew."""
        for index in (
            self.routes,
            self.destinations,
            self._route_of,
            self._routes_of_app,
            self._hosts,
            self._ported,
        ):
            index.clear()
        self.domains = {domain.guid: domain for domain in tx.all(Domain)}
        self.public = public_domains(self.domains.values())
        self.apps = {app.guid: app for app in tx.all(App)}
        self.organizations = {space.guid: space.organization_guid for space in tx.all(Space)}
        self.neighbours.nodes = {node.guid: node for node in tx.all(Node)}
        self.neighbours.placed = {one.guid: (one.epoch, one.node_guid) for one in tx.all(Instance)}
        self._read_policies(tx)
        grouped: dict[str, list[Destination]] = {}
        for destination in tx.all(Destination):
            grouped.setdefault(destination.route_guid, []).append(destination)
        for route in tx.all(Route):
            self._set_route(route, tuple(grouped.get(route.guid, ())))
        self._recount(self._by_process)

    def reread(self, tx: ReadTx, touched: Iterable[tuple[str, str]]) -> set[str] | None:
        """Read the touched rows; the hosts that they concern, or None if that is best answered by loading all.

        Tenants touch all of these but nodes as often as they like, so no row costs more than what it leads to.
        """
        rows: dict[str, set[str]] = {table: set() for table in TABLES}
        for table, guid in touched:
            rows[table].add(guid)
        elsewhere = self._read_nodes(tx, rows["nodes"])
        if elsewhere is None:
            return None
        processes = set(elsewhere)
        hosts = self._read_domains(tx, rows["domains"])
        for guid in rows["spaces"]:
            self._read_space(tx, guid)
        for guid in rows["apps"]:
            self._read_app(tx, guid)
            hosts.update(self._hosts_of(self._routes_of_app.get(guid, ())))
        for guid in rows["instances"]:
            processes.update(self._read_instance(tx, guid))
        if rows["network_policies"]:
            self._read_policies(tx)
        routes = rows["routes"]
        for guid in rows["destinations"]:
            now, before = tx.get(Destination, guid), self._route_of.get(guid)
            routes.update(route for route in (before, now.route_guid if now else None) if route is not None)
        for guid in routes:
            hosts.update(self._read_route(tx, guid))
        return hosts | self._recount(processes)

    def observe(self, facts: Mapping[str, InstanceFact], unreachable: frozenset[str]) -> set[str]:
        """Take the observed instances and nodes; the hosts whose instances differ from before.

        Facts are compared by identity: of many, few are new each time.
        """
        before, self._facts = self._facts, dict(facts)
        processes: set[ProcessKey] = set()
        for guid in before.keys() | facts.keys():
            known, now = before.get(guid), facts.get(guid)
            if known is not now:
                processes.update(self._regroup(guid, known, now))
        if unreachable != self.neighbours.unreachable:
            self.neighbours.unreachable = unreachable
            processes.update(self._by_process)
        return self._recount(processes)

    def _regroup(self, guid: str, known: InstanceFact | None, now: InstanceFact | None) -> Iterable[ProcessKey]:
        if known is not None:
            key = known.app_guid, known.process_type
            group = self._by_process[key]
            del group[guid]
            if not group:
                del self._by_process[key]
            yield key
        if now is not None:
            key = now.app_guid, now.process_type
            self._by_process.setdefault(key, {})[guid] = now
            yield key

    def _recount(self, processes: Iterable[ProcessKey]) -> set[str]:
        hosts: set[str] = set()
        for key in processes:
            before = self.instances.pop(key, ())
            now = self.neighbours.routable(self._by_process.get(key, {}).values())
            if now:
                self.instances[key] = now
            if _places(before) != _places(now):
                hosts.update(self._hosts_of(self._routes_of_app.get(key[0], ())))
        return hosts

    def entries(self, host: str) -> tuple[RouteEntry, ...]:
        """The entries of one host, none if it is gone."""
        return build_entries([self.routes[guid] for guid in self._hosts.get(host, ())], self)

    def port_entry(self, port: int) -> RouteEntry | None:
        """The entry of the route with a port; None when nobody is to listen there."""
        found = self._hosts.get(port_key(port), set())
        return next((build_port(self.routes[guid], self) for guid in found), None)

    def links(self) -> Links:
        """The other nodes, and what of this one they may ask for."""
        ports: dict[ProcessKey, set[int]] = {}
        for one in self._ported.values():
            if one.port is not None:
                ports.setdefault((one.app_guid, one.process_type), set()).add(one.port)
        if self._called:
            for fact in self._facts.values():
                if fact.node_guid == self.neighbours.own and (called := self._called.get(fact.app_guid)):
                    ports.setdefault((fact.app_guid, fact.process_type), set()).update(called)
        return self.neighbours.links(self._facts.values(), ports, self._doors)

    def doors(self) -> dict[Door, tuple[Endpoint, ...]]:
        """Where the instances are that calls lead to."""
        return {
            door: tuple(self._endpoint(fact, door[1]) for fact in self.instances.get(key, ()) if fact.address)
            for door, key in self.callees.items()
            if runs(self.apps.get(key[0]))
        }

    def _endpoint(self, fact: InstanceFact, port: int) -> Endpoint:
        elsewhere = fact.node_guid != self.neighbours.own
        return Endpoint(
            instance_guid=fact.instance_guid,
            index=fact.index,
            address=fact.address or "",
            port=port,
            app_guid=fact.app_guid,
            process_type=fact.process_type,
            node_guid=fact.node_guid if elsewhere else "",
            target=target_of(fact.instance_guid, fact.epoch, port) if elsewhere else "",
            distance=1 + self.neighbours.distance(fact.node_guid) if elsewhere else 0,
        )

    def _read_policies(self, tx: ReadTx) -> None:
        grouped: dict[str, list[NetworkPolicy]] = {}
        for one in tx.all(NetworkPolicy, protocol="tcp"):
            grouped.setdefault(one.destination_guid, []).append(one)
        self._called = {app: ports_of(policies) for app, policies in grouped.items()}

    def system(self) -> dict[str, tuple[Endpoint, ...]]:
        """What answers the platform's own hosts."""
        return self.neighbours.system(self._doors)

    def _read_nodes(self, tx: ReadTx, guids: Collection[str]) -> Collection[ProcessKey] | None:
        """Take the nodes as they are; whose instances to look at again, or None if one moved: all distances differ."""
        known = self.neighbours.nodes
        before = {guid: known.get(guid) for guid in guids}
        for guid in guids:
            _set(known, guid, tx.get(Node, guid))
        changed = [(one, now) for guid, one in before.items() if _of_use(one) != _of_use(now := known.get(guid))]
        if any(one is not None and now is not None and one.zone != now.zone for one, now in changed):
            return None
        return tuple(self._by_process) if changed else ()

    def _read_domains(self, tx: ReadTx, guids: Collection[str]) -> set[str]:
        """Take the domains as they are; the hosts on those that are served otherwise now. Names never change."""
        found = {guid: tx.get(Domain, guid) for guid in guids}
        changed = {
            guid
            for guid, now in found.items()
            if (before := self.domains.get(guid)) is not None and (now is None or now.deleting != before.deleting)
        }
        # All routes are looked through once, and not for what serves as before.
        routes = [one for one in self.routes.values() if one.domain_guid in changed] if changed else []
        hosts = self._hosts_of([route.guid for route in routes])
        for route in routes:
            if found[route.domain_guid] is None:
                # Those rows are gone with it, whether or not they are among what was touched so far.
                self._drop_route(route.guid)
        for guid, now in found.items():
            _set(self.domains, guid, now)
        if guids:
            self.public = public_domains(self.domains.values())
        return hosts

    def _read_space(self, tx: ReadTx, guid: str) -> None:
        space = tx.get(Space, guid)
        _set(self.organizations, guid, None if space is None else space.organization_guid)

    def _read_route(self, tx: ReadTx, guid: str) -> set[str]:
        """Take a route with its destinations as they are; the hosts that it had and has."""
        hosts = self._hosts_of([guid])
        self._drop_route(guid)
        route = tx.get(Route, guid)
        if route is not None:
            if route.domain_guid not in self.domains:
                self._read_domains(tx, [route.domain_guid])
            if route.space_guid not in self.organizations:
                self._read_space(tx, route.space_guid)
            found = tuple(tx.all(Destination, route_guid=guid))
            for destination in found:
                self._read_app(tx, destination.app_guid)
            self._set_route(route, found)
        return hosts | self._hosts_of([guid])

    def _read_app(self, tx: ReadTx, guid: str) -> None:
        _set(self.apps, guid, tx.get(App, guid))

    def _read_instance(self, tx: ReadTx, guid: str) -> Iterable[ProcessKey]:
        row = tx.get(Instance, guid)
        _set(self.neighbours.placed, guid, None if row is None else (row.epoch, row.node_guid))
        fact = self._facts.get(guid)
        return () if fact is None else ((fact.app_guid, fact.process_type),)

    def _hosts_of(self, routes: Iterable[str]) -> set[str]:
        found = [route for guid in routes if (route := self.routes.get(guid)) is not None]
        return {
            full_name(self.domains[route.domain_guid], route.host) if route.port is None else port_key(route.port)
            for route in found
            if route.domain_guid in self.domains
        }

    def _set_route(self, route: Route, destinations: tuple[Destination, ...]) -> None:
        self.routes[route.guid] = route
        self.destinations[route.guid] = destinations
        for destination in destinations:
            self._route_of[destination.guid] = route.guid
            self._routes_of_app.setdefault(destination.app_guid, set()).add(route.guid)
            if destination.port is not None:
                self._ported[destination.guid] = destination
        for host in self._hosts_of([route.guid]):
            self._hosts.setdefault(host, set()).add(route.guid)

    def _drop_route(self, guid: str) -> None:
        for host in self._hosts_of([guid]):
            _discard(self._hosts, host, guid)
        self.routes.pop(guid, None)
        for destination in self.destinations.pop(guid, ()):
            self._route_of.pop(destination.guid, None)
            self._ported.pop(destination.guid, None)
            _discard(self._routes_of_app, destination.app_guid, guid)


def port_key(port: int) -> str:
    """How a port stands among hosts: none of these begins so."""
    return f":{port}"


def _set(index: dict[str, V], key: str, value: V | None) -> None:
    if value is None:
        index.pop(key, None)
    else:
        index[key] = value


def _discard(index: dict[str, set[str]], key: str, value: str) -> None:
    values = index.get(key)
    if values is not None:
        values.discard(value)
        if not values:
            del index[key]


def _of_use(node: Node | None) -> tuple[str, str, str, str, int] | None:
    """What routes depend on."""
    return None if node is None else (node.state, node.zone, node.role, node.address, node.tunnel_port)


def _places(facts: tuple[InstanceFact, ...]) -> tuple[tuple[str, int, str, str | None, int | None, int], ...]:
    return tuple(
        (fact.instance_guid, fact.epoch, fact.node_guid, fact.address, fact.port, fact.index) for fact in facts
    )
