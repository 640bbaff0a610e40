"""Makes the instance rows of this node true: one task per instance, started and stopped as rows come and go."""

import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
import trio

from paasd.blobs import Blobs
from paasd.config import SupervisorConfig
from paasd.errors import PaasdError
from paasd.log import traceback_of
from paasd.logs import Logs
from paasd.model import Instance, Node
from paasd.model.leases import HeldLease, instance_slot
from paasd.observed import InstanceFact, Observed
from paasd.sandbox import AnyContainer, AnySandbox
from paasd.state import Database
from paasd.supervisor.crashes import CrashReports
from paasd.supervisor.instance import InstanceShell
from paasd.supervisor.journal import Journal
from paasd.supervisor.launch import Identity, identity_for, identity_of
from paasd.supervisor.leasing import Leasing, boot_s, lease_of
from paasd.supervisor.planning import Planner
from paasd.supervisor.removal import remove
from paasd.supervisor.surroundings import Surroundings
from paasd.supervisor.tasks import Tasks, make_tasks
from paasd.unsealing import Unsealing

_Key = tuple[str, int]  # instance guid, epoch


class Supervisor:
    """Made by `open_supervisor`."""

    def __init__(self, database: Database, around: Surroundings, nursery: trio.Nursery, tasks: Tasks) -> None:
        self._tasks = tasks
        self._database = database
        self._around = around
        self._nursery = nursery
        self._shells: dict[str, InstanceShell] = {}
        self._adopted = trio.Event()
        self._wake: Callable[[], None] = lambda: None
        self._out = False
        self._emptied = trio.Event()
        self.ended: Callable[[], None] = lambda: None

    async def adopted(self) -> None:
        """Returns when every instance that a former daemon left running is published again."""
        await self._adopted.wait()

    async def step_down(self) -> None:
        """Nothing is to run here any more, whatever the rows say: they are out of date. Returns when nothing does."""
        self._out = True
        self._reconcile()
        if self._shells:
            await self._emptied.wait()
        await self._tasks.step_down()

    @property
    def instances(self) -> dict[str, Identity]:
        """What is being run now, by instance guid; an instance that is being stopped is among them."""
        return {guid: shell.identity for guid, shell in self._shells.items()}

    def container_of(self, instance_guid: str, epoch: int) -> AnyContainer | None:
        """Where an instance runs here, if it does, and is the one that is meant."""
        shell = self._shells.get(instance_guid)
        return None if shell is None or shell.identity.epoch != epoch else shell.container

    def leases(self) -> set[HeldLease]:
        """Under which instances are here, also while they end, or are to be."""
        found = {lease_of(shell.identity) for shell in self._shells.values()}
        for container in self._around.sandbox.containers.values():
            identity = identity_of(container.spec.labels)
            if identity is not None:
                found.add(lease_of(identity))
        rows = self._rows().values()
        return found | {HeldLease(slot=instance_slot(row.process_guid, row.index), epoch=row.epoch) for row in rows}

    def put_off(self, held: HeldLease, end: float | None) -> None:
        """A lease was renewed, or is not needed any more: the shim of its instance is told."""
        for shell in self._shells.values():
            if lease_of(shell.identity) == held:
                self._nursery.start_soon(shell.put_off, end)

    async def run(self) -> None:
        await self._adopt()
        async with self._database.watch("instances") as changes:
            self._wake = changes.wake
            while True:
                with trio.move_on_after(self._around.config.reconcile_interval_s):
                    await changes.wait()
                changes.take()
                self._reconcile()

    async def _adopt(self) -> None:
        """Containers outlive the daemon: those with a row of their epoch are taken over, the others removed."""
        rows = self._rows()
        self._around.journal.keep_only({guid for guid, _epoch in rows})
        shells: list[InstanceShell] = []
        for container in list(self._around.sandbox.containers.values()):
            if container.spec.kind != "app":
                continue
            identity = identity_of(container.spec.labels)
            wanted = identity is not None and (identity.instance_guid, identity.epoch) in rows
            if identity is None or not wanted or identity.instance_guid in self._shells or not container.has_run:
                self._nursery.start_soon(self._remove, container)
                continue
            shells.append(self._start(identity, container))
        for shell in shells:
            await shell.adopted.wait()
        self._adopted.set()

    def _rows(self) -> dict[_Key, Instance]:
        if self._out:
            return {}
        with self._database.read() as tx:
            rows = tx.all(Instance, node_guid=self._around.node_guid)
        return {(row.guid, row.epoch): row for row in rows if row.desired == "RUNNING"}

    def _reconcile(self) -> None:
        rows = self._rows()
        gone = [shell for guid, shell in self._shells.items() if (guid, shell.identity.epoch) not in rows]
        if gone:
            grace_s = self._grace_s()
            for shell in gone:
                shell.stop(grace_s)
        for guid, epoch in rows:
            if guid not in self._shells:
                self._begin(rows[guid, epoch])

    def _grace_s(self) -> float | None:
        """What was replaced while this node was given up runs twice until it is gone here: that must not take long."""
        with self._database.read() as tx:
            node = tx.get(Node, self._around.node_guid)
        given_up = self._out or (node is not None and node.state in ("DEAD", "RETURNING"))
        return self._around.config.superseded_grace_s if given_up else None

    def _begin(self, row: Instance) -> None:
        try:
            with self._database.read() as tx:
                identity = identity_for(tx, row)
        except PaasdError:
            return  # the app is being deleted; its instance rows go next
        self._start(identity, None)

    def _start(self, identity: Identity, container: AnyContainer | None) -> InstanceShell:
        shell = InstanceShell(self._around, identity, container)
        self._shells[identity.instance_guid] = shell
        self._nursery.start_soon(self._run_shell, shell)
        return shell

    async def _run_shell(self, shell: InstanceShell) -> None:
        """One instance's failure stays its own: it is reported, and the instance is begun anew after a pause."""
        guid = shell.identity.instance_guid
        try:
            await shell.run()
        except* Exception as group:  # noqa: BLE001 - the boundary between instances
            structlog.get_logger().error("instance task failed", instance=guid, traceback=traceback_of(group))
        if not shell.finished:
            await self._clean_up(shell)
        if self._shells.get(guid) is shell:
            del self._shells[guid]
        if self._out and not self._shells:
            self._emptied.set()
        self._wake()
        self.ended()

    async def _clean_up(self, shell: InstanceShell) -> None:
        around, identity = self._around, shell.identity
        around.observed.put(
            InstanceFact(
                instance_guid=identity.instance_guid,
                epoch=identity.epoch,
                node_guid=around.node_guid,
                app_guid=identity.app_guid,
                process_guid=identity.process_guid,
                process_type=identity.process_type,
                index=identity.index,
                state="CRASHED",
                since=around.clock(),
                details="The platform failed to run this instance; it is started again shortly",
            )
        )
        for container in list(around.sandbox.containers.values()):
            found = identity_of(container.spec.labels)
            if found is not None and found.instance_guid == identity.instance_guid:
                await self._remove(container)
        with trio.move_on_after(around.config.backoff_s):
            await shell.stop_wanted.wait()
        around.observed.drop(identity.instance_guid)

    async def _remove(self, container: AnyContainer) -> None:
        await remove(self._around.sandbox, self._around.logs, container.guid)


