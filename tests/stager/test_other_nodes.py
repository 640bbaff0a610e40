"""What other nodes have made or hold serves a build on this one."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from paasd.blobs import Blobs, open_blobs
from paasd.config import CopiesConfig
from paasd.copies import Copies, Place
from paasd.model import Build, Package
from paasd.peer import MemoryNetwork

from .world import NODE, World, archive

pytestmark = pytest.mark.root
QUICK = CopiesConfig(answer_timeout_s=5.0, stall_timeout_s=5.0)
SMALL_PYTHON = {
    "Procfile": "web: gunicorn app:app\n",
    "requirements.txt": "itsdangerous==2.2.0\n",
    "app.py": "app = 1\n",
}


@asynccontextmanager
async def another_node(world: World) -> AsyncIterator[Blobs]:
    """A second node in another zone, with its blobs."""
    network = MemoryNetwork(Random(1))
    places = [Place(guid=NODE, zone="a"), Place(guid="node-2", zone="b")]
    async with open_blobs(world.directory / "other-blobs") as other:
        for guid, blobs in ((NODE, world.blobs), ("node-2", other)):
            copies = Copies(QUICK, blobs, network.add(guid), lambda: places)
            copies.serve()
            blobs.elsewhere = copies
        yield other


def lose_everything(world: World) -> None:
    """This node's disk is new."""
    for sha256 in world.blobs.stored():
        world.blobs.path(sha256).unlink()
    shutil.rmtree(world.directory / "toolchains", ignore_errors=True)


async def test_layers_and_toolchains_of_other_nodes_are_fetched_and_not_made_again(world: World) -> None:
    lose_everything(world)  # toolchains of earlier tests are on no other node
    async with another_node(world) as other:
        async with world.staging():
            await world.app("app")
            first = await world.stage("app", SMALL_PYTHON)
            assert all(other.has(layer.sha256) for layer in first.layers)
        lose_everything(world)
        async with world.staging():
            before = len(world.lines("app"))
            second = await world.stage("app", {**SMALL_PYTHON, "app.py": "app = 2\n"})
            lines = world.lines("app")[before:]
            assert not any("Fetching toolchain" in line or "Installed" in line for line in lines), lines
            assert second.layers[0] == first.layers[0]
            assert all(other.has(layer.sha256) for layer in second.layers)


async def test_an_unchanged_push_uses_a_droplet_whose_layers_are_elsewhere_and_leaves_them_there(world: World) -> None:
    bits = archive(SMALL_PYTHON)
    async with another_node(world):
        async with world.staging():
            await world.app("app")
            first = await world.stage("app", bits)
        lose_everything(world)
        async with world.staging():
            again = await world.stage("app", bits)
            assert again.layers == first.layers and world.build_of(again).timings == []
            assert not any(world.blobs.has(layer.sha256) for layer in again.layers)


async def test_layers_that_are_nowhere_any_more_are_made_again(world: World) -> None:
    async with another_node(world) as other:
        async with world.staging():
            await world.app("app")
            first = await world.stage("app", SMALL_PYTHON)
        lose_everything(world)
        other.path(first.layers[0].sha256).unlink()
        async with world.staging():
            second = await world.stage("app", {**SMALL_PYTHON, "app.py": "app = 3\n"})
            assert all(world.blobs.has(layer.sha256) for layer in second.layers if layer.role != "toolchain")


async def test_a_damaged_package_is_replaced_before_it_is_unpacked(world: World) -> None:
    async with another_node(world):
        await world.app("app")
        guid = await world.begin("app", {"Procfile": "web: ./run\n", "run": "#!/bin/sh\nexec sleep 9\n"})
        with world.database.read() as tx:
            sha256 = tx.need(Package, tx.need(Build, guid).package_guid).blob_sha256
        path = world.blobs.path(sha256 or "")
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.chmod(0o600)
        path.write_bytes(data)
        async with world.staging():
            assert (await world.ended(guid)).state == "STAGED"
