"""Several databases of one process that know each other by a network in memory, in virtual time."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import trio

from paasd.config import StateConfig
from paasd.peer import MemoryNetwork, MemoryPeers
from paasd.peer.interface import Role
from paasd.state import Database, InlineRunner, LocalLog, Log, MemoryLog, ReadTx
from paasd.state.log import FeedLimits, Voter, open_feed_log
from paasd.state.replication import Fetching, open_replication
from tests.state.things import QUIET, open_things


class Node(msgspec.Struct, kw_only=True):
    """A database, and how it is connected."""

    guid: str
    database: Database
    peers: MemoryPeers


class Cluster:
    """Nodes by guid. `voters` have the log; `hint` names the one that writes for all, as each node sees it."""

    def __init__(self, folder: Path, seed: int = 0, *, delay_s: tuple[float, float] = (0.0005, 0.003)) -> None:
        self.folder = folder
        self.random = Random(seed)
        self.network = MemoryNetwork(self.random, delay_s=delay_s)
        self.nodes: dict[str, Node] = {}
        self.voters: list[Voter] = []
        self.hints: dict[str, str | None] = {}
        self.hint: str | None = None
        self.refused: list[tuple[str, str]] = []
        self.own: dict[str, str] = {}
        self._stacks: dict[str, AsyncExitStack] = {}

    def __getitem__(self, guid: str) -> Database:
        return self.nodes[guid].database

    @asynccontextmanager
    async def node(
        self,
        guid: str,
        log: Log | None = None,
        *,
        role: Role = "control",
        config: StateConfig = QUIET,
        **options: Any,
    ) -> AsyncIterator[Database]:
        """A node that votes with `log`, or follows the voters without one."""
        peers = self.network.add(guid, role)
        run = InlineRunner()
        directory = self.folder / guid
        fetching = Fetching(peers, lambda: self.voters, directory, run)
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            if log is None:
                log = await enter(open_feed_log(peers, lambda: self.voters, limits=FeedLimits(held=50)))
                options.setdefault("fetch", fetching.fetch)
            elif Voter(guid) not in self.voters:
                self.voters.append(Voter(guid))
            seed = self.random.getrandbits(32)
            database = await enter(open_things(directory, config, log=log, seed=seed, **options))
            replication = open_replication(
                database,
                peers,
                config,
                voters=lambda: self.voters,
                hint=lambda: self.hints.get(guid, self.hint),
                progress=lambda: {guid: node.database.index for guid, node in self.nodes.items()},
                own_rows=self._own_rows,
                on_refused=self._on_refused,
                run=run,
                random=Random(seed),
                clock=trio.current_time,
            )
            await enter(replication)
            self.nodes[guid] = Node(guid=guid, database=database, peers=peers)
            try:
                yield database
            finally:
                self.network.remove(guid)

    def isolate(self, guid: str) -> None:
        for other in self.nodes:
            self.network.cut(guid, other)
            self.network.cut(other, guid)

    def heal(self) -> None:
        for one in self.nodes:
            for other in self.nodes:
                self.network.heal(one, other)

    def _own_rows(self, tx: ReadTx, name: str, version: int, arguments: Any) -> str | None:
        return self.own.get(getattr(arguments, "name", "")) if name == "test.grow" else None

    async def _on_refused(self, peer: Any, name: str) -> None:
        self.refused.append((peer.guid, name))


@asynccontextmanager
async def one_voter(
    folder: Path, followers: int = 1, seed: int = 0, **options: Any
) -> AsyncIterator[tuple[Cluster, list[Database]]]:
    """A node that has its own log, hinted at by all, and nodes that follow it."""
    cluster = Cluster(folder, seed)
    async with AsyncExitStack() as stack:
        found = [await stack.enter_async_context(cluster.node("n0", LocalLog(), **options))]
        cluster.hint = "n0"
        for number in range(followers):
            found.append(await stack.enter_async_context(cluster.node(f"n{number + 1}", **options)))
        yield cluster, found


@asynccontextmanager
async def three_voters(
    folder: Path, followers: int = 0, seed: int = 0, **options: Any
) -> AsyncIterator[tuple[Cluster, list[Database], MemoryLog]]:
    """Three nodes that share a log, the first of them hinted at, and nodes that follow them."""
    cluster, log = Cluster(folder, seed), MemoryLog(seed)
    async with AsyncExitStack() as stack:
        found = [
            await stack.enter_async_context(cluster.node(f"n{number}", log.client(), **options)) for number in range(3)
        ]
        cluster.hint = "n0"
        for number in range(3, 3 + followers):
            found.append(await stack.enter_async_context(cluster.node(f"n{number}", **options)))
        yield cluster, found, log
