"""Buildpacks of the platform: administrators add, order and replace them."""

from collections.abc import AsyncIterable
from typing import Any

from paasd.actions.context import Context, actor_of
from paasd.actions.lifecycle import check_stack
from paasd.actions.permissions import authorise_admin
from paasd.actions.storing import HEAD_BYTES, ZIP_MAGIC, closing
from paasd.auth import Caller
from paasd.errors import Unprocessable
from paasd.model import Buildpack, Job
from paasd.model import buildpacks as model


async def create(context: Context, caller: Caller, **values: Any) -> Buildpack:
    """`values` are those of CreateBuildpack. Raises Forbidden, Unprocessable."""
    authorise_admin(caller)
    check_stack(values.get("stack") or None)
    return await context.database.write(model.create_buildpack, model.CreateBuildpack(actor=actor_of(caller), **values))


async def update(context: Context, caller: Caller, buildpack_guid: str, **values: Any) -> Buildpack:
    """`values` are those of UpdateBuildpack. Raises NotFound, Forbidden, Unprocessable."""
    _need(context, caller, buildpack_guid)
    check_stack(values.get("stack") or None)
    arguments = model.UpdateBuildpack(buildpack_guid=buildpack_guid, actor=actor_of(caller), **values)
    return await context.database.write(model.update_buildpack, arguments)


async def upload(
    context: Context, caller: Caller, buildpack_guid: str, chunks: AsyncIterable[bytes], filename: str
) -> Job:
    """Stream a zip into a blob; builds from now on use it. Raises NotFound, Forbidden, TooLarge, Unprocessable."""
    head = b""
    async with closing(chunks), context.blobs.writer(context.config.api.upload_limit_bytes) as writer:
        model.check_uploadable(_need(context, caller, buildpack_guid))
        async for chunk in chunks:
            if len(head) < HEAD_BYTES:
                head += chunk[: HEAD_BYTES - len(head)]
            await writer.write(chunk)
        if not head.startswith(ZIP_MAGIC):
            raise Unprocessable("Buildpack bits must be a zip file; pack the directory that has bin/ as one.")
        blob = await writer.commit()
    done = model.FinishBuildpackUpload(
        buildpack_guid=buildpack_guid, filename=filename, blob_sha256=blob.sha256, actor=actor_of(caller)
    )
    return await context.database.write(model.finish_buildpack_upload, done)


async def delete(context: Context, caller: Caller, buildpack_guid: str) -> Job:
    """Raises NotFound, Forbidden, Unprocessable."""
    _need(context, caller, buildpack_guid)
    arguments = model.DeleteBuildpack(buildpack_guid=buildpack_guid, actor=actor_of(caller))
    return await context.database.write(model.delete_buildpack, arguments)


def _need(context: Context, caller: Caller, buildpack_guid: str) -> Buildpack:
    with context.database.read() as tx:
        found = tx.need(Buildpack, buildpack_guid)
    authorise_admin(caller)
    return found
