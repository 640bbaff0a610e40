"""What was staged before is found again, by the right apps and no others."""

from pathlib import Path

import pytest
import trio

from paasd.config import StagingConfig
from paasd.model.apps import ChangeApp
from paasd.model.arguments import SYSTEM
from paasd.model.build_caches import clear_app_cache
from paasd.model.records import Layer
from paasd.stager.caches import Caches

from .world import EXAMPLES, World, archive

pytestmark = pytest.mark.root

STATIC_BINARY = {"Procfile": "web: ./run\n", "run": "#!/bin/sh\nexec sleep 100\n"}
SMALL_PYTHON = {
    "Procfile": "web: gunicorn app:app\n",
    "requirements.txt": "itsdangerous==2.2.0\n",
    "app.py": "app = 1\n",
}


def steps(world: World, droplet: object) -> list[str]:
    return [timing.step for timing in world.build_of(droplet).timings]  # type: ignore[arg-type]


async def kept(folder: Path, pattern: str) -> Path:
    """The cache of a build, which is kept after it was reported."""
    with trio.fail_after(30):
        while not (found := list(folder.glob(pattern))):
            await trio.sleep(0.05)
    return found[0]


async def test_the_very_same_upload_needs_no_container(world: World) -> None:
    async with world.staging():
        await world.app("app")
        bits = archive(STATIC_BINARY)
        first = await world.stage("app", bits)
        again = await world.stage("app", bits)
        assert again.layers == first.layers
        assert again.guid != first.guid
        assert steps(world, first) == ["sandbox", "detect", "toolchains", "build", "pack", "store"]
        assert steps(world, again) == []


async def test_the_same_files_in_another_archive_are_not_built_again(world: World) -> None:
    async with world.staging():
        await world.app("app")
        first = await world.stage("app", STATIC_BINARY)
        again = await world.stage("app", {"run": STATIC_BINARY["run"], "Procfile": STATIC_BINARY["Procfile"]})
        assert again.layers == first.layers
        assert steps(world, again) == ["sandbox", "detect"]
        changed = await world.stage("app", {**STATIC_BINARY, "run": "#!/bin/sh\nexec sleep 101\n"})
        assert changed.layers != first.layers
        assert "build" in steps(world, changed)


async def test_an_unchanged_lock_file_installs_nothing(world: World) -> None:
    async with world.staging():
        await world.app("app")
        first = await world.stage("app", SMALL_PYTHON)
        before = len(world.lines("app"))
        second = await world.stage("app", {**SMALL_PYTHON, "app.py": "app = 2\n"})
        lines = world.lines("app")[before:]
        assert any("unchanged" in line and "nothing to install" in line for line in lines)
        assert not any("Installed" in line for line in lines)
        assert second.layers[0] == first.layers[0]
        assert second.layers[0].role == "dependencies"
        assert second.layers[1] != first.layers[1]


async def test_a_changed_requirement_installs_from_the_apps_own_cache(world: World) -> None:
    async with world.staging():
        await world.app("app")
        first = await world.stage("app", SMALL_PYTHON)
        caches = world.directory / "staging" / "caches" / "org" / "app"
        with_cache = await world.stage(
            "app", {**SMALL_PYTHON, "requirements.txt": "itsdangerous==2.2.0\nblinker==1.9.0\n"}
        )
        assert list(caches.glob("*.sqfs"))
        assert with_cache.layers[0] != first.layers[0]


