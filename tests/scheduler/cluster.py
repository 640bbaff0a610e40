"""Several nodes under virtual time: real databases on one log with quorum, real scheduler and liveness, and a network.

What is played: the supervisor (a row becomes a RUNNING fact after a while, a missing row no fact) and gossip (facts
come over while a way exists; who gave no sign for `DETECT_S` is unreachable).
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import trio

from paasd.config import Config, LivenessConfig, SchedulerConfig
from paasd.model import App, Droplet, Instance, Node, Process, Setting, Space
from paasd.observed import InstanceFact, Watch
from paasd.scheduler import Scheduler, make_acts, open_liveness, open_scheduler
from paasd.state import Database, InlineRunner, LogUnavailable, MemoryLog, Tx, open_database, operation
from paasd.state.log.interface import Refused
from paasd.state.log.memory import MemoryLogClient

DETECT_S = 4.0
START_S = 1.0
ROUND_S = 0.2
BEGINNING_S = 1_700_000_000.0
CONFIG = Config(scheduler=SchedulerConfig(period_s=5.0), liveness=LivenessConfig(flap_grace_s=5.0))


class Plant(msgspec.Struct):
    nodes: list[Node]
    apps: list[App]
    processes: list[Process]


@operation("test.plant_cluster", version=1)
def plant(tx: Tx, args: Plant) -> None:
    tx.insert(Space(guid="space", name="space", organization_guid="org"))
    for row in (*args.nodes, *args.apps, *args.processes):
        tx.insert(row)
    for app in args.apps:
        tx.insert(Droplet(guid=f"{app.guid}-droplet", app_guid=app.guid, stack="host"))


class Said(msgspec.Struct):
    unreachable: tuple[str, ...] = ()


class Network:
    """Who can send to whom. `cut` works on one direction; a node that is down or paused neither sends nor answers."""

    def __init__(self, nodes: Sequence[str]) -> None:
        self.nodes = nodes
        self.down: set[str] = set()
        self.paused: set[str] = set()
        self._cut: set[tuple[str, str]] = set()

    def cut(self, sources: Iterable[str], targets: Iterable[str], *, both: bool = True) -> None:
        targets = list(targets)
        for source in sources:
            for target in targets:
                self._cut.add((source, target))
                if both:
                    self._cut.add((target, source))

    def heal(self) -> None:
        self._cut.clear()

    def isolate(self, *nodes: str) -> None:
        self.cut(nodes, [one for one in self.nodes if one not in nodes])

    def up(self, node: str) -> bool:
        return node not in self.down and node not in self.paused

    def passes(self, source: str, target: str) -> bool:
        return self.up(source) and self.up(target) and (source, target) not in self._cut

    def both_ways(self, one: str, two: str) -> bool:
        return one == two or (self.passes(one, two) and self.passes(two, one))

    def probes(self, one: str, two: str) -> bool:
        """Directly, or through a third as SWIM does."""
        if self.both_ways(one, two):
            return True
        return any(self.both_ways(one, other) and self.both_ways(other, two) for other in self.nodes)


class QuorumLog(MemoryLogClient):
    """The log as a node sees it that reaches more than half of the voters, or fails."""

    def __init__(self, log: MemoryLog, node: str, reached: Callable[[str], bool]) -> None:
        super().__init__(log)
        self._node = node
        self._reached = reached

    def _need(self) -> None:
        if not self._reached(self._node):
            raise LogUnavailable("the log has no quorum; nothing was changed")

    async def append(self, index: int, data: bytes) -> Refused | None:
        await trio.sleep(0.005)
        self._need()
        return await super().append(index, data)

    async def read(self, after: int, limit: int) -> Sequence[bytes]:
        self._need()
        return await super().read(after, limit)

    async def newest(self) -> int:
        self._need()
        return await super().newest()

    async def wait_newer(self, after: int) -> None:
        while self._log.newest <= after or not self._reached(self._node):
            await trio.sleep(0.05)


class PlayedNode:
    """One node's facts, what it knows of the others', and its parts."""

    def __init__(self, guid: str, network: Network, cluster: "Cluster") -> None:
        self.guid = guid
        self.database: Database
        self.scheduler: Scheduler
        self.facts: dict[str, InstanceFact] = {}
        self.said = Said()
        self._network = network
        self._cluster = cluster
        self._known: dict[str, tuple[dict[str, InstanceFact], Said]] = {}
        self._heard: dict[str, float] = {}
        self._gone: frozenset[str] = frozenset()
        self._watches: set[Watch] = set()
        self._since: dict[str, float] = {}

    # The Sight of the scheduler.
    def instances(self, app_guid: str | None = None) -> list[InstanceFact]:
        known = {**self._known, self.guid: (self.facts, self.said)}
        return [fact for facts, _ in known.values() for fact in facts.values() if app_guid in (None, fact.app_guid)]

    def nodes(self) -> Mapping[str, Said]:
        return {guid: said for guid, (_, said) in self._known.items()}

    def unreachable(self) -> frozenset[str]:
        return self._gone

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[Watch]:
        watch = Watch()
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    def hear(self, now: float) -> None:
        """A round of gossip as this node perceives it."""
        for guid, other in self._cluster.nodes.items():
            if guid == self.guid:
                continue
            if self._network.probes(self.guid, guid):
                self._heard[guid] = now
                self._known[guid] = dict(other.facts), other.said
        self._gone = frozenset(
            guid
            for guid in self._cluster.nodes
            if guid != self.guid and now - self._heard.setdefault(guid, now) > DETECT_S
        )
        self.said = Said(unreachable=tuple(sorted(self._gone)))
        for watch in self._watches:
            watch.wake()

    def supervise(self, now: float) -> None:
        """Facts follow rows; the dead have none."""
        with self.database.read() as tx:
            rows = {row.guid: row for row in tx.all(Instance, node_guid=self.guid)}
        for guid, row in rows.items():
            since = self._since.setdefault(guid, now)
            running = now - since >= START_S
            self.facts[guid] = InstanceFact(
                instance_guid=guid,
                epoch=row.epoch,
                node_guid=self.guid,
                app_guid=row.app_guid,
                process_guid=row.process_guid,
                process_type=row.process_type,
                index=row.index,
                state="RUNNING" if running else "STARTING",
                since=since,
                routable=running,
            )
        for guid in self.facts.keys() - rows.keys():
            del self.facts[guid], self._since[guid]


class Cluster:
    """`zones` by node; the first `voters` nodes are those whose majority makes a quorum."""

    def __init__(self, zones: Mapping[str, str], voters: Sequence[str]) -> None:
        self.zones = zones
        self.voters = voters
        self.network = Network(list(zones))
        self.log = MemoryLog(1)
        self.nodes = {guid: PlayedNode(guid, self.network, self) for guid in zones}
        self.least_serving: dict[str, int] = {}

    def has_quorum(self, node: str) -> bool:
        reached = sum(self.network.up(node) and self.network.both_ways(node, voter) for voter in self.voters)
        return 2 * reached > len(self.voters)

    async def play(self) -> None:
        """Gossip and supervisors, and the count of what serves at any moment."""
        while True:
            now = trio.current_time()
            for guid, node in self.nodes.items():
                if self.network.up(guid):
                    node.supervise(now)
                    node.hear(now)
            self._count()
            await trio.sleep(ROUND_S)

    def _count(self) -> None:
        serving: dict[str, set[int]] = defaultdict(set)
        for guid, node in self.nodes.items():
            if guid not in self.network.down:
                for fact in node.facts.values():
                    if fact.routable:
                        serving[fact.process_guid].add(fact.index)
        for process in {*serving, *self.least_serving}:
            count = len(serving[process])
            self.least_serving[process] = min(self.least_serving.get(process, count), count)

    def kill(self, *guids: str) -> None:
        """Everything of the nodes is gone at once, their instances included."""
        for guid in guids:
            self.network.down.add(guid)
            self.nodes[guid].facts.clear()

    def rows(self, of: str | None = None) -> list[Instance]:
        """Instances by their rows, as one node knows them."""
        with self._reader(of).read() as tx:
            return tx.all(Instance, order=("process_guid", "index", "epoch"))

    def state(self, node: str, of: str | None = None) -> str:
        with self._reader(of).read() as tx:
            return tx.need(Node, node).state

    def setting(self, name: str) -> Setting | None:
        with self._reader(None).read() as tx:
            return tx.get(Setting, name)

    def _reader(self, of: str | None) -> Database:
        name = of or next(guid for guid in self.nodes if self.has_quorum(guid))
        return self.nodes[name].database

    def serving(self, process: str) -> dict[int, str]:
        """Node by index of what serves."""
        facts = [
            fact for guid, node in self.nodes.items() if guid not in self.network.down for fact in node.facts.values()
        ]
        return {fact.index: fact.node_guid for fact in facts if fact.process_guid == process and fact.routable}

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> float:
        """How long it took, in virtual seconds."""
        began = trio.current_time()
        with trio.fail_after(timeout_s):
            while not condition():
                await trio.sleep(0.05)
        return trio.current_time() - began


def now_s() -> float:
    return BEGINNING_S + trio.current_time()


@asynccontextmanager
async def open_cluster(
    directory: Path,
    zones: Mapping[str, str],
    *,
    voters: Sequence[str] | None = None,
    apps: Mapping[str, int] | None = None,
    memory_mb: int = 1000,
    config: Config = CONFIG,
) -> AsyncIterator[Cluster]:
    """Nodes named and zoned by `zones`, apps with so many instances of 100 MB, all of them running."""
    cluster = Cluster(zones, voters or list(zones)[:3])
    wanted = {"dora": 2} if apps is None else apps
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        for guid, node in cluster.nodes.items():
            log = QuorumLog(cluster.log, guid, cluster.has_quorum)
            node.database = await enter(
                open_database(directory / guid, log=log, runner=InlineRunner(), sync=False, clock=now_s, node=guid)
            )
        first = next(iter(cluster.nodes.values()))
        rows = [
            Node(guid=guid, name=guid, zone=zone, memory_mb=memory_mb, disk_mb=90_000, cpus=2, incarnation=1)
            for guid, zone in zones.items()
        ]
        started = [
            App(guid=name, name=name, space_guid="space", state="STARTED", droplet_guid=f"{name}-droplet", version=1)
            for name in wanted
        ]
        processes = [
            Process(guid=f"{name}-web", app_guid=name, type="web", instances=count, memory_mb=100, disk_mb=100)
            for name, count in wanted.items()
        ]
        await first.database.write(plant, Plant(rows, started, processes))
        nursery = await enter(trio.open_nursery())
        nursery.start_soon(cluster.play)
        for node in cluster.nodes.values():
            acts = make_acts(node.database, node.unreachable, node.guid)
            node.scheduler = await enter(open_scheduler(config, node.database, now_s, sight=node, acts=acts))
            await enter(open_liveness(config.liveness, node.database, node, acts, node_guid=node.guid, clock=now_s))
        total = sum(wanted.values())
        await cluster.until(lambda: sum(len(cluster.serving(f"{name}-web")) for name in wanted) == total, 30)
        await cluster.until(lambda: all(one.database.index == cluster.log.newest for one in cluster.nodes.values()), 10)
        cluster.least_serving.clear()
        yield cluster
        nursery.cancel_scope.cancel()


Act = Callable[[Cluster], Awaitable[None]]
