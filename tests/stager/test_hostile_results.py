"""What a build or a droplet says of itself, and parts of the node that break: one fails, and the next is built."""

import errno
import json
from collections.abc import Callable, Iterator
from typing import Any

import apsw
import msgspec
import pytest
from pyroute2.netlink.exceptions import NetlinkError

from paasd.config import StagingConfig
from paasd.logs import SpoolTail
from paasd.packing import UNREADABLE
from paasd.sandbox import Sandbox
from paasd.sandbox.network import links
from paasd.stager.caches import Caches
from paasd.stager.outcome import Packed
from paasd.state.lines import LineStore
from tests.hostile.stage import make_runner
from tests.hostile.test_45_uploads import SWAP

from .test_uploads import begin, ended
from .world import World, archive

pytestmark = pytest.mark.root

BINARY: dict[str, str | bytes] = {"Procfile": "web: true\n"}
NODE_FAILED = "StagingError - Staging error: the node failed; "


def sided(memory: object) -> dict[str, Any]:
    return {"name": "side", "command": "true", "process_types": ["web"], "memory": memory}


def result(memory: object) -> bytes:
    told = {"detected_buildpack": "", "buildpacks": []}
    types = {"process_types": {"web": "true"}, "sidecars": [sided(memory)]}
    return json.dumps({**types, "lifecycle_metadata": told, "layers": [], "toolchains": []}).encode()


async def test_a_result_that_nobody_can_use_fails_the_build_and_the_next_one_is_built(world: World) -> None:
    runner = make_runner(world.directory / "runner")
    bodies = {
        # msgspec before 0.23 has another error than its own for this one.
        b'{"process_types": {"web": "\xff"}}': "result.json of the build cannot be used",
        result("9" * 5000): "result.json of the build cannot be used",
        result("9" * 30): "the sidecar side asks for more memory than there is",
        result(10**30): "the sidecar side asks for more memory than there is",
    }
    async with world.staging(StagingConfig(buildpacks={"runner_buildpack": str(runner)})):
        await world.app("app")
        for body, expected in bodies.items():
            files = {"build.sh": "python3 swap.py", "swap.py": SWAP.replace("BODY", repr(body))}
            assert expected in await world.refused("app", files, buildpacks=["runner_buildpack"])
        files["swap.py"] = SWAP.replace("BODY", repr(result("99M")))
        droplet = await world.stage("app", files, buildpacks=["runner_buildpack"])
        assert [sidecar.memory_mb for sidecar in droplet.sidecars] == [99]


def test_sizes_of_images_that_no_disk_has_are_refused() -> None:
    """They are added up and told in the log, as floats."""
    assert msgspec.json.decode(b'{"app": 4096}', type=Packed) == {"app": 4096}
    for size in ("1" + "0" * 400, "1" + "0" * 5000, "-1"):
        with pytest.raises(UNREADABLE):
            msgspec.json.decode(f'{{"app": {size}}}', type=Packed)


async def test_a_droplet_with_a_sidecar_larger_than_any_machine_fails_alone(world: World) -> None:
    def droplet(memory: object) -> bytes:
        info = {"paasd": {"process_types": {"web": "true"}, "sidecars": [sided(memory)]}}
        return archive({"app/notes.txt": "x", "staging_info.yml": json.dumps(info)})

    async with world.staging():
        await world.app("app")
        for memory in ("9" * 5000, "9" * 30, 10**30):
            refused = await ended(world, await begin(world, "app", droplet(memory)))
            assert refused.state == "FAILED", memory
            assert "memory" in (refused.error or "")
        taken = await ended(world, await begin(world, "app", droplet("99M")))
        assert (taken.state, taken.error) == ("STAGED", None)
        assert [sidecar.memory_mb for sidecar in taken.sidecars] == [99]


BROKEN: dict[str, tuple[type, str, Callable[[], Exception]]] = {
    "netlink": (Sandbox, "create", lambda: NetlinkError(errno.ENOBUFS)),
    "nobody thought of it": (Sandbox, "create", lambda: ValueError("planted")),
    "in a nursery inside": (SpoolTail, "run", lambda: OSError(errno.EIO, "planted")),
}


@pytest.fixture(params=BROKEN)
def plant(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """Breaks a part of the node for the first one that uses it from then on; the list counts its uses."""
    kind, name, make = BROKEN[request.param]
    sound = getattr(kind, name)

    def planted() -> list[int]:
        uses: list[int] = []

        async def broken(*arguments: Any) -> Any:
            uses.append(1)
            if len(uses) == 1:
                raise make()
            return await sound(*arguments)

        monkeypatch.setattr(kind, name, broken)
        return uses

    return planted


async def test_a_part_that_breaks_fails_one_build_and_is_not_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch, plant: Callable[[], list[int]]
) -> None:
    monkeypatch.setattr("paasd.stager.stager._RECONCILE_S", 0.05)
    async with world.staging():
        await world.app("app")
        uses = plant()
        assert await world.refused("app", BINARY) == f"{NODE_FAILED}push again"
        assert len(uses) == 1
        assert any("the node failed; push again" in line for line in world.lines("app"))
        assert (await world.stage("app", BINARY)).process_types == {"web": "true"}
    assert not world.sandbox.containers


async def test_a_part_that_breaks_fails_one_uploaded_droplet(world: World, plant: Callable[[], list[int]]) -> None:
    bits = archive({"app/Procfile": "web: true\n"})
    async with world.staging():
        await world.app("app")
        plant()
        refused = await ended(world, await begin(world, "app", bits))
        assert (refused.state, refused.error) == ("FAILED", f"{NODE_FAILED}upload the droplet again")
        assert (await ended(world, await begin(world, "app", bits))).state == "STAGED"


async def test_what_the_kernel_refuses_of_links_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match="No such device") as caught, links.netlink() as ip:
        ip.link("set", index=2**31 - 2, state="up")
    assert caught.value.errno == errno.ENODEV


@pytest.fixture(params=[apsw.ThreadingViolationError, apsw.CorruptError])
def no_cursor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def cursor(_store: LineStore, _name: str) -> bytes | None:
        raise request.param("planted")

    monkeypatch.setattr(LineStore, "cursor", cursor)
    yield


@pytest.mark.usefixtures("no_cursor")
async def test_a_build_goes_on_where_its_place_in_the_log_cannot_be_read(world: World) -> None:
    async with world.staging():
        await world.app("app")
        await world.stage("app", BINARY)
        assert any("Droplet ready" in line for line in world.lines("app"))


async def test_caches_that_cannot_be_cleared_keep_nothing_from_being_built(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleared: list[Caches] = []

    def forget_others(caches: Caches, _generations: dict[str, str]) -> int:
        cleared.append(caches)
        raise OSError(errno.EIO, "planted")

    monkeypatch.setattr(Caches, "forget_others", forget_others)
    async with world.staging():
        await world.app("app")
        await world.stage("app", BINARY)
    assert cleared
