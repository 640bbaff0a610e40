"""The shell around the watch of leases: sees every renewal, on every control node, and ends what has run out."""

from collections.abc import Callable, Collection
from functools import partial

import structlog
import trio

from paasd.config import LeasesConfig
from paasd.containment import contained
from paasd.errors import OutcomeUnknown, Unavailable
from paasd.model import Lease, Process
from paasd.model.leases import FREE, DropLeases, drop_leases, expire_lease, singleton_apps, slot_instance
from paasd.scheduler.leases import LeaseWatch
from paasd.state import Database

AGAIN_S = 1.0
log = structlog.get_logger(__name__)


class Expiring:
    """The scheduler says by `want` which slots wait for their lease, none where it does not act; `freed` wakes it."""

    def __init__(self, config: LeasesConfig, database: Database, freed: Callable[[], None]) -> None:
        self._core = LeaseWatch(config.margin_s)
        self._database = database
        self._freed = freed
        self._wake: Callable[[], None] = lambda: None
        self._wanted: frozenset[str] = frozenset()

    def want(self, slots: Collection[str]) -> None:
        """These are waited for now."""
        if self._wanted != frozenset(slots):
            self._wanted = frozenset(slots)
            self._wake()

    async def run(self) -> None:
        async with self._database.watch("leases") as rows:
            self._wake = rows.wake
            seen = True
            while True:
                with trio.move_on_at(self._core.deadline(self._wanted)):
                    await rows.wait()
                whole = rows.resync or not seen  # what a look did not get to must not stay unseen
                touched = {str(key) for _, key in rows.take()}
                seen = await contained("leases", partial(self._look, None if whole else touched))
                if not seen:
                    await trio.sleep(AGAIN_S)

    async def _look(self, touched: Collection[str] | None) -> None:
        self._see(touched)
        try:
            await self._expire()
        except (Unavailable, OutcomeUnknown) as error:
            log.warning("ending leases is put off", reason=error.detail)
            await trio.sleep(AGAIN_S)

    def _see(self, touched: Collection[str] | None) -> None:
        """What changed, everything when it is None; the scheduler hears of leases that are to be had."""
        now = trio.current_time()
        with self._database.read() as tx:
            if touched is None:
                found: dict[str, Lease | None] = {lease.slot: lease for lease in tx.all(Lease)}
                self._core.forget_others(found)
            else:
                found = {slot: tx.get(Lease, slot) for slot in touched}
        for slot, lease in found.items():
            self._core.see(now, slot, lease)
        if any(lease is None or lease.node_guid == FREE for slot, lease in found.items() if slot in self._wanted):
            self._freed()

    async def _expire(self) -> None:
        over = self._core.run_out(trio.current_time(), self._wanted)
        if not over:
            return
        for lease in over:
            if await self._database.write(expire_lease, lease):
                log.warning("lease has run out", slot=lease.slot, node=lease.node_guid)
        # Whatever was refused has changed, and the change is on its way to this node.
        await trio.sleep(AGAIN_S)


async def drop_needless(database: Database) -> None:
    """Delete the leases of instances whose process is gone or whose app is no singleton any more."""
    with database.read() as tx:
        single = singleton_apps(tx)
        slots = []
        for lease in tx.all(Lease):
            of = slot_instance(lease.slot)
            process = None if of is None else tx.get(Process, of[0])
            if of is not None and (process is None or process.app_guid not in single):
                slots.append(lease.slot)
    if slots:
        await database.write(drop_leases, DropLeases(slots=slots))
