"""Droplets that leave as archives and come back: what they need beside their own files comes along."""

import pytest
import trio

from paasd.model import Droplet, DropletUpload
from paasd.model.arguments import SYSTEM
from paasd.model.droplets import CreateDroplet, create_droplet
from paasd.model.uploads import BeginDropletUpload, begin_droplet_upload
from paasd.stager import Downloads

from .world import DEFAULT, EXAMPLES, NODE, World, get

pytestmark = pytest.mark.root


async def download(world: World, droplet: Droplet) -> bytes:
    async with await Downloads(DEFAULT, world.sandbox, world.blobs, "host").open(droplet) as pieces:
        return b"".join([piece async for piece in pieces])


async def begin(world: World, app_guid: str, bits: bytes) -> Droplet:
    droplet = await world.database.write(create_droplet, CreateDroplet(app_guid=app_guid, actor=SYSTEM))
    async with world.blobs.writer(len(bits)) as writer:
        await writer.write(bits)
        blob = await writer.commit()
    arguments = BeginDropletUpload(
        droplet_guid=droplet.guid,
        node_guid=NODE,
        blob_sha256=blob.sha256,
        default_stack="host",
        memory_mb=512,
        disk_mb=1024,
        timeout_s=600,
        actor=SYSTEM,
    )
    await world.database.write(begin_droplet_upload, arguments)
    return droplet


async def ended(world: World, droplet: Droplet) -> Droplet:
    async with world.database.watch("droplet_uploads") as changes:
        while True:
            with world.database.read() as tx:
                if not tx.exists(DropletUpload, droplet_guid=droplet.guid):
                    return tx.need(Droplet, droplet.guid)
            await changes.wait()
            changes.take()


async def test_a_site_comes_back_with_its_web_server(world: World) -> None:
    async with world.staging():
        await world.app("site")
        droplet = await world.stage("site", EXAMPLES / "static-site")
        assert [layer.role for layer in droplet.layers] == ["toolchain", "app"]
        bits = await download(world, droplet)
        assert len(bits) < 1024**2, "the toolchain is not part of the archive"
        await world.app("copy", organization="other")
        copy = await ended(world, await begin(world, "copy", bits))
        assert (copy.state, copy.error) == ("STAGED", None)
        assert [layer.role for layer in copy.layers] == ["toolchain", "app"]
        assert copy.layers[0] == droplet.layers[0]
        assert copy.process_types == droplet.process_types
        async with world.running(droplet) as one, world.running(copy) as two:
            expected, found = await get(one.address), await get(two.address)
            assert (expected[0], expected[2]) == (found[0], found[2])
            assert found[0] == 200


async def test_an_app_comes_back_with_its_dependencies_also_through_a_stager_that_was_ended(world: World) -> None:
    async with world.staging():
        await world.app("flask")
        droplet = await world.stage("flask", EXAMPLES / "flask-app")
        assert [layer.role for layer in droplet.layers] == ["dependencies", "app"]
        bits = await download(world, droplet)
    await world.app("copy", organization="other")
    waiting = await begin(world, "copy", bits)
    async with world.staging():
        with trio.fail_after(60):
            while not world.sandbox.containers:
                await trio.sleep(0.01)
    assert not world.sandbox.containers, "the container went with its stager"
    async with world.staging():
        copy = await ended(world, waiting)
        assert (copy.state, [layer.role for layer in copy.layers]) == ("STAGED", ["app"])
        async with world.running(copy) as container:
            assert (await get(container.address, "/health"))[0] == 200
        assert any("Unpacked a droplet" in line for line in world.lines("copy"))
