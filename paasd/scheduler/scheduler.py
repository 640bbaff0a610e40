"""The shell around the plan: reads, decides, writes, and waits for the next change or period."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import structlog
import trio

from paasd.config import Config
from paasd.containment import contained
from paasd.errors import NotFound, OutcomeUnknown, TooLarge, Unavailable, Unprocessable
from paasd.model import (
    App,
    Build,
    Domain,
    DropletUpload,
    Job,
    Organization,
    Package,
    Space,
)
from paasd.model.arguments import Arguments, rfc3339
from paasd.model.builds import FailOverdueBuilds, assign_build, fail_overdue_builds
from paasd.model.deletion import DeleteChunk, delete_chunk
from paasd.model.instances import (
    PlaceInstances,
    Placement,
    RecordFailures,
    RemoveInstances,
    place_instances,
    record_failures,
    remove_instances,
    remove_lost_instances,
    retire_instances,
)
from paasd.model.jobs import OPEN_STATES, FailOverdueJobs, fail_overdue_jobs
from paasd.model.leases import LeaseRunning, lease_running
from paasd.model.packages import FailOverdueUploads, fail_overdue_uploads
from paasd.model.takeover import TakeOverWork, take_over_work, work_to_take_over
from paasd.model.tasks import AssignTasks, FailLostTasks, assign_tasks, fail_lost_tasks, lost_tasks
from paasd.model.uploads import FailOverdueDropletUploads, fail_overdue_droplet_uploads
from paasd.scheduler.desired import Plan, Snapshot, make_plan
from paasd.scheduler.expiring import Expiring, drop_needless
from paasd.scheduler.patience import Patience
from paasd.scheduler.reading import read_snapshot
from paasd.scheduler.sight import DELETIONS, PLACEMENT, SWEEPS, Acts, Sight, always
from paasd.state import Database, In, Lt, Operation

WATCHED: Final = (
    "apps",
    "processes",
    "instances",
    "nodes",
    "builds",
    "spaces",
    "organizations",
    "domains",
    "settings",
    "labels",
    "tasks",
)
FACTS_PAUSE_S: Final = 0.1
LARGE: Final = 3_000
"""Instances of which a plan is not made between two turns of the event loop."""
T = TypeVar("T")
A = TypeVar("A", bound=Arguments)
R = TypeVar("R")
DELETED_KINDS: Final = (("app", App), ("space", Space), ("domain", Domain), ("organization", Organization))
log = structlog.get_logger(__name__)


class Scheduler:
    """Level-triggered: every pass looks at everything, so a lost wake-up costs one period."""

    def __init__(
        self,
        config: Config,
        database: Database,
        clock: Callable[[], float],
        *,
        sight: Sight | None = None,
        acts: Acts = always,
    ) -> None:
        self._config = config
        self._database = database
        self._clock = clock
        self._sight = sight
        self._acts = acts
        self._patience = Patience(config.scheduler)
        self._moving = False
        self._wake: Callable[[], None] = lambda: None
        self._expiring = Expiring(config.leases, database, lambda: self._wake())
        self.passes = 0

    async def run(self) -> None:
        """Reconcile for ever, whenever something changed and once a period."""
        async with self._database.watch(*WATCHED) as changes, trio.open_nursery() as nursery:
            self._wake = changes.wake
            nursery.start_soon(self._expiring.run)
            if self._sight is not None:
                nursery.start_soon(self._follow_facts, self._sight)
            while True:
                with trio.move_on_after(self._config.scheduler.period_s):
                    await changes.wait()
                changes.take()
                # Nothing is lost: the next pass decides from what is true then.
                if not await contained("scheduling", self._pass):
                    await self._pause()

    async def _pass(self) -> None:
        try:
            await self.reconcile()
        except (Unavailable, OutcomeUnknown) as error:
            log.warning("scheduling is put off", reason=error.detail)
            await self._pause()

    async def _pause(self) -> None:
        await trio.sleep(min(1.0, self._config.scheduler.period_s))

    async def reconcile(self) -> None:
        """One pass over everything that is this node's to do."""
        if self._acts(PLACEMENT):
            plan = await self._plan(self.snapshot())
            self._patience.see_successors(trio.current_time(), plan.successors)
            self._moving = plan.moving
            self._expiring.want(plan.waiting)
            await self._apply(plan)
        else:
            self._moving = False
            self._expiring.want(())
        if self._acts(SWEEPS):
            await self._sweep()
            await drop_needless(self._database)
        if self._acts(DELETIONS):
            await self._delete()
        self.passes += 1

    async def _follow_facts(self, sight: Sight) -> None:
        """Facts change all the time; they decide something only while an instance waits for its successor to run."""
        async with sight.watch() as facts:
            while True:
                await facts.wait()
                if self._moving:
                    self._wake()
                await trio.sleep(FACTS_PAUSE_S)

    async def _plan(self, snapshot: Snapshot) -> Plan:
        """Large ones take seconds, in which the node has other things to do."""
        if snapshot.size < LARGE:
            return make_plan(snapshot, self._config.scheduler)
        return await trio.to_thread.run_sync(make_plan, snapshot, self._config.scheduler)

    def snapshot(self) -> Snapshot:
        """What a plan would be made from now."""
        return read_snapshot(self._database, self._sight, self._patience, trio.current_time())

    async def _apply(self, plan: Plan) -> None:
        leases = self._config.leases
        for operation, guids in (
            (remove_instances, plan.remove),
            (retire_instances, plan.retire),
            (remove_lost_instances, plan.lost),
        ):
            for batch in self._batches(guids):
                await self._write(operation, RemoveInstances(guids=batch))
        for batch in self._batches(plan.lease):
            await self._write(lease_running, LeaseRunning(instance_guids=batch, duration_s=leases.duration_s))
        placements = [
            Placement(
                process_guid=placed.demand.process_guid,
                index=placed.demand.index,
                app_version=placed.demand.app_version,
                node_guid=placed.node_guid,
                epoch=placed.demand.epoch,
                replaces=placed.demand.replaces,
                lost=placed.demand.lost,
                lease_s=leases.duration_s,
            )
            for placed in plan.place
        ]
        for chunk in self._batches(placements):
            await self._write(place_instances, PlaceInstances(placements=chunk))
        for reasons in self._batches(list(plan.reasons.items())):
            await self._write(record_failures, RecordFailures(reasons=dict(reasons)))
        for assignment in plan.assign:
            await self._write(assign_build, assignment)
        for given in self._batches(list(plan.tasks.items())):
            await self._write(assign_tasks, AssignTasks(nodes=dict(given)))

    async def _write(self, operation: Operation[A, R], arguments: A) -> R | None:
        """None when it was refused: one such thing holds up no other, and is tried again in the next pass."""
        try:
            return await self._database.write(operation, arguments)
        except (TooLarge, Unprocessable, NotFound) as error:
            log.error("a step of scheduling was refused", operation=operation.name, reason=error.detail)
            return None

    def _batches(self, items: list[T]) -> Iterator[list[T]]:
        size = self._config.scheduler.batch
        for start in range(0, len(items), size):
            yield items[start : start + size]

    async def _sweep(self) -> None:
        """End what has run past its deadline; writes only if there is something to end."""
        now_s = self._clock()
        uploads_before = rfc3339(now_s - self._config.apps.upload_timeout_s)
        with self._database.read() as tx:
            now = rfc3339(now_s)
            jobs = tx.exists(Job, In("state", OPEN_STATES), Lt("deadline_at", now))
            builds = tx.exists(Build, Lt("deadline_at", now), state="STAGING")
            uploads = tx.exists(Package, Lt("updated_at", uploads_before), state="PROCESSING_UPLOAD")
            droplets = tx.exists(DropletUpload, Lt("deadline_at", now))
            left = work_to_take_over(tx)
            tasks = lost_tasks(tx)
        if left:
            await self._write(take_over_work, TakeOverWork())
        # First, so that its job says what became of the droplet.
        if droplets:
            await self._write(fail_overdue_droplet_uploads, FailOverdueDropletUploads())
        if tasks:
            await self._write(fail_lost_tasks, FailLostTasks())
        if jobs:
            await self._write(fail_overdue_jobs, FailOverdueJobs())
        if builds:
            await self._write(fail_overdue_builds, FailOverdueBuilds())
        if uploads:
            await self._write(fail_overdue_uploads, FailOverdueUploads(before=uploads_before))

    async def _delete(self) -> None:
        """Carry every deletion on by as many chunks as it takes; what waits for its parts is done in the next pass."""
        for kind, record in DELETED_KINDS:
            with self._database.read() as tx:
                guids = [row.guid for row in tx.all(record, deleting=True)]
            for guid in guids:
                while await self._write(delete_chunk, DeleteChunk(kind=kind, guid=guid)) is False:
                    if kind != "app":
                        break


@asynccontextmanager
async def open_scheduler(
    config: Config,
    database: Database,
    clock: Callable[[], float],
    *,
    sight: Sight | None = None,
    acts: Acts = always,
) -> AsyncIterator[Scheduler]:
    """A scheduler that works until the block ends. `clock` gives unix seconds.

    In a cluster `sight` are the observed facts of all nodes and `acts` is that of `make_acts`.
    """
    scheduler = Scheduler(config, database, clock, sight=sight, acts=acts)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scheduler.run)
        yield scheduler
        nursery.cancel_scope.cancel()
