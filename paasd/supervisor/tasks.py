"""Makes the task rows of this node true: each is started once, and what became of it is reported until it is heard.

A mark on disk says that a task was started. One that has a mark and no container was lost with the machine: it has
failed, and is not started again.
"""

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import structlog
import trio

from paasd import pki
from paasd.config import SupervisorConfig
from paasd.containment import contained
from paasd.errors import PaasdError
from paasd.log import traceback_of
from paasd.logs import Logs, SpoolTail, Stream
from paasd.model import Task
from paasd.model.tasks import FinishTask, finish_task
from paasd.sandbox import AnyContainer, AnySandbox, Exit, NotRunning
from paasd.state import Database
from paasd.supervisor.planning import RETRY_S, Planner, planned
from paasd.supervisor.removal import remove
from paasd.supervisor.surroundings import Surroundings
from paasd.supervisor.task_plan import TaskIdentity, TaskPlanner, task_line_maker, task_of
from paasd.supervisor.texts import Ending, exit_description

LOST = "the machine was restarted while it ran"
NOT_WANTED = "the task is not wanted any more"
log = structlog.get_logger(__name__)


class Tasks(msgspec.Struct, kw_only=True):
    """All tasks of a node. `directory` keeps the marks."""

    config: SupervisorConfig
    directory: Path
    node_guid: str
    database: Database
    sandbox: AnySandbox
    logs: Logs
    planner: TaskPlanner
    new_guid: Callable[[], str]
    cpus: int
    starts: trio.CapacityLimiter
    stops: dict[str, trio.Event] = {}
    emptied: trio.Event | None = None
    """There when nothing is to run here any more, whatever rows say; set when nothing does."""

    async def run(self) -> None:
        """Start what rows give to this node and end what they take away. Cancelled, tasks go on."""
        async with trio.open_nursery() as nursery, self.database.watch("tasks") as changes:
            found = {
                identity.task_guid: (identity, container)
                for container in list(self.sandbox.containers.values())
                if container.spec.kind == "task" and (identity := task_of(container.spec.labels)) is not None
            }
            for identity, container in found.values():
                if self._wants(identity) and container.has_run:
                    self._begin(nursery, identity, container)
                else:
                    nursery.start_soon(self._destroy, container)
            while True:
                self._reconcile(nursery)
                with trio.move_on_after(self.config.reconcile_interval_s):
                    await changes.wait()
                changes.take()

    async def step_down(self) -> None:
        """Nothing is to run here any more, whatever the rows say. Returns when nothing does."""
        self.emptied = trio.Event()
        for stop in self.stops.values():
            stop.set()
        if self.stops:
            await self.emptied.wait()

    def _rows(self) -> dict[str, Task]:
        if self.emptied is not None:
            return {}
        with self.database.read() as tx:
            rows = tx.all(Task, node_guid=self.node_guid)
        return {row.guid: row for row in rows if not row.ended}

    def _wants(self, identity: TaskIdentity) -> bool:
        row = self._rows().get(identity.task_guid)
        return row is not None and row.epoch == identity.epoch

    def _reconcile(self, nursery: trio.Nursery) -> None:
        rows = self._rows()
        for guid, stop in self.stops.items():
            if guid not in rows or rows[guid].state == "CANCELING":
                stop.set()
        for guid, row in rows.items():
            if guid not in self.stops:
                self._begin(nursery, TaskIdentity.of(row), None)

    def _begin(self, nursery: trio.Nursery, identity: TaskIdentity, container: AnyContainer | None) -> None:
        self.stops[identity.task_guid] = trio.Event()
        nursery.start_soon(self._task, identity, container)

    async def _task(self, identity: TaskIdentity, container: AnyContainer | None) -> None:
        """One task from its start, or from where a former daemon left it, to its report."""
        stop = self.stops[identity.task_guid]
        try:
            try:
                failure = await self._carried_out(identity, container, stop)
            except* Exception as group:  # noqa: BLE001 - the boundary between tasks
                log.error("task failed", task=identity.task_guid, traceback=traceback_of(group))
                failure = "the platform failed to run it"
            await self._report(identity, failure)
        finally:
            # Cancelled, the mark and the container stay: the next daemon goes on with them.
            del self.stops[identity.task_guid]
        await contained("clearing up after a task", partial(self._forget, identity), task=identity.task_guid)
        if self.emptied is not None and not self.stops:
            self.emptied.set()

    async def _carried_out(self, identity: TaskIdentity, adopted: AnyContainer | None, stop: trio.Event) -> str | None:
        """Why it failed; None when it succeeded."""
        mark = self.directory / identity.task_guid
        container = adopted
        if container is None:
            if await trio.Path(mark).exists():
                return LOST
            try:
                container = await self._start(identity, mark, stop)
            except PaasdError as error:
                self._say(identity, "ERR", error.detail)
                return error.detail
        return await self._until_ended(identity, container, stop)

    async def _start(self, identity: TaskIdentity, mark: Path, stop: trio.Event) -> AnyContainer:
        guid = self.new_guid()
        spec, plan = await planned(partial(self.planner.plan, identity, guid), stop, lambda _reason: None)
        async with self.starts:
            if stop.is_set():
                raise PaasdError(NOT_WANTED)
            container = await self.sandbox.create(spec)
            try:
                process = plan.process(
                    container.address,
                    self.cpus,
                    self.config.spool_limit_bytes,
                    port=container.port,
                    root=container.root,
                )
                await trio.to_thread.run_sync(pki.write_private, mark, b"")
                await container.start(process)
            except BaseException:
                with trio.CancelScope(shield=True):
                    await self._destroy(container)
                raise
        return container

    async def _until_ended(self, identity: TaskIdentity, container: AnyContainer, stop: trio.Event) -> str | None:
        tail = SpoolTail(
            self.logs,
            container.spool,
            container.guid,
            task_line_maker(identity),
            limit_bytes_per_s=identity.log_limit_bytes,
        )
        read = trio.Event()

        async def follow() -> None:
            await tail.run()
            read.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop, container, stop)
            nursery.start_soon(follow)
            failure = await self._ending(container, identity)
            tail.finish()
            with trio.move_on_after(self.config.output_grace_s) as patience:
                await read.wait()
            if patience.cancelled_caught:
                await tail.abandon()
            nursery.cancel_scope.cancel()
        return failure

    async def _ending(self, container: AnyContainer, identity: TaskIdentity) -> str | None:
        try:
            ended: Exit = await container.wait()
        except NotRunning:
            return LOST
        ending = Ending(code=ended.code, signal=ended.signal, out_of_memory=ended.reason == "out of memory")
        text = exit_description(identity.source_type, ending)
        self._say(identity, "OUT", text.partition(": ")[2])
        return None if ending.status == 0 else text

    def _say(self, identity: TaskIdentity, stream: Stream, text: str) -> None:
        at_ns = int(self.logs.clock() * 1e9)
        self.logs.append(task_line_maker(identity)(stream, at_ns, text.encode()))

    async def _stop(self, container: AnyContainer, stop: trio.Event) -> None:
        await stop.wait()
        try:
            container.signal(signal.SIGTERM)
            await trio.sleep(self.config.stop_grace_s)
            await container.kill()
        except NotRunning:
            return

    async def _report(self, identity: TaskIdentity, failure: str | None) -> None:
        """Until it is in a row, or a row says that it is of no interest; what was lost with a report would hang."""
        done = FinishTask(
            task_guid=identity.task_guid, node_guid=self.node_guid, epoch=identity.epoch, failure_reason=failure
        )

        async def tell() -> None:
            try:
                await self.database.write(finish_task, done)
            except PaasdError as error:
                log.warning("a task's end is not heard yet", task=identity.task_guid, reason=error.detail)
                await trio.sleep(RETRY_S)

        while self._wants(identity):
            if not await contained("report of a task", tell, task=identity.task_guid):
                await trio.sleep(RETRY_S)

    async def _forget(self, identity: TaskIdentity) -> None:
        for container in list(self.sandbox.containers.values()):
            found = task_of(container.spec.labels)
            if found is not None and found.task_guid == identity.task_guid:
                await self._destroy(container)
        await trio.Path(self.directory / identity.task_guid).unlink(missing_ok=True)

    async def _destroy(self, container: AnyContainer) -> None:
        await remove(self.sandbox, self.logs, container.guid)


def make_tasks(around: Surroundings, planner: Planner, directory: Path) -> Tasks:
    """The tasks of a node that runs its instances so; makes the directory of their marks."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Tasks(
        config=around.config,
        directory=directory,
        node_guid=around.node_guid,
        database=planner.database,
        sandbox=around.sandbox,
        logs=around.logs,
        planner=TaskPlanner(
            config=around.config,
            database=planner.database,
            blobs=planner.blobs,
            unsealing=planner.unsealing,
            default_stack=planner.default_stack,
            api_url=planner.api_url,
            clock=around.clock,
        ),
        new_guid=around.new_guid,
        cpus=around.cpus,
        starts=around.starts,
    )
