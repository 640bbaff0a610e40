"""Packages: bits streamed into a blob, never held in memory, never unpacked outside a sandbox."""

from collections.abc import AsyncIterable
from pathlib import Path

import trio

from paasd.actions import flags
from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import Permission
from paasd.actions.storing import CLEAN_UP_S, HEAD_BYTES, check_archive, closing, incoming
from paasd.actions.visibility import need_app, need_of_app, or_unprocessable
from paasd.auth import Caller
from paasd.blobs import Blob
from paasd.errors import NotFound, PaasdError, Unprocessable
from paasd.model import App, Job, Package
from paasd.model import packages as model
from paasd.model.arguments import Metadata, rfc3339


async def create(
    context: Context, caller: Caller, *, app_guid: str, type: str = "bits", metadata: Metadata | None = None
) -> Package:
    """Raises Unprocessable for an app that cannot be seen, Forbidden."""
    with context.database.read() as tx, or_unprocessable("App is invalid. Ensure it exists and you have access to it."):
        need_app(tx, caller, app_guid, Permission.WRITE_SPACE)
    arguments = model.CreatePackage(app_guid=app_guid, type=type, metadata=metadata, actor=actor_of(caller))
    return await context.database.write(model.create_package, arguments)


async def download(context: Context, caller: Caller, package_guid: str) -> str:
    """The blob of the bits, if the caller may have them; that they were asked for is an audit event, once an hour.

    Raises NotFound, Forbidden, and Unprocessable for a package without bits.
    """
    with context.database.read() as tx:
        package = need_of_app(tx, caller, Package, package_guid, Permission.READ_SECRETS)
        arguments = model.RecordPackageDownload(package_guid=package_guid, actor=actor_of(caller))
        told = package.state == "READY" and model.download_told(tx, package, arguments.actor, rfc3339(context.clock()))
    if not told:
        package = await context.database.write(model.record_package_download, arguments)
    assert package.blob_sha256 is not None
    return package.blob_sha256


async def upload(
    context: Context, caller: Caller, package_guid: str, chunks: AsyncIterable[bytes], *, size_bytes: int | None = None
) -> Package:
    """Stream zip, tar or tar.gz into a blob; READY when this returns. A generator is closed in any case.

    `size_bytes` is what the sender said that will come; the quota is asked for it before anything is read.

    Raises NotFound, Forbidden, TooLarge, and Unprocessable for what is no archive (the package is FAILED then).
    """
    with context.database.read() as tx:
        package = need_of_app(tx, caller, Package, package_guid, Permission.WRITE_SPACE)
        flags.require(tx, caller, "app_bits_upload")
        space_guid = tx.need(App, package.app_guid).space_guid
    begin = model.BeginUpload(package_guid=package_guid, size_bytes=size_bytes, actor=actor_of(caller))
    await context.database.write(model.begin_upload, begin)
    try:
        done = await _store(context, space_guid, package_guid, chunks)
    except PaasdError as error:
        await _fail(context, package_guid, error.detail)
        raise
    except BaseException:
        # Whoever was sending is gone: the package must not stay half uploaded for ever.
        with trio.CancelScope(shield=True), trio.move_on_after(CLEAN_UP_S):
            await _fail(context, package_guid, "The upload was broken off; create a new package and upload again.")
        raise
    return await _finish(context, done)


async def attach(context: Context, caller: Caller, package_guid: str, blob: Blob) -> Package:
    """Give the package bits that are a blob already. Raises NotFound, Forbidden, Unprocessable like `upload`."""
    with context.database.read() as tx:
        need_of_app(tx, caller, Package, package_guid, Permission.WRITE_SPACE)
        flags.require(tx, caller, "app_bits_upload")
    begin = model.BeginUpload(
        package_guid=package_guid, blob_sha256=blob.sha256, size_bytes=blob.size_bytes, actor=actor_of(caller)
    )
    await context.database.write(model.begin_upload, begin)
    try:
        check_archive(await trio.to_thread.run_sync(_head, context.blobs.path(blob.sha256)))
    except PaasdError as error:
        await _fail(context, package_guid, error.detail)
        raise
    done = model.FinishUpload(package_guid=package_guid, blob_sha256=blob.sha256, size_bytes=blob.size_bytes)
    return await _finish(context, done)


async def _finish(context: Context, done: model.FinishUpload) -> Package:
    try:
        return await context.database.write(model.finish_upload, done)
    except Unprocessable as error:  # the quota has no room for it
        await _fail(context, done.package_guid, error.detail)
        raise


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


async def _store(
    context: Context, space_guid: str, package_guid: str, chunks: AsyncIterable[bytes]
) -> model.FinishUpload:
    async with closing(chunks), incoming(context, space_guid) as upload:
        async for chunk in chunks:
            await upload.write(chunk)
        check_archive(upload.head)
        blob = await upload.keep(package_guid)
    return model.FinishUpload(package_guid=package_guid, blob_sha256=blob.sha256, size_bytes=blob.size_bytes)


async def _fail(context: Context, package_guid: str, reason: str) -> None:
    await context.database.write(model.finish_upload, model.FinishUpload(package_guid=package_guid, error=reason))


async def copy(context: Context, caller: Caller, source_guid: str, *, app_guid: str) -> Package:
    """The same bits for another app. Raises NotFound, Forbidden, Unprocessable."""
    with context.database.read() as tx:
        try:
            need_of_app(tx, caller, Package, source_guid, Permission.WRITE_SPACE)
            need_app(tx, caller, app_guid, Permission.WRITE_SPACE)
        except NotFound as error:
            text = f"{error.label} is invalid. Ensure it exists and you have access to it."
            raise Unprocessable(text) from error
    arguments = model.CopyPackage(source_guid=source_guid, app_guid=app_guid, actor=actor_of(caller))
    return await context.database.write(model.copy_package, arguments)


async def update(context: Context, caller: Caller, package_guid: str, metadata: Metadata | None) -> Package:
    """Labels and annotations."""
    with context.database.read() as tx:
        need_of_app(tx, caller, Package, package_guid, Permission.WRITE_SPACE)
    arguments = model.UpdatePackage(package_guid=package_guid, metadata=metadata, actor=actor_of(caller))
    return await context.database.write(model.update_package, arguments)


async def delete(context: Context, caller: Caller, package_guid: str) -> Job:
    """The job is complete when this returns."""
    with context.database.read() as tx:
        need_of_app(tx, caller, Package, package_guid, Permission.WRITE_SPACE)
    arguments = model.DeletePackage(package_guid=package_guid, actor=actor_of(caller))
    return await context.database.write(model.delete_package, arguments)
