"""One seed: a platform, what befalls it, who works with it meanwhile, and what must be true of it afterwards."""

import shutil
from pathlib import Path
from random import Random

import structlog
import trio

from paasd.errors import PaasdError
from paasd.model import Instance, Lease, Node, Process
from paasd.model.arguments import SYSTEM
from paasd.model.brake import read_brake
from paasd.model.draining import DrainNode, undrain_node
from paasd.state.checking import contents
from tests.simulation.joint.clients import Client, check_counts
from tests.simulation.joint.faults import FAULTS, calm
from tests.simulation.joint.laws import BrokenLaw, Laws
from tests.simulation.joint.platform import Platform, Shape, open_platform, seedling
from tests.virtual.running import run_virtually

SHAPES = [
    Shape((("a1", "a"), ("b1", "b"), ("c1", "c")), ("a1", "b1", "c1"), (("dora", 2),), ("one",)),
    Shape((("a1", "a"), ("b1", "b"), ("c1", "c"), ("c2", "c")), ("a1", "b1", "c1"), (("dora", 3),), ("one",)),
    Shape(
        (("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b"), ("c1", "c")),
        ("a1", "b1", "c1"),
        (("dora", 3), ("web", 1)),
        ("one", "two"),
    ),
]
WARM_S = 3.0
HEALED_S = 10.0
SETTLED_S = 240.0
REST_S = 30.0
"""A move or two, and two comparisons of what gossip has lost."""
CLIENTS = 3