@asynccontextmanager
async def open_supervisor(
    config: SupervisorConfig,
    *,
    directory: Path,
    node_guid: str,
    database: Database,
    observed: Observed,
    sandbox: AnySandbox,
    blobs: Blobs,
    logs: Logs,
    unsealing: Unsealing,
    default_stack: str,
    api_url: str,
    clock: Callable[[], float] = time.time,
    leave: Callable[[str, int], Awaitable[None]] | None = None,
    boot_clock: Callable[[], float] = boot_s,
    new_guid: Callable[[], str] = lambda: str(uuid.uuid4()),
) -> AsyncIterator[Supervisor]:
    """Run this node's instances while open. On leaving they go on running; the next supervisor takes them over.

    `directory` is the supervisor's own; `api_url` is told to apps; `clock` gives unix seconds, `boot_clock` those that
    shims go by. `leave` has the routers of all nodes let go of an instance, and gives up after `leave_timeout_s`.
    """
    planner = Planner(
        config=config, database=database, blobs=blobs, unsealing=unsealing, default_stack=default_stack, api_url=api_url
    )
    supervisor: Supervisor
    leasing = Leasing(
        database, node_guid, lambda: supervisor.leases(), lambda held, end: supervisor.put_off(held, end), boot_clock
    )
    crashes = CrashReports(database, config.crash_report_interval_s, clock)
    around = Surroundings(
        config=config,
        node_guid=node_guid,
        observed=observed,
        sandbox=sandbox,
        logs=logs,
        journal=Journal(directory),
        crashes=crashes,
        plan=planner.plan,
        right_to_run=leasing.until,
        leave=leave,
        starts=trio.CapacityLimiter(config.parallel_starts),
        clock=clock,
        new_guid=new_guid,
        cpus=os.cpu_count() or 1,
    )
    tasks = make_tasks(around, planner, directory.with_name("tasks"))
    async with trio.open_nursery() as nursery:
        supervisor = Supervisor(database, around, nursery, tasks)
        supervisor.ended = lambda: leasing.wake()
        nursery.start_soon(crashes.run)
        nursery.start_soon(supervisor.run)
        nursery.start_soon(tasks.run)
        nursery.start_soon(leasing.run, supervisor.adopted)
        try:
            yield supervisor
        finally:
            nursery.cancel_scope.cancel()
