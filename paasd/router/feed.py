"""Keeps the router's table equal to the database and the observed instances, by re-reading what changed.

Level-triggered: a wake-up says what to look at, never what it is. The first table is read whole; after that a change
costs the rows that it touched, whatever the size of the table. Everything happens between two awaits, so the two
watches need no lock.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

import trio

from paasd.model.records import Destination, Instance
from paasd.observed import Observed
from paasd.router.doorway import Door
from paasd.router.neighbours import Doors, ProcessKey
from paasd.router.picture import TABLES, Picture
from paasd.router.router import Router
from paasd.router.routes import build_table
from paasd.state import Database

Unreachable = Callable[[], frozenset[str]]


def _nobody() -> frozenset[str]:
    return frozenset()


class RouteFeed:
    """The shell around a `Picture`."""

    def __init__(
        self, router: Router, database: Database, observed: Observed, unreachable: Unreachable, picture: Picture
    ) -> None:
        self._router = router
        self._database = database
        self._observed = observed
        self._unreachable = unreachable
        self._picture = picture

    def _observe(self) -> set[str]:
        return self._picture.observe(self._observed.facts(), self._unreachable())

    def publish_all(self) -> None:
        """Read everything and publish it."""
        with self._database.read() as tx:
            self._picture.load(tx)
        self._observe()
        # First, since the table's endpoints lead there.
        self._router.publish_links(self._picture.links())
        self._router.publish_doors(self._picture.doors())
        routes = self._picture.routes.values()
        self._router.publish(build_table(routes, self._picture, self._picture.public, self._picture.system()))

    def _publish(self, hosts: Iterable[str]) -> None:
        self._router.publish_links(self._picture.links())
        self._router.publish_names(self._picture.public, self._picture.system())
        self._router.publish_doors(self._picture.doors())
        ports = {int(host[1:]) for host in hosts if host.startswith(":")}
        if ports:
            self._router.publish_ports({port: self._picture.port_entry(port) for port in ports})
        changed = {host: self._picture.entries(host) for host in hosts if not host.startswith(":")}
        if changed:
            self._router.publish_hosts(changed)

    def lead(self, callees: Mapping[Door, ProcessKey]) -> None:
        """From now on these addresses and ports stand for these processes."""
        self._picture.callees = dict(callees)
        self._router.publish_doors(self._picture.doors())

    async def settle(self, app_guid: str) -> None:
        """Publish what is true of an app now, and wait until Envoy acknowledged it; for ever while there is no Envoy.

        The watches would publish it too, but nobody can tell whether they have come round yet.
        """
        with self._database.read() as tx:
            rows = [("destinations", one.guid) for one in tx.all(Destination, app_guid=app_guid)]
            instances = [("instances", fact.instance_guid) for fact in self._observed.instances(app_guid)]
            hosts = self._picture.reread(tx, [("apps", app_guid), *rows, *instances])
        if hosts is None:
            self.publish_all()
        else:
            self._publish(hosts | self._observe())
        await self._router.settled()

    async def without(self, instance_guid: str, epoch: int) -> None:
        """Wait until the row of this run of an instance is gone from here, and Envoy sends it nothing new."""
        async with self._database.watch("instances") as changes:
            while self._is_wanted(instance_guid, epoch):
                await changes.wait()
                changes.take()
        with self._database.read() as tx:
            hosts = self._picture.reread(tx, [("instances", instance_guid)])
        if hosts is not None:
            self._publish(hosts)
        await self._router.settled()

    async def serving(self, app_guid: str, index: int, runs: Mapping[str, int]) -> None:
        """Wait until entry `index` and these runs of an app, epochs by instance, are known here; then as `settle`."""
        await self._database.wait_beyond(index - 1)
        async with self._observed.watch() as watch:
            while not self._knows(app_guid, runs):
                await watch.wait()
        await self.settle(app_guid)

    def _knows(self, app_guid: str, runs: Mapping[str, int]) -> bool:
        known = {fact.instance_guid: fact.epoch for fact in self._observed.instances(app_guid) if fact.routable}
        return all(known.get(guid, -1) >= epoch for guid, epoch in runs.items())

    def _is_wanted(self, instance_guid: str, epoch: int) -> bool:
        with self._database.read() as tx:
            row = tx.get(Instance, instance_guid)
        return row is not None and row.epoch <= epoch

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
        """Publish every change of the observed instances, and of which nodes can be reached."""
        async with self._observed.watch() as watch:
            while True:
                await watch.wait()
                self._publish(self._observe())


@asynccontextmanager
async def open_route_feed(
    router: Router,
    database: Database,
    observed: Observed,
    doors: Doors,
    *,
    node_guid: str,
    unreachable: Unreachable = _nobody,
    callees: Mapping[Door, ProcessKey] | None = None,
) -> AsyncIterator[RouteFeed]:
    """Keep `router` in step until the block ends.

    `doors` maps the platform's own host names to address and port on this node, or to None on a node that does not
    serve them itself. Node rows say where the others are; `unreachable` says which of them not to try, and changes of
    it must wake the watches of `observed`. `callees` is what `lead` replaces, so that calls survive a restart.

    Open it after the node has found its instances again, and opened its tunnels if it has any: the first table opens
    the router, and what is missing from it is taken out of service.
    """
    picture = Picture(node_guid, doors)
    picture.callees = dict(callees or {})
    feed = RouteFeed(router, database, observed, unreachable, picture)
    async with trio.open_nursery() as nursery:
        await nursery.start(feed.follow_database)
        nursery.start_soon(feed.follow_instances)
        try:
            yield feed
        finally:
            nursery.cancel_scope.cancel()
