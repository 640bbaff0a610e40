"""Uploads: streamed, limited, recognised by their first bytes."""

import io
import zipfile

import msgspec
import pytest

from paasd.actions import packages
from paasd.actions.storing import check_archive
from paasd.errors import TooLarge, Unprocessable
from paasd.model import Package
from tests.actions.world import World, archive, chunks


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("Procfile", "web: run")
    return buffer.getvalue()


async def new(world: World) -> Package:
    return await packages.create(world.context, world.admin, app_guid=(await world.app()).guid)


@pytest.mark.parametrize("bits", [archive({"a": b"b"}), zipped()], ids=["tar.gz", "zip"])
async def test_zip_and_tar_gz_become_a_blob(world: World, bits: bytes) -> None:
    package = await packages.upload(world.context, world.admin, (await new(world)).guid, chunks(bits, 7))
    assert (package.state, package.size_bytes) == ("READY", len(bits))
    assert world.context.blobs.path(package.blob_sha256 or "").read_bytes() == bits


@pytest.mark.parametrize("bits", [b"", b"MZ\x90\x00", b"<html>", b"PK"])
async def test_anything_else_is_refused_and_the_package_failed(world: World, bits: bytes) -> None:
    package = await new(world)
    with pytest.raises(Unprocessable, match="neither a zip nor a tar"):
        await packages.upload(world.context, world.admin, package.guid, chunks(bits))
    with world.context.database.read() as tx:
        found = tx.need(Package, package.guid)
    assert found.state == "FAILED" and found.error


async def test_bits_above_the_limit_are_refused(world: World) -> None:
    api = msgspec.structs.replace(world.context.config.api, upload_limit_bytes=2000)
    config = msgspec.structs.replace(world.context.config, api=api)
    context = msgspec.structs.replace(world.context, config=config)
    package = await new(world)
    with pytest.raises(TooLarge):
        await packages.upload(context, world.admin, package.guid, chunks(zipped() + b"\0" * 5000, 500))
    with world.context.database.read() as tx:
        assert tx.need(Package, package.guid).state == "FAILED"


async def test_a_type_other_than_bits_is_refused(world: World) -> None:
    app = await world.app()
    with pytest.raises(Unprocessable, match="'docker' is not supported"):
        await packages.create(world.context, world.admin, app_guid=app.guid, type="docker")


async def test_a_package_is_copied_to_another_app(world: World) -> None:
    source = await packages.upload(world.context, world.admin, (await new(world)).guid, chunks(zipped()))
    other = await world.app("other")
    copy = await packages.copy(world.context, world.admin, source.guid, app_guid=other.guid)
    assert (copy.state, copy.blob_sha256, copy.app_guid) == ("READY", source.blob_sha256, other.guid)


def test_a_plain_tar_is_recognised() -> None:
    check_archive(b"\0" * 257 + b"ustar\x0000")
    with pytest.raises(Unprocessable):
        check_archive(b"\0" * 400)
