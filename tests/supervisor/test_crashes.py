from pathlib import Path
from typing import Any

import pytest
import trio

from paasd.model import App, AuditEvent, Droplet, Instance, Process
from paasd.model.instances import RecordCrash
from paasd.state import DiskFull, open_database
from paasd.supervisor.crashes import CrashReports

from .world import NODE, Seed, eventually, seed_app


def crash(count: int = 1) -> RecordCrash:
    return RecordCrash(instance_guid="i", epoch=1, node_guid=NODE, exit_description="fell", exit_code=1, count=count)


def seeded() -> Seed:
    instance = Instance(
        guid="i",
        app_guid="app",
        process_guid="p",
        process_type="web",
        index=0,
        app_version=1,
        droplet_guid="d",
        node_guid=NODE,
        memory_mb=64,
        disk_mb=64,
    )
    process = Process(guid="p", app_guid="app", type="web", instances=1)
    app = App(guid="app", name="app", space_guid="space")
    return Seed(app, process, Droplet(guid="d", app_guid="app"), [instance], [])


async def test_a_crash_loop_becomes_one_event_for_the_first_and_one_for_the_rest(tmp_path: Path) -> None:
    """The database's clock and that of the reports go together; a minute passes by setting them."""
    now = 1_700_000_000.0
    async with open_database(tmp_path, sync=False, clock=lambda: now) as database, trio.open_nursery() as nursery:
        await database.write(seed_app, seeded())
        reports = CrashReports(database, 60.0, lambda: now)
        nursery.start_soon(reports.run)

        def events(wanted: int) -> list[AuditEvent] | None:
            with database.read() as tx:
                found = tx.all(AuditEvent, type="app.crash", order=("created_at",))
            return found if len(found) == wanted else None

        reports.report("app", crash())
        await eventually(lambda: events(1))
        index = database.index
        for _ in range(500):
            reports.report("app", crash())
            await trio.lowlevel.checkpoint()
        assert database.index == index
        now += 61
        reports.report("app", crash())
        found = await eventually(lambda: events(2))
        assert [event.data["crash_count"] for event in found] == [1, 501]
        nursery.cancel_scope.cancel()


async def test_a_crash_that_the_database_could_not_take_counts_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_700_000_000.0
    async with open_database(tmp_path, sync=False, clock=lambda: now) as database, trio.open_nursery() as nursery:
        await database.write(seed_app, seeded())
        write, refused = database.write, trio.Event()

        async def full_once(operation: Any, arguments: Any) -> Any:
            if refused.is_set():
                return await write(operation, arguments)
            refused.set()
            raise DiskFull("planted")

        monkeypatch.setattr(database, "write", full_once)
        reports = CrashReports(database, 60.0, lambda: now)
        nursery.start_soon(reports.run)
        reports.report("app", crash())
        await refused.wait()
        now += 61
        reports.report("app", crash(2))

        def event() -> AuditEvent | None:
            with database.read() as tx:
                return tx.find(AuditEvent, type="app.crash")

        assert (await eventually(event)).data["crash_count"] == 3
        nursery.cancel_scope.cancel()