async def test_a_cache_that_cannot_be_mounted_costs_time_and_no_build(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = world.directory / "staging" / "caches" / "org" / "app" / "empty.sqfs"
    async with world.staging():
        await world.app("app")
        cache.parent.mkdir(parents=True)
        cache.touch()
        assert (await world.stage("app", STATIC_BINARY)).process_types == {"web": "./run"}
        assert not cache.exists()
        # A build that ended just now may have put another one in its place.
        monkeypatch.setattr(Caches, "find", lambda *_: cache)
        changed = await world.stage("app", {**STATIC_BINARY, "run": "#!/bin/sh\nexec sleep 101\n"})
        assert changed.process_types == {"web": "./run"}


async def test_a_build_after_the_cache_was_cleared_uses_nothing_of_former_ones(world: World) -> None:
    async with world.staging():
        await world.app("app")
        await world.app("sibling")
        await world.stage("app", SMALL_PYTHON)
        folder = world.directory / "staging" / "caches" / "org" / "app"
        former = await kept(folder, "*.sqfs")
        await world.database.write(clear_app_cache, ChangeApp(app_guid="app", actor=SYSTEM))
        before = len(world.lines("app"))
        second = await world.stage("app", SMALL_PYTHON)
        assert second.layers[0].role == "dependencies" and "build" in steps(world, second)
        assert not any("nothing to install" in line for line in world.lines("app")[before:])
        await kept(folder, "0.1-*.sqfs")
        with trio.fail_after(30):
            while former.exists():
                await trio.sleep(0.05)
        third = await world.stage("app", SMALL_PYTHON)
        assert third.layers == second.layers and steps(world, third) == ["sandbox", "detect"]
        await world.stage("sibling", SMALL_PYTHON)
        assert any("nothing to install" in line for line in world.lines("sibling")), "others keep what there was"


async def test_layers_are_shared_inside_a_space_and_not_beyond(world: World) -> None:
    async with world.staging():
        await world.app("app")
        await world.app("sibling")
        await world.app("stranger", space="second")
        await world.stage("app", SMALL_PYTHON)
        await world.stage("sibling", SMALL_PYTHON)
        await world.stage("stranger", SMALL_PYTHON)
        assert any("nothing to install" in line for line in world.lines("sibling"))
        assert not any("nothing to install" in line for line in world.lines("stranger"))


@pytest.mark.slow
async def test_what_a_third_partys_buildpack_leaves_serves_no_other_droplet(world: World, tmp_path: Path) -> None:
    supply = tmp_path / "pack" / "bin" / "supply"
    supply.parent.mkdir(parents=True)
    supply.write_text("#!/bin/sh\nexit 0\n")
    supply.chmod(0o755)
    async with world.staging(StagingConfig(buildpacks={"theirs": str(tmp_path / "pack")})):
        await world.app("app")
        droplet = await world.stage("app", SMALL_PYTHON, buildpacks=["theirs", "python_buildpack"])
        assert [layer.role for layer in droplet.layers] == ["dependencies", "app"]
        with world.database.read() as tx:
            assert not tx.all(Layer, role="dependencies")
        await world.stage("app", SMALL_PYTHON)
        with world.database.read() as tx:
            assert len(tx.all(Layer, role="dependencies")) == 1


async def test_the_environment_is_part_of_what_makes_a_droplet(world: World) -> None:
    async with world.staging():
        await world.app("app", environment={"MODE": "one"})
        await world.app("app-two", environment={"MODE": "two"})
        bits = archive(STATIC_BINARY)
        one = await world.stage("app", bits)
        two = await world.stage("app-two", bits)
        assert one.reuse_key != two.reuse_key
        assert one.reuse_key.split(":")[1] == two.reuse_key.split(":")[1]


async def test_node_modules_are_installed_once_for_building_and_for_running(world: World, tmp_path: Path) -> None:
    async with world.staging():
        await world.app("express")
        first = await world.stage("express", EXAMPLES / "express-app")
        files = {path.name: path.read_text() for path in (EXAMPLES / "express-app").iterdir() if path.is_file()}
        second = await world.stage("express", {**files, "client.js": files["client.js"] + "console.log(1);\n"})
        assert any("Dependencies unchanged" in line for line in world.lines("express"))
        assert [layer.role for layer in second.layers] == ["toolchain", "dependencies", "app"]
        assert second.layers[:2] == first.layers[:2]
        assert second.layers[2] != first.layers[2]
