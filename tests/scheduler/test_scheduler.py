"""The shell over a real database."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from paasd.actions import apps, builds, domains, organizations, packages, routes, spaces
from paasd.actions.visibility import need_app
from paasd.errors import NotFound, TooLarge
from paasd.model import App, Build, Domain, Instance, Job, Organization, Package, Process, Route, Space
from paasd.model.apps import ChangeApp
from paasd.model.arguments import SYSTEM
from paasd.model.builds import FinishBuild, finish_build
from paasd.model.deletion import DeleteChunk
from paasd.model.jobs import OpenJob, start_job
from paasd.model.packages import BeginUpload, begin_upload
from paasd.model.processes import ScaleProcess, scale_process
from paasd.scheduler import Scheduler, open_scheduler
from paasd.scheduler.desired import make_plan
from tests.actions.world import NODE, World, archive, chunks, open_world, process_stats


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, memory_mb=4096) as opened:
        yield opened


def later(world: World, seconds: float) -> Scheduler:
    """A scheduler whose clock is ahead."""
    clock = world.context.clock
    return Scheduler(world.context.config, world.context.database, lambda: clock() + seconds)


async def test_it_acts_on_its_own_when_something_changes(world: World) -> None:
    async with open_scheduler(world.context.config, world.context.database, world.context.clock):
        package = await packages.create(world.context, world.admin, app_guid=(await world.app()).guid)
        await packages.upload(world.context, world.admin, package.guid, chunks(archive({"a": b"b"})))
        build = await builds.create(world.context, world.admin, package_guid=package.guid)
        with trio.fail_after(10):
            async with world.context.database.watch("builds") as changes:
                while True:
                    await changes.wait()
                    changes.take()
                    with world.context.database.read() as tx:
                        found = tx.need(Build, build.guid)
                    if found.node_guid is not None:
                        break
    assert (found.node_guid, found.epoch) == (NODE, 1)


async def test_a_pass_that_fails_is_followed_by_the_next(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([ValueError("a row that nobody thought of")])
    reconcile = Scheduler.reconcile

    async def reconcile_at_last(scheduler: Scheduler) -> None:
        if failure := next(failures, None):
            raise failure
        await reconcile(scheduler)

    monkeypatch.setattr(Scheduler, "reconcile", reconcile_at_last)
    config = msgspec.structs.replace(
        world.context.config, scheduler=msgspec.structs.replace(world.context.config.scheduler, period_s=0.05)
    )
    async with open_scheduler(config, world.context.database, world.context.clock) as scheduler:
        with trio.fail_after(10):
            while not scheduler.passes:
                await trio.sleep(0.01)


async def test_a_plan_for_much_that_is_wanted_leaves_the_event_loop_to_others(world: World) -> None:
    app = await world.app()
    await world.staged(app)
    scheduler = later(world, 0)
    small = scheduler.snapshot()
    with trio.testing.assert_no_checkpoints():
        await scheduler._plan(small)
    many = [
        msgspec.structs.replace(Process(app_guid=app.guid, type="web", instances=1000), guid=str(i)) for i in (1, 2, 3)
    ]
    with trio.testing.assert_checkpoints():
        await scheduler._plan(msgspec.structs.replace(small, processes=many))


async def test_a_report_under_an_old_epoch_changes_nothing(world: World) -> None:
    app = await world.app()
    await world.staged(app)
    package = await packages.create(world.context, world.admin, app_guid=app.guid)
    await packages.upload(world.context, world.admin, package.guid, chunks(archive({"a": b"b"})))
    build = await builds.create(world.context, world.admin, package_guid=package.guid)
    await world.scheduler.reconcile()
    stale = FinishBuild(build_guid=build.guid, node_guid=NODE, epoch=0, layers=[], process_types={})
    assert await world.context.database.write(finish_build, stale) is False
    assert await world.context.database.write(finish_build, msgspec.structs.replace(stale, epoch=1)) is True


async def test_a_build_past_its_deadline_fails_with_the_reason(world: World) -> None:
    app = await world.app()
    package = await packages.create(world.context, world.admin, app_guid=app.guid)
    await packages.upload(world.context, world.admin, package.guid, chunks(archive({"a": b"b"})))
    short = msgspec.structs.replace(world.context.config.apps, build_timeout_s=-10)
    context = msgspec.structs.replace(world.context, config=msgspec.structs.replace(world.context.config, apps=short))
    build = await builds.create(context, world.admin, package_guid=package.guid)
    await world.scheduler.reconcile()
    with world.context.database.read() as tx:
        found = tx.need(Build, build.guid)
    assert found.state == "FAILED" and found.error is not None and found.error.startswith("StagingTimeExpired")


async def test_jobs_and_uploads_are_never_left_open(world: World) -> None:
    job = await world.context.database.write(start_job, OpenJob(operation="test.run", deadline_s=-10))
    fresh = await world.context.database.write(start_job, OpenJob(operation="test.run", deadline_s=600))
    package = await packages.create(world.context, world.admin, app_guid=(await world.app()).guid)
    await world.context.database.write(begin_upload, BeginUpload(package_guid=package.guid, actor=SYSTEM))
    await world.scheduler.reconcile()
    with world.context.database.read() as tx:
        assert (tx.need(Job, job.guid).state, tx.need(Job, fresh.guid).state) == ("FAILED", "PROCESSING")
        assert tx.need(Job, job.guid).errors[0].detail
        assert tx.need(Package, package.guid).state == "PROCESSING_UPLOAD"
    await later(world, world.context.config.apps.upload_timeout_s + 5).reconcile()
    with world.context.database.read() as tx:
        assert tx.need(Package, package.guid).state == "FAILED"


async def test_what_does_not_fit_is_down_with_the_reason_and_placed_when_there_is_room(world: World) -> None:
    app = await world.running()
    with world.context.database.read() as tx:
        process = tx.all(Process, app_guid=app.guid)[0]
    scale = ScaleProcess(process_guid=process.guid, instances=6, sizes=world.context.sizes, actor=SYSTEM)
    await world.context.database.write(scale_process, scale)
    await world.scheduler.reconcile()
    found = process_stats(world.context, process.guid)
    assert [one.state for one in found] == ["STARTING"] * 4 + ["DOWN"] * 2
    assert {one.details for one in found[4:]} == {"insufficient resources: memory"}
    await world.context.database.write(scale_process, msgspec.structs.replace(scale, instances=4))
    await world.scheduler.reconcile()
    found = process_stats(world.context, process.guid)
    assert [(one.state, one.details) for one in found] == [("STARTING", None)] * 4


async def test_an_app_is_deleted_with_all_its_parts_and_its_job_ends(world: World) -> None:
    app = await world.running()
    job = await apps.delete(world.context, world.admin, app.guid)
    assert job.state == "PROCESSING"
    with pytest.raises(NotFound), world.context.database.read() as tx:
        need_app(tx, world.admin, app.guid)
    again = await world.context.database.write(apps.model.begin_delete_app, ChangeApp(app_guid=app.guid, actor=SYSTEM))
    assert again.guid == job.guid
    await world.scheduler.reconcile()
    with world.context.database.read() as tx:
        assert tx.get(App, app.guid) is None
        assert [tx.count(one, app_guid=app.guid) for one in (Process, Package, Build, Instance)] == [0] * 4
        assert tx.need(Job, job.guid).state == "COMPLETE"


async def test_an_organization_goes_with_its_spaces_apps_and_domains(world: World) -> None:
    app = await world.running()
    domain = await domains.create(
        world.context, world.admin, name="x.example.org", organization_guid=world.organization.guid
    )
    await routes.create(world.context, world.admin, space_guid=world.space.guid, domain_guid=domain.guid, host="a")
    kept = await world.other_space()
    job = await organizations.delete(world.context, world.admin, world.organization.guid)
    for _ in range(6):
        await world.scheduler.reconcile()
    with world.context.database.read() as tx:
        assert tx.need(Job, job.guid).state == "COMPLETE"
        assert tx.get(App, app.guid) is None and tx.get(Organization, world.organization.guid) is None
        assert tx.count(Route) == 0 and tx.get(Domain, domain.guid) is None
        assert [space.guid for space in tx.all(Space)] == [kept.guid]


async def test_a_deleted_space_takes_only_its_own_apps(world: World) -> None:
    other = await spaces.create(world.context, world.admin, name="kept", organization_guid=world.organization.guid)
    kept = await world.app("kept", other)
    await world.running()
    job = await spaces.delete(world.context, world.admin, world.space.guid)
    for _ in range(4):
        await world.scheduler.reconcile()
    with world.context.database.read() as tx:
        assert tx.need(Job, job.guid).state == "COMPLETE"
        assert [app.guid for app in tx.all(App)] == [kept.guid]


async def test_what_is_refused_holds_up_nothing_else_and_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await world.running(name="first"), await world.running(name="second")
    for app in (first, second):
        await apps.delete(world.context, world.admin, app.guid)
    write, refused = world.context.database.write, min(first.guid, second.guid)

    async def refusing(operation: Any, arguments: Any, **more: Any) -> Any:
        if isinstance(arguments, DeleteChunk) and arguments.guid == refused:
            raise TooLarge("it changes too much at once")
        return await write(operation, arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(world.context.database, "write", refusing)
        await world.scheduler.reconcile()
    with world.context.database.read() as tx:
        assert [app.guid for app in tx.all(App, deleting=True)] == [refused]
    await world.scheduler.reconcile()
    with world.context.database.read() as tx:
        assert tx.count(App) == 0


async def test_what_a_plan_says_of_many_is_written_in_batches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = msgspec.structs.replace(world.context.config.scheduler, batch=2)
    config = msgspec.structs.replace(world.context.config, scheduler=limits)
    scheduler = Scheduler(config, world.context.database, world.context.clock)
    sizes: dict[str, list[int]] = {}
    write = world.context.database.write

    async def counting(operation: Any, arguments: Any, **more: Any) -> Any:
        what = getattr(arguments, "reasons", None) or getattr(arguments, "nodes", None) or arguments.instance_guids
        sizes.setdefault(operation.name, []).append(len(what))
        return await write(operation, arguments, **more)

    monkeypatch.setattr(world.context.database, "write", counting)
    some = [f"guid-{number}" for number in range(5)]
    empty = make_plan(scheduler.snapshot())
    reasons, tasks = dict.fromkeys(some, "no room"), dict.fromkeys(some, NODE)
    plan = msgspec.structs.replace(empty, reasons=reasons, tasks=tasks, lease=some)
    await scheduler._apply(plan)
    assert sizes == {name: [2, 2, 1] for name in ("instances.record_failures", "task.assign", "lease.running")}
