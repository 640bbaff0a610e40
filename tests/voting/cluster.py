"""Nodes of one process with real etcd: databases that know each other by a network in memory, votes as rows say."""

import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import trio

from paasd.config import StateConfig
from paasd.errors import Unavailable
from paasd.model import Authority, GossipKey, Node
from paasd.model.arguments import SYSTEM
from paasd.model.draining import DrainNode, drain_node
from paasd.model.membership import Advertise, OpenCluster, advertise_node, open_cluster
from paasd.model.nodes import RegisterNode, SetNodeState, register_node, set_node_state
from paasd.peer import MemoryNetwork
from paasd.state import Database, InlineRunner, LocalLog, Log, open_database
from paasd.state.engine import read_standing
from paasd.state.log import FeedLog, Voter, open_feed_log
from paasd.state.log.etcd import EtcdLog
from paasd.state.replication import Fetching, open_replication
from paasd.state.sealing import load_root_key, open_sealer
from paasd.voting import Seat, open_seat, open_voting
from tests.etcd.members import free_port

QUIET = StateConfig(snapshot_interval_s=0)
LIMIT_S = 40.0


class Town:
    """Nodes by guid, which is their name too. `zones` says where the next ones are."""

    def __init__(self, directory: Path, nursery: trio.Nursery, *, strict: bool) -> None:
        self._strict = strict
        self.directory = directory
        self._nursery = nursery
        self.network = MemoryNetwork(Random(1), delay_s=(0.0002, 0.001))
        self.databases: dict[str, Database] = {}
        self.seats: dict[str, Seat] = {}
        self.unreachable: set[str] = set()
        self._ports: dict[str, tuple[int, int]] = {}
        self._ends: dict[str, tuple[trio.Event, trio.Event]] = {}

    def votes(self, seen_by: str) -> str:
        """Guids of the voters, as a node's rows have them."""
        with self.databases[seen_by].read() as tx:
            return "".join(sorted(node.guid for node in tx.all(Node, voting="VOTER")))

    def nodes(self, seen_by: str) -> dict[str, Node]:
        with self.databases[seen_by].read() as tx:
            return {node.guid: node for node in tx.all(Node)}

    def _voters(self, guid: str) -> list[Voter]:
        if guid in self.databases:
            with self.databases[guid].read() as tx:
                found = [node for node in tx.all(Node) if node.voting in ("VOTER", "LEAVING")]
            return [Voter(node.guid, node.zone) for node in found]
        return [Voter("a")]

    async def start(self, guid: str, zone: str = "z", *, outlive: bool = False) -> Database:
        """A node comes up, as the first, as one that joins, or as it was before."""
        self.unreachable.discard(guid)
        self._ends[guid] = trio.Event(), trio.Event()
        await self._nursery.start(self._live, guid, zone, outlive)
        return self.databases[guid]

    async def _live(self, guid: str, zone: str, outlive: bool, task_status: trio.TaskStatus[None]) -> None:
        end, ended = self._ends[guid]
        try:
            async with AsyncExitStack() as stack:
                await self._open(stack.enter_async_context, guid, zone, outlive)
                task_status.started()
                await end.wait()
                self.network.remove(guid)
        finally:
            del self._ends[guid]
            ended.set()

    async def _open(self, enter: Any, guid: str, zone: str, outlive: bool) -> None:
        folder = self.directory / guid
        folder.mkdir(exist_ok=True)
        first, standing = not self.databases, read_standing(folder / "state.db")
        if not (folder / "root-key").exists() and guid != "a":
            shutil.copy2(self.directory / "a" / "root-key", folder / "root-key")
        peers, run = self.network.add(guid), InlineRunner()
        seat = await enter(open_seat(folder / "etcd", guid, outlive=outlive, clock=time.time))
        fetching = Fetching(peers, lambda: self._voters(guid), folder, run)

        def open_feed(identity: str = "") -> AbstractAsyncContextManager[FeedLog]:
            return open_feed_log(peers, lambda: self._voters(guid), follows=identity)

        log: Log
        if standing is not None and standing.kind == "etcd":
            await seat.resume()
            log = await seat.log(standing.identity)
        elif (standing is None and first) or (standing is not None and standing.kind == "local"):
            log = LocalLog()
        else:
            log = await enter(open_feed())
        database = await enter(
            open_database(
                folder,
                QUIET,
                log=log,
                node=guid,
                start=seat.start_log,
                fetch=None if isinstance(log, LocalLog) else fetching.fetch,
                runner=run,
                sync=False,
            )
        )
        self.databases[guid], self.seats[guid] = database, seat
        await enter(
            open_replication(
                database,
                peers,
                QUIET,
                voters=lambda: self._voters(guid),
                hint=lambda: min(set(self.votes(guid)) - self.unreachable, default=None),
                progress=lambda: {each: one.index for each, one in self.databases.items()},
                run=run,
            )
        )
        sealer = await open_sealer(database, load_root_key(folder / "root-key"))
        await enter(
            open_voting(
                seat,
                database,
                sealer,
                listen="127.0.0.1",
                open_feed=open_feed,
                unreachable=lambda: self.unreachable,
                strict=self._strict,
                clock=time.time,
            )
        )
        with trio.fail_after(LIMIT_S):
            while not await self._is_registered(database, guid, zone):
                await trio.sleep(0.05)

    async def _is_registered(self, database: Database, guid: str, zone: str) -> bool:
        try:
            await self._register(database, guid, zone)
        except Unavailable:  # no quorum yet
            return False
        return True

    async def _register(self, database: Database, guid: str, zone: str) -> None:
        register = RegisterNode(guid=guid, name=guid, zone=zone, memory_mb=1, disk_mb=1, cpus=1)
        await database.write(register_node, register)
        if guid == "a":
            key = GossipKey(id="k", sealed="s", state="SENDING")
            rows = [
                Authority(guid=purpose, purpose=purpose, certificate="c", sealed_key="s", state="SIGNING")
                for purpose in ("nodes", "public")
            ]
            opened = OpenCluster(cluster_id="c", node_guid="a", authority=rows[0], public=rows[1], gossip_key=key)
            await database.write(open_cluster, opened)
        client, peer = self._ports.setdefault(guid, (free_port(), free_port()))
        where = Advertise(
            guid=guid,
            address="127.0.0.1",
            peer_port=1,
            tunnel_port=2,
            etcd_client_port=client,
            etcd_peer_port=peer,
            version="1",
            schema_limit=1,
        )
        await database.write(advertise_node, where)

    async def stop(self, guid: str) -> None:
        """The daemon ends in order; whether etcd does too was said at the start."""
        end, ended = self._ends[guid]
        end.set()
        await ended.wait()

    async def lose(self, guid: str) -> None:
        """The machine is gone."""
        member = self.seats[guid].member
        await self.stop(guid)
        await member.stop()
        self.unreachable.add(guid)

    async def declare_dead(self, guid: str, by: str) -> None:
        node = self.nodes(by)[guid]
        done = SetNodeState(guid=guid, incarnation=node.incarnation, state="DEAD")
        assert await self.databases[by].write(set_node_state, done)

    async def drain(self, guid: str, by: str) -> None:
        await self.databases[by].write(drain_node, DrainNode(node_guid=guid, actor=SYSTEM))

    async def until_votes(self, expected: str, seen_by: str = "a") -> None:
        """Until these have a vote, run etcd, and nobody else does."""
        with trio.move_on_after(LIMIT_S):
            while not self._is_settled(expected, seen_by):
                await trio.sleep(0.02)
            return
        rows = {guid: (node.voting, node.state) for guid, node in self.nodes(seen_by).items()}
        logs = {guid: type(self.databases[guid].log).__name__ for guid in self._ends}
        words = {guid: self.seats[guid].member.last_words() for guid in self._ends}
        raise AssertionError(f"not {expected}: rows {rows}, logs {logs}, etcd says {words}")

    def _is_settled(self, expected: str, seen_by: str) -> bool:
        nodes = self.nodes(seen_by)
        if {guid for guid, node in nodes.items() if node.voting} != set(expected) or self.votes(seen_by) != expected:
            return False
        return all(
            isinstance(self.databases[guid].log, EtcdLog) == (guid in expected)
            and (self.seats[guid].runs is not None) == self.seats[guid].member.has_data == (guid in expected)
            for guid in self._ends
        )

    async def close(self) -> None:
        for guid in reversed(list(self._ends)):
            await self.stop(guid)
        for seat in self.seats.values():
            await seat.member.stop()


@asynccontextmanager
async def town(*, strict: bool = False) -> AsyncIterator[Town]:
    """Nobody yet; everything is gone afterwards. A strict etcd takes five seconds for each change."""
    directory = Path(tempfile.mkdtemp(dir="/dev/shm"))
    async with trio.open_nursery() as nursery:
        found = Town(directory, nursery, strict=strict)
        try:
            yield found
        finally:
            with trio.CancelScope(shield=True):
                await found.close()
                shutil.rmtree(directory, ignore_errors=True)
