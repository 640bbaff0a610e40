"""Large deletions go in portions of bytes as well as of rows: wide rows are no more than one operation may change."""

import secrets
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from paasd.model import AuditEvent, Task
from paasd.model import apps as app_operations
from paasd.model.apps import ChangeApp, SetFeature, UpdateApp, begin_delete_app, set_feature, update_app
from paasd.model.arguments import SYSTEM, Metadata
from paasd.model.deletion import DeleteChunk, delete_chunk
from paasd.model.records import Annotation
from paasd.model.retention import ExpireRecords, expire_records
from paasd.model.tasks import ExpireTasks, expire_tasks
from paasd.state import Portion, Tx, operation, portions
from paasd.state.engine.requests import ForgetRequests, Request, forget_requests
from tests.model.seeding import Seed

WIDE = "x" * 4900


async def portions_of(write: Callable[[], Any]) -> int:
    """How many it took until there was nothing more."""
    count = 1
    while await write():
        count += 1
        assert count < 100, "it does not get on"
    return count


async def annotate(seed: Seed, app_guid: str, keys: range) -> None:
    metadata = Metadata(annotations={f"key-{key}": f"{key}{WIDE}" for key in keys})
    await seed.database.write(update_app, UpdateApp(app_guid=app_guid, metadata=metadata, actor=SYSTEM))


async def test_an_app_with_more_annotations_than_one_operation_may_change_is_deleted(seed: Seed) -> None:
    app = await seed.app()
    with seed.database.read() as tx:
        assert tx.count(Annotation) == 0
    await seed.database.write(plant_annotations, Planted(resource_guid=app.guid, count=180))
    await seed.database.write(plant_annotations, Planted(resource_guid=app.guid, count=180, first=180))
    await seed.database.write(begin_delete_app, ChangeApp(app_guid=app.guid, actor=SYSTEM))
    chunk = DeleteChunk(kind="app", guid=app.guid)

    async def left() -> bool:
        return not await seed.database.write(delete_chunk, chunk)

    assert await portions_of(left) > 3
    with seed.database.read() as tx:
        assert tx.count(Annotation) == 0


class Planted(app_operations.Arguments):
    """Arguments of `plant_annotations`: such as an earlier release allowed."""

    resource_guid: str
    count: int
    first: int = 0


@operation("test.plant_annotations", version=1)
def plant_annotations(tx: Tx, args: Planted) -> None:
    """Without the limits of today."""
    for number in range(args.first, args.first + args.count):
        tx.insert(Annotation(resource_guid=args.resource_guid, key=f"k{number}", resource_type="app", value="x" * 5200))


async def test_old_events_that_tell_much_are_forgotten(seed: Seed) -> None:
    app = await seed.app()
    for number in range(120):
        await annotate(seed, app.guid, range(number % 2, 6 + number % 2))
    times = ExpireRecords(jobs_before="9999", events_before="9999-01-01T00:00:00Z")
    with seed.database.read() as tx:
        before = tx.count(AuditEvent)

    async def left() -> bool:
        gone = await seed.database.write(expire_records, times)
        with seed.database.read() as tx:
            return gone > 0 and tx.count(AuditEvent) > 1

    assert await portions_of(left) > 1
    assert before > 100


async def test_stored_results_that_are_large_are_forgotten(seed: Seed) -> None:
    app = await seed.app()
    await seed.database.write(
        app_operations.set_environment,
        app_operations.SetEnvironment(
            app_guid=app.guid,
            previous=app.environment,
            environment=secrets.token_urlsafe(6000),
            names=["A"],
            actor=SYSTEM,
        ),
    )
    for number in range(150):
        feature = SetFeature(app_guid=app.guid, feature="revisions", enabled=bool(number % 2), actor=SYSTEM)
        await seed.database.write(set_feature, feature)

    async def left() -> bool:
        return bool(await seed.database.write(forget_requests, ForgetRequests(int(time.time()) + 1000)))

    assert await portions_of(left) > 2
    with seed.database.read() as tx:
        assert tx.count(Request) <= 1


async def test_a_portion_ends_with_rows_or_bytes_and_its_first_row_always_fits(
    seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await seed.app()
    await annotate(seed, app.guid, range(5))
    for rows, size, left in ((2, 10**6, 3), (200, 1, 2), (200, 12_000, 0)):
        monkeypatch.setattr(portions, "ROWS", rows)
        monkeypatch.setattr(portions, "BYTES", size)
        await seed.database.write(clear_annotations, ChangeApp(app_guid=app.guid, actor=SYSTEM))
        with seed.database.read() as tx:
            assert tx.count(Annotation) == left


async def test_a_wide_row_behind_narrow_ones_waits_for_the_next_portion(seed: Seed) -> None:
    app = await seed.app()
    for key, size in (("a", 200_000), ("b", 900_000), ("c", 100)):
        wide = PlantedOne(resource_guid=app.guid, key=key, size=size)
        await seed.database.write(plant_one, wide)

    async def left() -> bool:
        return not await seed.database.write(clear_annotations, ChangeApp(app_guid=app.guid, actor=SYSTEM))

    assert await portions_of(left) == 3


class PlantedOne(app_operations.Arguments):
    """Arguments of `plant_one`."""

    resource_guid: str
    key: str
    size: int


@operation("test.plant_one", version=1)
def plant_one(tx: Tx, args: PlantedOne) -> None:
    """One row so wide."""
    row = Annotation(resource_guid=args.resource_guid, key=args.key, resource_type="app", value="x" * args.size)
    tx.insert(row)


async def test_old_tasks_go_though_those_that_stay_fill_a_page(seed: Seed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paasd.model.tasks.ROWS", 2)
    many = await seed.app()
    for number in range(1, 6):
        await seed.database.write(plant_task, PlantedTask(app_guid=many.guid, number=number))
    for number in range(6):
        await seed.database.write(plant_task, PlantedTask(app_guid=f"app-{number}", number=1))
    expire = ExpireTasks(before="9999-01-01T00:00:00Z")

    async def left() -> bool:
        return bool(await seed.database.write(expire_tasks, expire))

    await portions_of(left)
    with seed.database.read() as tx:
        assert sorted((task.app_guid, task.sequence_id) for task in tx.all(Task)) == sorted(
            [*((f"app-{number}", 1) for number in range(6)), (many.guid, 5)]
        )


class PlantedTask(app_operations.Arguments):
    """Arguments of `plant_task`."""

    app_guid: str
    number: int


@operation("test.plant_task", version=1)
def plant_task(tx: Tx, args: PlantedTask) -> None:
    """One that has ended."""
    sizes = {"memory_mb": 1, "disk_mb": 1, "log_rate_limit_bytes": -1}
    row = {"name": "t", "command": "true", "droplet_guid": "none", "state": "SUCCEEDED", **sizes}
    tx.insert(msgspec.convert({"app_guid": args.app_guid, "sequence_id": args.number, **row}, Task))


@operation("test.clear_annotations", version=1)
def clear_annotations(tx: Tx, args: ChangeApp) -> bool:
    """One portion."""
    return Portion(tx).clear(Annotation, resource_guid=args.app_guid)
