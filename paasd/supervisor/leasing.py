"""The shell around the holder: renews the leases of this node in batches, and has the shims hold instances to them."""

import time
from collections.abc import Awaitable, Callable, Collection

import structlog
import trio

from paasd.containment import contained
from paasd.errors import OutcomeUnknown, PaasdError, Unavailable
from paasd.model import App, Lease
from paasd.model.leases import ChangeLeases, HeldLease, instance_slot, is_singleton, release_leases, renew_leases
from paasd.state import Database
from paasd.supervisor.launch import Identity
from paasd.supervisor.leases import Holder

AGAIN_S = 1.0
PAUSE_S = 0.05
log = structlog.get_logger(__name__)


def boot_s() -> float:
    """Seconds since boot, suspension included: the clock of the shims."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def lease_of(identity: Identity) -> HeldLease:
    """The lease under which an instance would run."""
    return HeldLease(slot=instance_slot(identity.process_guid, identity.index), epoch=identity.epoch)


class Leasing:
    """`present` gives the leases whose instances are on this node or are to be; `put_off` tells the shims."""

    def __init__(
        self,
        database: Database,
        node_guid: str,
        present: Callable[[], Collection[HeldLease]],
        put_off: Callable[[HeldLease, float | None], None],
        clock: Callable[[], float] = boot_s,
    ) -> None:
        self._core = Holder()
        self._database = database
        self._node_guid = node_guid
        self._present = present
        self._put_off = put_off
        self._clock = clock
        self._changed = trio.Event()
        self._bound: set[HeldLease] | None = None
        self.wake: Callable[[], None] = lambda: None

    async def run(self, ready: Callable[[], Awaitable[None]]) -> None:
        """Renew and give back for ever, once it is known what is here."""
        await ready()
        async with self._database.watch("leases", "instances") as rows:
            self.wake = rows.wake
            while True:
                # The two clocks may differ a little: a pause keeps that from being slept away in ever smaller bits.
                with trio.move_on_after(max(PAUSE_S, self._core.deadline - self._clock())):
                    await rows.wait()
                rows.take()
                if not await contained("leases of instances", self._pass):
                    await trio.sleep(AGAIN_S)

    async def _pass(self) -> None:
        try:
            await self._round()
        except (Unavailable, OutcomeUnknown) as error:
            log.warning("leases are not renewed", reason=error.detail)
            await trio.sleep(AGAIN_S)

    async def until(self, identity: Identity, given_up: trio.Event) -> float | None:
        """When the right to run ends that an instance has now, waiting for it; None when it needs none.

        Raises PaasdError when it was given up meanwhile.
        """
        held = lease_of(identity)
        while not given_up.is_set():
            if not self._needed(identity, held):
                return None
            end = self._core.until(self._clock(), held)
            if end is not None:
                return end
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_after, given_up, nursery.cancel_scope)
                await self._changed.wait()
                nursery.cancel_scope.cancel()
        raise PaasdError("the instance is not wanted any more")

    def _needed(self, identity: Identity, held: HeldLease) -> bool:
        with self._database.read() as tx:
            app = tx.get(App, identity.app_guid)
            return tx.get(Lease, held.slot) is not None or (app is not None and is_singleton(tx, app.guid))

    async def _round(self) -> None:
        with self._database.read() as tx:
            mine = tx.all(Lease, node_guid=self._node_guid)
            leased = {lease.slot for lease in tx.all(Lease)}
        present = frozenset(self._present())
        self._core.look(mine, present)
        self._lift(present, leased)
        idle, due = self._core.idle, self._core.due(self._clock())
        if due:
            await self._renew(due)
        if idle:
            await self._database.write(release_leases, ChangeLeases(node_guid=self._node_guid, held=idle))
        self._changed.set()
        self._changed = trio.Event()

    async def _renew(self, due: list[HeldLease]) -> None:
        sent_at = self._clock()
        try:
            answered = await self._database.write(
                renew_leases, ChangeLeases(node_guid=self._node_guid, held=due), timeout_s=AGAIN_S * 5
            )
        except Exception:
            self._core.failed(self._clock(), due)
            raise
        for held, end in self._core.renewed(sent_at, due, frozenset(answered)).items():
            self._put_off(held, end)

    def _lift(self, present: frozenset[HeldLease], leased: set[str]) -> None:
        """What is no singleton any more has no lease, and nothing that would end it; an adopted one may still have."""
        free = {held for held in present if held.slot not in leased}
        for held in free if self._bound is None else free & self._bound:
            self._put_off(held, None)
        self._bound = set(present - free)


async def _cancel_after(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
