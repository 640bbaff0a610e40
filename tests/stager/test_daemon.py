"""Builds across the daemon's life: rows that go away, daemons that come back."""

from typing import Any

import pytest
import trio

from paasd.errors import OutcomeUnknown, Unavailable
from paasd.model import Build
from paasd.model.builds import AssignBuild, assign_build, finish_build
from paasd.sandbox import ContainerSpec
from paasd.state import Database

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


class Shaky:
    """The database; its answers to finished builds get lost once before they are carried out and once afterwards."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.tries = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def write(self, operation: Any, arguments: Any, **options: Any) -> Any:
        if operation is not finish_build:
            return await self._database.write(operation, arguments, **options)
        self.tries += 1
        if self.tries == 1:
            raise Unavailable("no majority")
        result = await self._database.write(operation, arguments, **options)
        if self.tries == 2:
            raise OutcomeUnknown("no answer", "request")
        return result


async def test_a_build_whose_outcome_is_not_written_at_once_is_not_done_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paasd.stager.stager._RETRY_S", 0.05)
    shaky = Shaky(world.database)
    world.database = shaky  # type: ignore[assignment]
    async with world.staging() as stager:
        await world.app("app")
        droplet = await world.stage("app", {"Procfile": "web: ./run\n", "run": "#!/bin/sh\n"})
        with trio.fail_after(30):
            while stager.building:
                await trio.sleep(0.02)
        assert shaky.tries == 3
        assert len([line for line in world.lines("app") if "Droplet ready" in line]) == 1
        assert world.build_of(droplet).state == "STAGED"
