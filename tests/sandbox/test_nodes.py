"""Two nodes on one host never touch each other's objects."""

import contextlib
from pathlib import Path

import pytest
import trio

from paasd.sandbox import Container, SandboxError

from .place import Place, run, shell, spec

pytestmark = pytest.mark.root


@pytest.fixture
def other(tmp_path: Path) -> Place:
    return Place(tmp_path / "other", tmp_path / "slots.json")


async def test_two_nodes_have_their_own_of_everything(place: Place, other: Place) -> None:
    async with place.open() as here, other.open() as there:
        one, two = await here.create(spec("same")), await there.create(spec("same"))
        await one.start(shell("sleep 1000"))
        await two.start(shell("sleep 1000"))
        assert one.address != two.address
        assert one.record.slot != two.record.slot
        ours, theirs = place.inventory(), other.inventory()
        for kind in ("cgroups", "mounts", "loops", "network", "processes", "slots", "files"):
            mine, yours = getattr(ours, kind), getattr(theirs, kind)
            assert mine, kind
            if kind != "network":
                assert not mine & yours, kind
        await one.destroy()
        assert other.inventory().difference(theirs).keys() <= {"descriptors"}
        assert two.running


async def test_closing_and_sweeping_one_node_leaves_the_other_alone(place: Place, other: Place) -> None:
    async with other.open() as there:
        container = await there.create(spec("stays"))
        await container.start(shell("sleep 1000"))
        for _ in range(2):
            async with place.open() as here:
                await (await here.create(spec("goes"))).start(shell("sleep 1000"))
                assert set(here.containers) == {"goes"}
        assert place.leftovers() == {}
        assert container.running
        handle = await container.exec(["true"], {}, "/")
        assert await handle.wait() == 0
    assert other.leftovers() == {}


async def test_several_containers_up_and_down_twice_leave_nothing(place: Place) -> None:
    async with place.open() as sandbox:
        await (await sandbox.create(spec("warm"))).destroy()
        before = place.inventory()
        for number in (1, 2):

            async def up(guid: str) -> None:
                container = await sandbox.create(spec(guid))
                await container.start(shell("sleep 1000"))

            async with trio.open_nursery() as nursery:
                for index in range(8):
                    nursery.start_soon(up, f"c{number}-{index}")
            assert len({c.address for c in sandbox.containers.values()}) == 8
            await sandbox.destroy_all()
            assert place.inventory().difference(before) == {}


async def test_a_cancelled_create_leaves_nothing_and_a_cancelled_start_can_be_repeated(place: Place) -> None:
    async with place.open() as sandbox:
        await (await sandbox.create(spec("warm"))).destroy()
        before = place.inventory()
        for timeout_s in (0.0, 0.005, 0.01, 0.015, 0.02, 0.03):
            with trio.move_on_after(timeout_s):
                await (await sandbox.create(spec("one"))).destroy()
            if "one" in sandbox.containers:
                await sandbox.destroy("one")
            assert place.inventory().difference(before) == {}
        container = await sandbox.create(spec("one"))
        for timeout_s in (0.001, 0.005, 0.01, 0.02):
            with trio.move_on_after(timeout_s):
                await container.start(shell("sleep 1000"))
            await container.kill()
            assert sandbox._parts.cgroups.pids("one") == set()
        ended, _text = await run(container, shell("exit 2"))
        assert ended.code == 2


async def test_a_node_that_is_cancelled_takes_down_what_it_owns(place: Place) -> None:
    with trio.move_on_after(20) as scope:
        async with place.open() as sandbox:
            await (await sandbox.create(spec("one"))).start(shell("sleep 1000"))
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert place.leftovers() == {}


async def test_destroying_twice_at_once_gives_a_shared_layer_back_once(place: Place, layer: Path) -> None:
    async with place.open() as sandbox:
        goes, stays = [await sandbox.create(spec(guid, layers=(layer,))) for guid in ("goes", "stays")]
        await goes.start(shell("sleep 1000"))
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(goes.destroy)
        assert list(sandbox.images.counted().values()) == [1]
        ended, text = await run(stays, shell("cat /home/vcap/layer"))
        assert (ended.code, text) == (0, "from the layer\n")


async def test_destroying_while_it_starts_leaves_nothing(place: Place) -> None:
    async with place.open() as sandbox:
        await (await sandbox.create(spec("warm"))).destroy()
        before = place.inventory()
        for wait_s in (0.0, 0.003, 0.01, 0.03):
            container = await sandbox.create(spec("one"))

            async def start(container: Container = container) -> None:
                with contextlib.suppress(SandboxError):
                    await container.start(shell("sleep 1000"))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(start)
                await trio.sleep(wait_s)
                await container.destroy()
            assert place.inventory().difference(before) == {}
