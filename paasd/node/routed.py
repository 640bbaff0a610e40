"""The last step of a push: the routers of all nodes serve what was pushed."""

import trio

from paasd.model.liveness import live_members
from paasd.node.start import Start
from paasd.peer import Peers
from paasd.router import RouteFeed, Router, reach_routers
from paasd.state import Database


class Routed:
    """The API is there before the feed that knows it, so who is early waits."""

    def __init__(self, start: Start, peers: Peers) -> None:
        self._start = start
        self._peers = peers
        self._parts: tuple[RouteFeed, Database] | None = None
        self._router: Router | None = None
        self._opened = trio.Event()

    def open(self, feed: RouteFeed, database: Database, router: Router) -> None:
        self._parts, self._router = (feed, database), router
        self._opened.set()

    def busy_ports(self) -> tuple[int, ...]:
        """Those of TCP routes that another program of this host has."""
        return () if self._router is None else self._router.taken_ports

    async def wait(self, app_guid: str) -> None:
        """Until Envoy acknowledged the routes of the app to what runs of it now: the own one, and for a while others.

        A node that does not answer in time is not waited for: it follows, or is lost and its router serves nobody.
        """
        await self._opened.wait()
        assert self._parts is not None
        feed, database = self._parts
        await feed.settle(app_guid)
        observed = self._start.observed
        runs = {fact.instance_guid: fact.epoch for fact in observed.instances(app_guid) if fact.routable}
        nodes = router_nodes(self._start, database) - {self._start.guid}
        limit_s = self._start.config.supervisor.leave_timeout_s
        await reach_routers(self._peers, nodes, app_guid, database.index, runs, timeout_s=limit_s)


def router_nodes(start: Start, database: Database) -> frozenset[str]:
    """Nodes with a router for the apps of all others that can be reached from here."""
    gone = start.observed.unreachable()
    with database.read() as tx:
        return frozenset(node.guid for node in live_members(tx) if node.tunnel_port and node.guid not in gone)