class Story:
    """`trace` is a hash of all that happened."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(f"joint {seed}")
        self.shape = self.random.choice(SHAPES)
        self.trace = 0
        self.laws: Laws
        self.platform: Platform
        self.clients: list[Client]

    async def run(self, folder: Path) -> None:
        async with open_platform(self.seed, self.shape, folder) as platform:
            self.platform = platform
            self.laws = laws = Laws(platform, self.seed)
            platform.on_end = laws.daemon_ends
            trio.lowlevel.add_instrument(laws)
            try:
                with trio.CancelScope() as scope:
                    laws.stop = scope.cancel
                    await self._tell()
            except* AssertionError as group:
                error = leaf(group)
                laws.run(lambda: _again(error))
            finally:
                trio.lowlevel.remove_instrument(laws)
                self.trace = platform.fabric.trace
            if laws.broken is not None:
                raise laws.broken

    async def _tell(self) -> None:
        platform, random = self.platform, self.random
        for machine in platform.machines.values():
            machine.rate = random.uniform(0.97, 1.03)
            machine.offset_s = random.uniform(-3, 3)
        for guid in platform.zones:
            platform.start(guid)
        await platform.until(lambda: len(platform.open_daemons()) == len(platform.zones), 10, lambda: "not all start")
        self.clients = [Client(platform, self.seed, number) for number in range(CLIENTS)]
        async with trio.open_nursery() as nursery:
            for client in self.clients:
                nursery.start_soon(client.run, self.clients)
            await trio.sleep(WARM_S)
            for _ in range(random.randint(4, 9)):
                await random.choice(FAULTS)(platform, random)
                await trio.sleep(random.choice([0.3, 1.0, 3.0, 6.0]) * random.uniform(0.5, 1.5))
            await self._recover()
            nursery.cancel_scope.cancel()

    async def _recover(self) -> None:
        platform = self.platform
        calm(platform)
        superseded = [
            container
            for machine in platform.machines.values()
            for container in machine.containers.values()
            if container.running and not self.laws.placed(container)
        ]
        await trio.sleep(HEALED_S)
        left = [container.guid for container in superseded if container.running]
        assert not left, f"superseded, and still running {HEALED_S} s after healing: {left}"
        for guid in platform.zones:
            await self._undrain(guid)
        for client in self.clients:
            client.ended = True
        await platform.until(lambda: not self._amiss(), SETTLED_S, self._amiss)
        await platform.until(lambda: all(one.done for one in self.clients), 20, lambda: "writes without an answer")
        await platform.until(self._level, 20, self._indexes)
        # Meanwhile instances may have begun to move to where there is more room: all that follows is looked at in one
        # moment in which nothing is under way.
        await platform.until(lambda: not self._unrest(), REST_S, self._unrest)
        self._check_end()

    async def _undrain(self, guid: str) -> None:
        while True:
            try:
                await self.platform.writer().write(undrain_node, DrainNode(node_guid=guid, actor=SYSTEM), timeout_s=5)
            except PaasdError:
                await trio.sleep(0.5)
            else:
                return

    def _amiss(self) -> str:
        """What is not as it should be: each wanted instance runs, once, on a node that is ready, and all know it."""
        platform = self.platform
        missing = platform.zones.keys() - {daemon.guid for daemon in platform.open_daemons()}
        if missing:
            return f"daemons that do not start: {sorted(missing)}"
        with platform.writer().read() as tx:
            wanted = sorted((row.guid, index) for row in tx.all(Process) for index in range(row.instances))
            states = {row.guid: row.state for row in tx.all(Node) if row.state != "READY"}
            rows = [(row.process_guid, row.index, row.node_guid, row.epoch) for row in tx.all(Instance)]
            leases = [(row.slot, row.node_guid, row.epoch) for row in tx.all(Lease)]
            brake = read_brake(tx)
        if states or brake.engaged:
            return f"nodes {states}, {brake}"
        running = sorted(
            (one.identity.process_guid, one.identity.index, guid, one.identity.epoch)
            for guid, machine in platform.machines.items()
            for one in machine.containers.values()
            if one.running and one.identity is not None
        )
        if sorted(rows) != running or sorted((row[0], row[1]) for row in rows) != wanted:
            return f"wanted {wanted}, rows {rows}, running {running}, leases {leases}"
        return self._unrouted(len(rows))

    def _unrouted(self, count: int) -> str:
        found = {
            daemon.guid: [one.place for entries in daemon.envoy.hosts.values() for e in entries for one in e.endpoints]
            for daemon in self.platform.open_daemons()
        }
        return "" if all(len(places) == count for places in found.values()) else f"routers have {found}"

    def _level(self) -> bool:
        daemons = self.platform.open_daemons()
        return len({daemon.database.index for daemon in daemons}) == 1 and not self.platform.busy()

    def _unrest(self) -> str:
        """What is under way: moves, entries, and facts that gossip is about to bring, or to compare soon."""
        return self._amiss() or ("" if self._level() else self._indexes()) or self._untold()

    def _untold(self) -> str:
        daemons = self.platform.open_daemons()
        shown = [sorted(fact.instance_guid for fact in daemon.observed.instances()) for daemon in daemons]
        if any(one != shown[0] for one in shown):
            return f"nodes show different instances: {shown}"
        for daemon in daemons:
            for fact in daemon.observed.instances():
                own = self.platform.daemons[fact.node_guid].observed.get(fact.instance_guid)
                if own is None or (own.epoch, own.state) != (fact.epoch, fact.state):
                    return f"{daemon.guid} shows {fact}, and its node {own}"
        return ""

    def _indexes(self) -> str:
        held = {daemon.guid: daemon.database.index for daemon in self.platform.open_daemons()}
        return f"entries that nodes have: {held}"

    def _check_end(self) -> None:
        platform = self.platform
        daemons = platform.open_daemons()
        check_counts(platform, self.clients)
        first = contents(daemons[0].database.path)
        for daemon in daemons[1:]:
            assert contents(daemon.database.path) == first, f"{daemon.guid} holds other rows than {daemons[0].guid}"
        assert len({daemon.database._replica.hash for daemon in daemons}) == 1, "the hashes of the states differ"


def leaf(error: BaseException) -> BaseException:
    """The first of what came together."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _again(error: BaseException) -> None:
    raise error


def play(seed: int, folder: Path) -> Story:
    """Tell the story of a seed, in a folder that is gone afterwards. Raises BrokenLaw."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        story = Story(seed)
        seedling(story.shape)
        run_virtually(seed, story.run, folder / str(seed), limit_s=3600)
    except* BrokenLaw as group:
        raise leaf(group) from None
    finally:
        structlog.reset_defaults()
        shutil.rmtree(folder / str(seed), ignore_errors=True)
    return story


__all__ = ["BrokenLaw", "Story", "play"]
