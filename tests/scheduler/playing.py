"""One node of a simulation: its supervisor and shims are played, its lease holder is the real one."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec
import trio

from paasd.errors import PaasdError
from paasd.model import HealthCheck, Instance
from paasd.model.leases import HeldLease, instance_slot
from paasd.observed import InstanceFact, InstanceState, Watch
from paasd.scheduler import Scheduler
from paasd.state import Database
from paasd.supervisor.launch import Identity
from paasd.supervisor.leasing import Leasing, lease_of
from tests.virtual.network import Network

DETECT_S = 4.0
START_S = 1.0
STOP_S = 1.0


class Said(msgspec.Struct):
    unreachable: tuple[str, ...] = ()


class PlayedInstance:
    """A row's instance: it waits for the right to run, starts, serves, and ends when it is told or its shim must."""

    def __init__(self, node: "PlayedNode", row: Instance) -> None:
        self.row = row
        self.identity = Identity(
            instance_guid=row.guid,
            epoch=row.epoch,
            app_guid=row.app_guid,
            process_guid=row.process_guid,
            process_type=row.process_type,
            index=row.index,
            app_version=str(row.app_version),
            health=HealthCheck(),
            readiness=HealthCheck(),
            log_limit_bytes=-1,
        )
        self.end: float | None = None  # the deadline of the shim
        self.stop = trio.Event()
        self._node = node

    async def run(self) -> None:
        while not self.stop.is_set():
            self._show("STARTING")
            try:
                self.end = await self._node.leasing.until(self.identity, self.stop)
            except PaasdError:
                break
            self._show("STARTING", alive=True)
            if await self._lives(START_S):
                self._show("RUNNING", alive=True, routable=True)
                if await self._lives(1e9):
                    self._show("STOPPING", alive=True)
                    await self._lives(STOP_S, stopping=True)
        self._node.forget(self)

    async def _lives(self, seconds: float, *, stopping: bool = False) -> bool:
        """False when its shim has ended it; returns at once when it is to stop."""
        until = trio.current_time() + seconds
        while trio.current_time() < until:
            # A node that is paused does nothing, its shims included; first thing afterwards they look at the clock.
            if not self._node.paused:
                if self.end is not None and self._node.boot_s() >= self.end:
                    return False
                if self.stop.is_set() and not stopping:
                    return True
            await trio.sleep(0.05)
        return True

    def _show(self, state: InstanceState, *, alive: bool = False, routable: bool = False) -> None:
        row = self.row
        self._node.facts[row.guid] = InstanceFact(
            instance_guid=row.guid,
            epoch=row.epoch,
            node_guid=row.node_guid,
            app_guid=row.app_guid,
            process_guid=row.process_guid,
            process_type=row.process_type,
            index=row.index,
            state=state,
            since=trio.current_time(),
            address="10.0.0.1" if alive else None,
            routable=routable,
        )


class PlayedNode:
    """One node's facts and instances, and what it knows of the others': the `Sight` of its scheduler."""

    def __init__(self, guid: str, network: Network) -> None:
        self.guid = guid
        self.database: Database
        self.scheduler: Scheduler
        self.leasing: Leasing
        self.facts: dict[str, InstanceFact] = {}
        self.said = Said()
        self.clock_rate = 1.0
        self._network = network
        self._instances: dict[str, PlayedInstance] = {}
        self._scopes: dict[str, trio.CancelScope] = {}
        self._known: dict[str, tuple[dict[str, InstanceFact], Said]] = {}
        self._heard: dict[str, float] = {}
        self._gone: frozenset[str] = frozenset()
        self._watches: set[Watch] = set()

    def instances(self, app_guid: str | None = None) -> list[InstanceFact]:
        known = {**self._known, self.guid: (self.facts, self.said)}
        return [fact for facts, _ in known.values() for fact in facts.values() if app_guid in (None, fact.app_guid)]

    def nodes(self) -> Mapping[str, Said]:
        return {guid: said for guid, (_, said) in self._known.items()}

    def unreachable(self) -> frozenset[str]:
        return self._gone

    def suspects(self) -> frozenset[str]:
        return frozenset()

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[Watch]:
        watch = Watch()
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    @property
    def paused(self) -> bool:
        return self.guid in self._network.paused

    def boot_s(self) -> float:
        """The node's own clock, which may run too fast or too slow."""
        return trio.current_time() * self.clock_rate

    def open_leasing(self, nursery: trio.Nursery) -> None:
        self.leasing = Leasing(self.database, self.guid, self._leases, self._put_off, self.boot_s)
        nursery.start_soon(self.leasing.run, trio.lowlevel.checkpoint)

    def hear(self, now: float, others: Mapping[str, "PlayedNode"]) -> None:
        """A round of gossip as this node perceives it."""
        for guid, other in others.items():
            if guid != self.guid and self._network.probes(self.guid, guid):
                self._heard[guid] = now
                self._known[guid] = dict(other.facts), other.said
        late = {guid for guid in others if now - self._heard.setdefault(guid, now) > DETECT_S}
        self._gone = frozenset(late - {self.guid})
        self.said = Said(unreachable=tuple(sorted(self._gone)))
        for watch in self._watches:
            watch.wake()

    def supervise(self, now: float, nursery: trio.Nursery) -> None:
        """Instances follow rows."""
        rows = self._rows()
        for guid, row in rows.items():
            if guid not in self._instances:
                self._instances[guid] = instance = PlayedInstance(self, row)
                self._scopes[guid] = trio.CancelScope()
                nursery.start_soon(self._run, instance, self._scopes[guid])
        for guid, instance in self._instances.items():
            if guid not in rows:
                instance.stop.set()

    def forget(self, instance: PlayedInstance) -> None:
        for known in (self._instances, self._scopes, self.facts):
            known.pop(instance.row.guid, None)
        self.leasing.wake()

    def die(self) -> None:
        for scope in self._scopes.values():
            scope.cancel()
        for known in (self._instances, self._scopes, self.facts):
            known.clear()

    async def _run(self, instance: PlayedInstance, scope: trio.CancelScope) -> None:
        with scope:
            await instance.run()

    def _rows(self) -> dict[str, Instance]:
        with self.database.read() as tx:
            return {row.guid: row for row in tx.all(Instance, node_guid=self.guid)}

    def _leases(self) -> set[HeldLease]:
        rows = {
            HeldLease(slot=instance_slot(row.process_guid, row.index), epoch=row.epoch) for row in self._rows().values()
        }
        return rows | {lease_of(instance.identity) for instance in self._instances.values()}

    def _put_off(self, held: HeldLease, end: float | None) -> None:
        for instance in self._instances.values():
            if lease_of(instance.identity) == held and not self.paused:
                instance.end = end
