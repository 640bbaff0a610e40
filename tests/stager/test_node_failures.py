"""A node whose disk fails while it builds: the build says so, and the daemon goes on."""

from typing import Any

import pytest
import trio

from paasd.model.builds import fail_build, finish_build
from paasd.state import DiskFull

from .world import World

pytestmark = pytest.mark.root

NO_APP: dict[str, str | bytes] = {"notes.txt": "hello"}
BINARY: dict[str, str | bytes] = {"Procfile": "web: true\n"}


async def test_a_file_that_cannot_be_written_fails_the_build_and_not_the_daemon(world: World) -> None:
    async with world.staging(), trio.open_nursery() as nursery:
        await world.app("app")
        builds = world.directory / "staging" / "builds"

        async def spoil() -> None:
            while not (found := list(builds.iterdir())):
                await trio.sleep(0.001)
            (found[0] / "request.json").mkdir()

        nursery.start_soon(spoil)
        error = await world.refused("app", NO_APP)
        assert "the node failed (Is a directory); push again" in error
        assert "NoAppDetectedError" in await world.refused("app", NO_APP)


@pytest.mark.parametrize("refused", [fail_build.name, finish_build.name])
async def test_an_outcome_that_cannot_be_written_is_written_later(
    world: World, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    write, planted = world.database.write, [True]

    async def full_once(operation: Any, *arguments: Any, **more: Any) -> Any:
        if operation.name == refused and planted:
            planted.clear()
            raise DiskFull("planted")
        return await write(operation, *arguments, **more)

    monkeypatch.setattr(world.database, "write", full_once)
    monkeypatch.setattr("paasd.stager.stager._RECONCILE_S", 0.2)
    async with world.staging():
        await world.app("app")
        if refused == fail_build.name:
            assert "NoAppDetectedError" in await world.refused("app", NO_APP)
        else:
            await world.stage("app", BINARY, buildpacks=["binary_buildpack"])
        assert not planted
