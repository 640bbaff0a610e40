"""Builds across the daemon's life: rows that go away, daemons that come back."""

import pytest
import trio

from paasd.model import Build
from paasd.model.builds import AssignBuild, assign_build
from paasd.sandbox import ContainerSpec

from .world import World, drop_build

pytestmark = pytest.mark.root

SLOW = {"package.json": '{"scripts": {"build": "sleep 1000", "start": "node ."}}', "server.js": ""}


async def started(world: World, app_guid: str) -> None:
    """Until the build's own script runs."""
    with trio.fail_after(60):
        while not any("Running build" in line for line in world.lines(app_guid)):
            await trio.sleep(0.05)


async def test_a_build_ends_when_its_row_goes_away(world: World) -> None:
    async with world.staging() as stager:
        await world.app("app")
        guid = await world.begin("app", SLOW)
        await started(world, "app")
        assert len(world.sandbox.containers) == 1
        await world.database.write(drop_build, guid)
        with trio.fail_after(60):
            while world.sandbox.containers or stager.building:
                await trio.sleep(0.02)


async def test_a_build_that_the_next_epoch_took_elsewhere_is_given_up(world: World) -> None:
    async with world.staging() as stager:
        await world.app("app")
        guid = await world.begin("app", SLOW)
        await started(world, "app")
        await world.database.write(assign_build, AssignBuild(build_guid=guid, node_guid="node-2", epoch=1))
        with trio.fail_after(60):
            while world.sandbox.containers or stager.building:
                await trio.sleep(0.02)


async def test_a_build_interrupted_by_the_daemons_end_is_done_by_the_next_daemon(world: World) -> None:
    await world.app("app")
    script = '{"scripts": {"build": "sleep 2", "start": "node ."}}'
    async with world.staging():
        guid = await world.begin("app", {"package.json": script, "server.js": ""})
        await started(world, "app")
    with world.database.read() as tx:
        assert tx.need(Build, guid).state == "STAGING"
    async with world.staging():
        build = await world.ended(guid)
        assert build.state == "STAGED"
        assert build.epoch == 1
    assert not world.sandbox.containers


async def test_what_a_killed_daemon_left_of_its_builds_is_swept(world: World) -> None:
    await world.app("app")
    await world.sandbox.create(ContainerSpec(guid="stg-left-over", kind="build"))
    await world.sandbox.create(ContainerSpec(guid="an-app", kind="app"))
    left = world.directory / "staging" / "builds" / "left-over"
    left.mkdir(parents=True)
    (left / "request.json").write_text("{}")
    async with world.staging():
        await world.stage("app", {"Procfile": "web: true\n"})
        assert "stg-left-over" not in world.sandbox.containers
        assert "an-app" in world.sandbox.containers
        assert not left.exists()
