"""What goes away by itself, and above all what does not."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paasd.actions import builds, packages
from paasd.blobs import Blobs, open_blobs
from paasd.config import BlobsConfig, RetentionConfig, StateConfig
from paasd.errors import Unavailable
from paasd.model import App, Build, Droplet, Instance, Job, Package, Space
from paasd.model.jobs import OpenJob, start_finished_job, start_job
from paasd.model.retention import ExpireParts, blobs_of_node, expire_parts, referenced_blobs
from paasd.scheduler.housekeeping import tidy
from paasd.state import Eq, Faults, MemoryLog, open_database
from tests.actions.world import World, archive, chunks, open_world
from tests.model.planting import PlantedLayers, plant_layers

LITTLE = RetentionConfig(packages=1, droplets=1, builds=1)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, memory_mb=2048) as opened:
        yield opened


async def round_of(world: World, config: RetentionConfig, later_s: float = 0.0) -> None:
    clock = world.context.clock
    await tidy(config, world.context.database, world.context.blobs, list, lambda: clock() + later_s)


def rows(world: World, app: App) -> tuple[int, int, int]:
    with world.context.database.read() as tx:
        return tuple(tx.count(kind, app_guid=app.guid) for kind in (Package, Droplet, Build))  # type: ignore[return-value]


async def test_the_newest_and_what_is_served_from_stay(world: World) -> None:
    app = await world.app()
    first = await world.staged(app)
    for _ in range(3):
        await world.staged(app)
    with world.context.database.read() as tx:
        current = tx.need(App, app.guid).droplet_guid
    assert rows(world, app) == (4, 4, 4)
    await round_of(world, LITTLE)
    with world.context.database.read() as tx:
        kept = {droplet.guid for droplet in tx.all(Droplet, app_guid=app.guid)}
        packages = {package.guid for package in tx.all(Package, app_guid=app.guid)}
        needed = {droplet.package_guid for droplet in tx.all(Droplet, app_guid=app.guid)}
    assert len(kept) <= 2 and (current is None or current in kept)
    assert needed <= packages, "a droplet that stays keeps its package"
    assert first is not None


async def test_a_build_under_way_keeps_its_package(world: World) -> None:
    app = await world.app()
    package = await packages.create(world.context, world.admin, app_guid=app.guid)
    await packages.upload(world.context, world.admin, package.guid, chunks(archive({"a": b"b"})))
    building = await builds.create(world.context, world.admin, package_guid=package.guid)
    for _ in range(2):
        await packages.create(world.context, world.admin, app_guid=app.guid)
    await round_of(world, LITTLE)
    with world.context.database.read() as tx:
        assert tx.get(Package, building.package_guid) is not None
        assert tx.get(Build, building.guid) is not None


async def test_ended_jobs_go_and_open_ones_stay(world: World) -> None:
    with world.context.database.read() as tx:
        before = tx.count(Job)
    for start in (start_job, start_finished_job):
        await world.context.database.write(start, OpenJob(operation="test"))
    await round_of(world, LITTLE, later_s=LITTLE.jobs_s - 60)
    with world.context.database.read() as tx:
        assert tx.count(Job) == before + 2
    await round_of(world, LITTLE, later_s=LITTLE.jobs_s + 60)
    with world.context.database.read() as tx:
        assert [job.state for job in tx.all(Job, Eq("operation", "test"))] == ["PROCESSING"]


async def test_a_blob_goes_when_its_rows_are_gone_and_not_before(world: World, tmp_path: Path) -> None:
    async with open_blobs(tmp_path / "other", BlobsConfig(collect_after_s=0)) as blobs:
        kept, gone = await write(blobs, b"kept"), await write(blobs, b"gone")
        await tidy(LITTLE, world.context.database, blobs, lambda: [kept], world.context.clock)
        assert blobs.has(kept)
        assert not blobs.has(gone)


async def test_the_blob_of_a_layer_goes_that_no_build_finds_any_more(world: World, tmp_path: Path) -> None:
    database = world.context.database
    with database.read() as tx:
        space = tx.all(Space)[0]
    async with open_blobs(tmp_path / "other", BlobsConfig(collect_after_s=0)) as blobs:
        lost, found = await write(blobs, b"an organization's"), await write(blobs, b"a space's")
        for owner, sha256 in ((space.organization_guid, lost), (space.guid, found)):
            planted = PlantedLayers(owner_guid=owner, organization_guid=space.organization_guid, sha256=sha256)
            await database.write(plant_layers, planted)
        await tidy(LITTLE, database, blobs, list, world.context.clock, lambda _subject: False)
        assert (blobs.has(lost), blobs.has(found)) == (True, True), "another node tidies rows"
        await tidy(LITTLE, database, blobs, list, world.context.clock)
        assert (blobs.has(lost), blobs.has(found)) == (False, True)


async def test_a_node_that_is_cut_off_deletes_no_blobs_since_its_rows_are_old(tmp_path: Path) -> None:
    log = MemoryLog(1)
    (tmp_path / "state").mkdir()
    async with (
        open_database(tmp_path / "state", StateConfig(fresh_s=0.1), log=log.client(), sync=False) as database,
        open_blobs(tmp_path / "blobs", BlobsConfig(collect_after_s=0)) as blobs,
    ):
        gone = await write(blobs, b"gone")
        log.faults = Faults(unavailable=1)
        with pytest.raises(Unavailable, match="does not hear of changes"):
            await tidy(LITTLE, database, blobs, list, time.time, lambda _subject: False)
        assert blobs.has(gone)
        log.faults = Faults()
        await tidy(LITTLE, database, blobs, list, time.time, lambda _subject: False)
        assert not blobs.has(gone)


async def test_every_layer_of_a_droplet_is_referenced(world: World) -> None:
    app = await world.app()
    await world.staged(app)
    with world.context.database.read() as tx:
        layers = {layer.sha256 for droplet in tx.all(Droplet) for layer in droplet.layers}
        blobs = {package.blob_sha256 for package in tx.all(Package)} - {None}
        assert layers and blobs
        assert layers | blobs <= referenced_blobs(tx)


async def test_what_a_node_runs_is_needed_there_and_nowhere_else(world: World) -> None:
    app = await world.running()
    with world.context.database.read() as tx:
        (droplet,), (instance,) = tx.all(Droplet, app_guid=app.guid), tx.all(Instance, app_guid=app.guid)
        layers = {layer.sha256 for layer in droplet.layers}
        assert layers and blobs_of_node(tx, instance.node_guid) == layers
        assert blobs_of_node(tx, "another") == set()


async def test_an_app_that_is_gone_has_nothing_to_expire(world: World) -> None:
    arguments = ExpireParts(app_guid="nobody", packages=1, droplets=1, builds=1)
    assert await world.context.database.write(expire_parts, arguments) == 0


async def write(blobs: Blobs, content: bytes) -> str:
    async with blobs.writer(1000) as writer:
        await writer.write(content)
        return (await writer.commit()).sha256
