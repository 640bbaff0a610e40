"""Several nodes under virtual time: real databases on one log with quorum, real scheduler, liveness and lease holders.

What is played: the supervisor and the shim (`playing.py`), and gossip: facts come over while a way exists, directly or
through a third, and who gave no sign for `DETECT_S` is unreachable.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random

import msgspec
import trio

from paasd.config import Config, LeasesConfig, LivenessConfig, SchedulerConfig
from paasd.model import App, Build, Droplet, Instance, Label, Lease, Node, Process, Setting, Space
from paasd.model.leases import SINGLETON_LABEL, instance_slot
from paasd.scheduler import make_acts, open_liveness, open_scheduler
from paasd.state import Database, InlineRunner, Tx, open_database, operation
from tests.scheduler.playing import PlayedNode
from tests.virtual.network import Network
from tests.virtual.quorum import QuorumLog

ROUND_S = 0.2
BEGINNING_S = 1_700_000_000.0
LEASE_S = 20.0
CONFIG = Config(
    scheduler=SchedulerConfig(period_s=5.0, rebalance_after_s=20.0),
    liveness=LivenessConfig(flap_grace_s=5.0),
    leases=LeasesConfig(duration_s=LEASE_S, margin_s=2.0),
)


class Plant(msgspec.Struct):
    nodes: list[Node]
    apps: list[App]
    processes: list[Process]
    singles: list[str]


@operation("test.plant_cluster", version=1)
def plant(tx: Tx, args: Plant) -> None:
    tx.insert(Space(guid="space", name="space", organization_guid="org"))
    for row in (*args.nodes, *args.apps, *args.processes):
        tx.insert(row)
    for app in args.apps:
        tx.insert(Droplet(guid=f"{app.guid}-droplet", app_guid=app.guid, stack="host"))
    for guid in args.singles:
        tx.insert(Label(resource_guid=guid, key=SINGLETON_LABEL, resource_type="app", value="true"))


class Cluster:
    """`zones` by node; the first `voters` nodes are those whose majority makes a quorum."""

    def __init__(self, zones: Mapping[str, str], voters: Sequence[str], seed: int) -> None:
        self.zones = zones
        self.random = Random(seed)
        self.network = Network(list(zones))
        self.quorum = QuorumLog(self.random, voters, self.network.passes)
        self.nodes = {guid: PlayedNode(guid, self.network) for guid in zones}
        self.least_serving: dict[str, int] = {}
        self.most_alive: dict[str, int] = {}
        self.nursery: trio.Nursery

    async def play(self) -> None:
        """Gossip, supervisors and shims, and what can be said of all of them at any moment."""
        while True:
            now = trio.current_time()
            for guid, node in self.nodes.items():
                if self.network.up(guid):
                    node.supervise(now, self.nursery)
                    node.hear(now, self.nodes)
            self._count()
            await trio.sleep(ROUND_S)

    def _count(self) -> None:
        serving: dict[str, set[int]] = defaultdict(set)
        alive: dict[str, int] = defaultdict(int)
        for guid, node in self.nodes.items():
            if self.network.up(guid):
                for fact in node.facts.values():
                    alive[fact.process_guid] += fact.address is not None
                    if fact.routable:
                        serving[fact.process_guid].add(fact.index)
        for process in {*serving, *self.least_serving}:
            count = len(serving[process])
            self.least_serving[process] = min(self.least_serving.get(process, count), count)
        for process, count in alive.items():
            self.most_alive[process] = max(self.most_alive.get(process, 0), count)

    def kill(self, *guids: str) -> None:
        """Everything of the nodes is gone at once, their instances included."""
        for guid in guids:
            self.network.down.add(guid)
            self.nodes[guid].die()

    @property
    def reader(self) -> Database:
        """The database of a node that is in touch."""
        return next(node for guid, node in self.nodes.items() if self.quorum.available_to(guid)).database

    def rows(self) -> list[Instance]:
        """Instances by their rows."""
        with self.reader.read() as tx:
            return tx.all(Instance, order=("process_guid", "index", "epoch"))

    def state(self, node: str) -> str:
        with self.reader.read() as tx:
            return tx.need(Node, node).state

    def setting(self, name: str) -> Setting | None:
        with self.reader.read() as tx:
            return tx.get(Setting, name)

    def lease(self, process: str) -> Lease | None:
        with self.reader.read() as tx:
            return tx.get(Lease, instance_slot(process, 0))

    def build(self, guid: str) -> Build:
        with self.reader.read() as tx:
            return tx.need(Build, guid)

    def serving(self, process: str) -> dict[int, str]:
        """Node by index of what serves, also where nobody can see it."""
        up = [node for guid, node in self.nodes.items() if guid not in self.network.down]
        facts = [fact for node in up for fact in node.facts.values()]
        return {fact.index: fact.node_guid for fact in facts if fact.process_guid == process and fact.routable}

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> float:
        """How long it took, in virtual seconds."""
        began = trio.current_time()
        with trio.fail_after(timeout_s):
            while not condition():
                await trio.sleep(0.05)
        return trio.current_time() - began

    async def settled(self) -> None:
        """Until everybody knows everything that was written."""
        log = self.quorum.log
        await self.until(lambda: all(one.database.index == log.newest for one in self.nodes.values()), 20)


def now_s() -> float:
    return BEGINNING_S + trio.current_time()


@asynccontextmanager
async def open_cluster(
    directory: Path,
    zones: Mapping[str, str],
    *,
    voters: Sequence[str] | None = None,
    apps: Mapping[str, int] | None = None,
    singles: Sequence[str] = (),
    memory_mb: int = 1000,
    config: Config = CONFIG,
    seed: int = 1,
) -> AsyncIterator[Cluster]:
    """Nodes named and zoned by `zones`, apps with so many instances of 100 MB, all of them running."""
    cluster = Cluster(zones, voters or list(zones)[:3], seed)
    wanted = {"dora": 2} if apps is None else dict(apps)
    wanted.update(dict.fromkeys(singles, 1))
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        for guid, node in cluster.nodes.items():
            log = cluster.quorum.client(guid)
            node.database = await enter(
                open_database(directory / guid, log=log, runner=InlineRunner(), sync=False, clock=now_s, node=guid)
            )
        first = next(iter(cluster.nodes.values()))
        await first.database.write(plant, _rows(zones, wanted, singles, memory_mb))
        cluster.nursery = await enter(trio.open_nursery())
        cluster.nursery.start_soon(cluster.play)
        for node in cluster.nodes.values():
            node.open_leasing(cluster.nursery)
            acts = make_acts(node.database, node.unreachable, node.guid)
            node.scheduler = await enter(open_scheduler(config, node.database, now_s, sight=node, acts=acts))
            await enter(open_liveness(config.liveness, node.database, node, acts, node_guid=node.guid, clock=now_s))
        total = sum(wanted.values())
        await cluster.until(lambda: sum(len(cluster.serving(f"{name}-web")) for name in wanted) == total, 30)
        await cluster.settled()
        cluster.least_serving.clear()
        cluster.most_alive.clear()
        yield cluster
        cluster.nursery.cancel_scope.cancel()


def _rows(zones: Mapping[str, str], wanted: Mapping[str, int], singles: Sequence[str], memory_mb: int) -> Plant:
    return Plant(
        nodes=[
            Node(guid=guid, name=guid, zone=zone, memory_mb=memory_mb, disk_mb=90_000, cpus=2, incarnation=1)
            for guid, zone in zones.items()
        ],
        apps=[
            App(guid=name, name=name, space_guid="space", state="STARTED", droplet_guid=f"{name}-droplet", version=1)
            for name in wanted
        ],
        processes=[
            Process(guid=f"{name}-web", app_guid=name, type="web", instances=count, memory_mb=100, disk_mb=100)
            for name, count in wanted.items()
        ],
        singles=list(singles),
    )
