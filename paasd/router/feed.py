"""Keeps the router's table equal to the database and the observed instances, by re-reading what changed.

Level-triggered: a wake-up says what to look at, never what it is. The first table is read whole; after that a change
costs the rows that it touched, whatever the size of the table. Everything happens between two awaits, so the two
watches need no lock.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import trio

from paasd.model.records import App, Destination, Domain, Route, Space
from paasd.observed import InstanceFact, Observed
from paasd.router.records import RouteEntry
from paasd.router.router import Router
from paasd.router.routes import Knowledge, build_entry, build_table, routable_instances, route_host
from paasd.state import Database, ReadTx

TABLES = ("routes", "destinations", "domains", "apps", "spaces")


class Picture(Knowledge):
    """What was last read, indexed both ways: from a row to the routes it concerns, from a route to its rows."""

    def __init__(self) -> None:
        super().__init__()
        self.routes: dict[str, Route] = {}
        self._route_of: dict[str, str] = {}
        self._routes_of_app: dict[str, set[str]] = {}
        self._hosts: dict[str, set[str]] = {}

    def load(self, tx: ReadTx) -> None:
        """Read everything anew."""
        for index in (self.routes, self.destinations, self._route_of, self._routes_of_app, self._hosts):
            index.clear()
        self.domains = {domain.guid: domain for domain in tx.all(Domain)}
        self.apps = {app.guid: app for app in tx.all(App)}
        self.organizations = {space.guid: space.organization_guid for space in tx.all(Space)}
        grouped: dict[str, list[Destination]] = {}
        for destination in tx.all(Destination):
            grouped.setdefault(destination.route_guid, []).append(destination)
        for route in tx.all(Route):
            self._set_route(route, tuple(grouped.get(route.guid, ())))

    def reread(self, tx: ReadTx, touched: Iterable[tuple[str, str]]) -> set[str] | None:
        """Read the touched rows; the hosts that they concern, or None if that is best answered by loading all."""
        routes: set[str] = set()
        hosts: set[str] = set()
        for table, guid in touched:
            if table in ("domains", "spaces"):
                return None
            if table == "routes":
                routes.add(guid)
            elif table == "destinations":
                now = tx.get(Destination, guid)
                before = self._route_of.get(guid)
                routes.update(route for route in (before, now.route_guid if now else None) if route is not None)
            elif table == "apps":
                self._read_app(tx, guid)
                hosts.update(self._hosts_of(self._routes_of_app.get(guid, ())))
        for guid in routes:
            hosts.update(self._hosts_of([guid]))
            self._drop_route(guid)
            route = tx.get(Route, guid)
            if route is not None:
                found = tuple(tx.all(Destination, route_guid=guid))
                for destination in found:
                    self._read_app(tx, destination.app_guid)
                self._set_route(route, found)
            hosts.update(self._hosts_of([guid]))
        return hosts

    def observe(self, facts: Iterable[InstanceFact]) -> set[str]:
        """Take the observed instances; the hosts whose instances differ from before."""
        before, self.instances = self.instances, routable_instances(facts)
        hosts: set[str] = set()
        for key in before.keys() | self.instances.keys():
            if _places(before.get(key, ())) != _places(self.instances.get(key, ())):
                hosts.update(self._hosts_of(self._routes_of_app.get(key[0], ())))
        return hosts

    def entries(self, host: str) -> tuple[RouteEntry, ...]:
        """The entries of one host, none if it is gone."""
        built = (build_entry(self.routes[guid], self) for guid in sorted(self._hosts.get(host, ())))
        return tuple(entry for entry in built if entry is not None)

    def _read_app(self, tx: ReadTx, guid: str) -> None:
        app = tx.get(App, guid)
        if app is None:
            self.apps.pop(guid, None)
        else:
            self.apps[guid] = app

    def _hosts_of(self, routes: Iterable[str]) -> set[str]:
        found = [route for guid in routes if (route := self.routes.get(guid)) is not None]
        return {
            route_host(route, self.domains[route.domain_guid]) for route in found if route.domain_guid in self.domains
        }

    def _set_route(self, route: Route, destinations: tuple[Destination, ...]) -> None:
        self.routes[route.guid] = route
        self.destinations[route.guid] = destinations
        for destination in destinations:
            self._route_of[destination.guid] = route.guid
            self._routes_of_app.setdefault(destination.app_guid, set()).add(route.guid)
        for host in self._hosts_of([route.guid]):
            self._hosts.setdefault(host, set()).add(route.guid)

    def _drop_route(self, guid: str) -> None:
        for host in self._hosts_of([guid]):
            _discard(self._hosts, host, guid)
        self.routes.pop(guid, None)
        for destination in self.destinations.pop(guid, ()):
            self._route_of.pop(destination.guid, None)
            _discard(self._routes_of_app, destination.app_guid, guid)


def _discard(index: dict[str, set[str]], key: str, value: str) -> None:
    values = index.get(key)
    if values is not None:
        values.discard(value)
        if not values:
            del index[key]


def _places(facts: tuple[InstanceFact, ...]) -> tuple[tuple[str, str | None, int | None, int], ...]:
    return tuple((fact.instance_guid, fact.address, fact.port, fact.index) for fact in facts)


class RouteFeed:
    """The shell around a `Picture`."""

    def __init__(
        self, router: Router, database: Database, observed: Observed, system: Mapping[str, tuple[str, int]]
    ) -> None:
        self._router = router
        self._database = database
        self._observed = observed
        self._system = dict(system)
        self._picture = Picture()

    def publish_all(self) -> None:
        """Read everything and publish it."""
        with self._database.read() as tx:
            self._picture.load(tx)
        self._picture.observe(self._observed.instances())
        self._router.publish(build_table(self._picture.routes.values(), self._picture, self._system))

    def _publish(self, hosts: Iterable[str]) -> None:
        changed = {host: self._picture.entries(host) for host in hosts}
        if changed:
            self._router.publish_hosts(changed)

    async def settle(self, app_guid: str) -> None:
        """Publish what is true of an app now, and wait until Envoy acknowledged it; for ever while there is no Envoy.

        The watches would publish it too, but nobody can tell whether they have come round yet.
        """
        with self._database.read() as tx:
            rows = [("destinations", one.guid) for one in tx.all(Destination, app_guid=app_guid)]
            hosts = self._picture.reread(tx, [("apps", app_guid), *rows])
        if hosts is None:
            self.publish_all()
        else:
            self._publish(hosts | self._picture.observe(self._observed.instances()))
        await self._router.settled()

    async def follow_database(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Publish every change of the database. Reports ready after the first whole table."""
        ready = False
        async with self._database.watch(*TABLES) as changes:
            while True:
                await changes.wait()
                whole = changes.resync
                touched = {(table, str(key)) for table, key in changes.take()}
                hosts = None
                if not whole:
                    with self._database.read() as tx:
                        hosts = self._picture.reread(tx, touched)
                if hosts is None:
                    self.publish_all()
                    if not ready:
                        ready = True
                        task_status.started()
                else:
                    self._publish(hosts)

    async def follow_instances(self) -> None:
        """Publish every change of the observed instances."""
        async with self._observed.watch() as watch:
            while True:
                await watch.wait()
                self._publish(self._picture.observe(self._observed.instances()))


@asynccontextmanager
async def open_route_feed(
    router: Router, database: Database, observed: Observed, system: Mapping[str, tuple[str, int]]
) -> AsyncIterator[RouteFeed]:
    """Keep `router` in step until the block ends. `system` maps the platform's own host names to address and port.

    Open it after the node has found its instances again: the first table opens the router, and an instance that is
    missing from it is taken out of service.
    """
    feed = RouteFeed(router, database, observed, system)
    async with trio.open_nursery() as nursery:
        await nursery.start(feed.follow_database)
        nursery.start_soon(feed.follow_instances)
        try:
            yield feed
        finally:
            nursery.cancel_scope.cancel()
