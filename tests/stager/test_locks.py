"""Lock files of every package manager, with real dependencies, staged in the real sandbox and asked over HTTP."""

import json
from pathlib import Path

import pytest

from .world import World, get

pytestmark = [pytest.mark.root, pytest.mark.timeout(400)]

LOCKS = Path(__file__).parent / "locks"


async def served(world: World, name: str, path: str = "/") -> bytes:
    """What the app of this folder answers; it is staged twice, the second time without installing anything."""
    await world.app(name)
    droplet = await world.stage(name, LOCKS / name)
    root = LOCKS / name
    files = {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}
    before = len(world.lines(name))
    again = await world.stage(name, {**files, "notes.txt": b"more"})
    lines = world.lines(name)[before:]
    assert any("nothing to install" in line for line in lines), lines
    assert again.layers[:-1] == droplet.layers[:-1]
    async with world.running(again) as container:
        status, _, body = await get(container.address, path)
        assert status == 200, body
        return body


async def test_poetry_lock_is_installed_without_its_development_group(world: World) -> None:
    async with world.staging():
        assert await served(world, "poetry") == b"flask without development tools"


async def test_pipfile_lock_is_installed_with_extras_and_markers_and_without_its_development_group(
    world: World,
) -> None:
    async with world.staging():
        assert await served(world, "pipenv") == b"dotenv without development tools"
        assert not [line for line in world.lines("pipenv") if "+ colorama" in line]


async def test_yarn_4_builds_with_development_tools_and_runs_without_them(world: World) -> None:
    async with world.staging():
        assert json.loads(await served(world, "yarn4")) == {"minute": 60_000, "esbuild": False}
        assert any("yarn" in line and "Node.js" in line for line in world.lines("yarn4"))


async def test_npm_workspaces_find_each_other(world: World) -> None:
    async with world.staging():
        found = json.loads(await served(world, "workspaces"))
        assert found == {"greeting": "a minute has 60000 ms", "esbuild": False}
