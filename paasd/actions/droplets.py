"""Droplets: made by builds, copied, or uploaded and downloaded as archives."""

from collections.abc import AsyncIterable

from paasd.actions import flags
from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import Permission
from paasd.actions.storing import closing, incoming
from paasd.actions.visibility import need_app, need_of_app, or_unprocessable
from paasd.auth import Caller
from paasd.errors import Unprocessable
from paasd.model import App, Droplet, Job, uploads
from paasd.model import droplets as model
from paasd.model.arguments import Metadata, rfc3339
from paasd.model.processes import COMMAND_LIMIT_BYTES, PROCESS_TYPES_LIMIT, can_be_run, check_type


async def create(
    context: Context,
    caller: Caller,
    *,
    app_guid: str,
    process_types: dict[str, str] | None = None,
    metadata: Metadata | None = None,
) -> Droplet:
    """A droplet that awaits its bits. Raises Unprocessable for an app that cannot be seen or a bad type, Forbidden."""
    if len(process_types or {}) > PROCESS_TYPES_LIMIT:
        raise Unprocessable(f"Process types: at most {PROCESS_TYPES_LIMIT} of them, not {len(process_types or {})}")
    for name, command in (process_types or {}).items():
        check_type(name)
        if not can_be_run(command):
            raise Unprocessable(
                f"Process types: '{name[:80]}' must have a command of at most {COMMAND_LIMIT_BYTES} bytes, without the "
                "character NUL"
            )
    text = f'App with guid "{app_guid[:80]}" does not exist, or you do not have access to it.'
    with context.database.read() as tx, or_unprocessable(text):
        need_app(tx, caller, app_guid, Permission.WRITE_SPACE)
    arguments = model.CreateDroplet(
        app_guid=app_guid, process_types=process_types or {}, metadata=metadata, actor=actor_of(caller)
    )
    return await context.database.write(model.create_droplet, arguments)


async def upload(context: Context, caller: Caller, droplet_guid: str, chunks: AsyncIterable[bytes]) -> Job:
    """Stream a tgz into a blob; the job is done when the droplet is STAGED or FAILED.

    A broken upload changes nothing: it may be tried again. A generator is closed in any case. Raises NotFound,
    Forbidden, FeatureDisabled, TooLarge, and Unprocessable for a second upload.
    """
    apps = context.config.apps
    async with closing(chunks):
        with context.database.read() as tx:
            droplet = need_of_app(tx, caller, Droplet, droplet_guid, Permission.WRITE_SPACE)
            space_guid = tx.need(App, droplet.app_guid).space_guid
            flags.require(tx, caller, "app_bits_upload")
            uploads.check_uploadable(tx, droplet)
        async with incoming(context, space_guid) as coming:
            async for chunk in chunks:
                await coming.write(chunk)
            if not coming.size_bytes:
                raise Unprocessable("Uploaded droplet file is invalid: bits cannot be empty")
            blob = await coming.keep()
    begin = uploads.BeginDropletUpload(
        droplet_guid=droplet_guid,
        node_guid=context.node_guid,
        blob_sha256=blob.sha256,
        size_bytes=blob.size_bytes,
        default_stack=context.config.sandbox.stack,
        memory_mb=apps.build_memory_mb,
        disk_mb=apps.build_disk_mb,
        asked_memory_mb=apps.build_memory_mb,
        timeout_s=apps.build_timeout_s,
        actor=actor_of(caller),
    )
    return await context.database.write(uploads.begin_droplet_upload, begin)


async def download(context: Context, caller: Caller, droplet_guid: str) -> Droplet:
    """The droplet, if the caller may have its content; that it was asked for is an audit event, once an
    hour.

    Raises NotFound, Forbidden, and Unprocessable for one that is not STAGED.
    """
    with context.database.read() as tx:
        droplet = need_of_app(tx, caller, Droplet, droplet_guid, Permission.READ_SECRETS)
        arguments = model.RecordDownload(droplet_guid=droplet_guid, actor=actor_of(caller))
        told = droplet.state == "STAGED" and model.download_told(tx, droplet, arguments.actor, rfc3339(context.clock()))
    return droplet if told else await context.database.write(model.record_download, arguments)


async def update(context: Context, caller: Caller, droplet_guid: str, metadata: Metadata | None) -> Droplet:
    """Labels and annotations."""
    with context.database.read() as tx:
        need_of_app(tx, caller, Droplet, droplet_guid, Permission.WRITE_SPACE)
    arguments = model.UpdateDroplet(droplet_guid=droplet_guid, metadata=metadata, actor=actor_of(caller))
    return await context.database.write(model.update_droplet, arguments)


async def copy(context: Context, caller: Caller, source_guid: str, *, app_guid: str) -> Droplet:
    """The same layers for another app. Raises NotFound, Forbidden, Unprocessable."""
    with context.database.read() as tx:
        need_of_app(tx, caller, Droplet, source_guid, Permission.WRITE_SPACE)
        need_app(tx, caller, app_guid, Permission.WRITE_SPACE)
    arguments = model.CopyDroplet(source_guid=source_guid, app_guid=app_guid, actor=actor_of(caller))
    return await context.database.write(model.copy_droplet, arguments)


async def delete(context: Context, caller: Caller, droplet_guid: str) -> Job:
    """The job is complete when this returns. Raises Unprocessable for a current droplet."""
    with context.database.read() as tx:
        need_of_app(tx, caller, Droplet, droplet_guid, Permission.WRITE_SPACE)
    arguments = model.DeleteDroplet(droplet_guid=droplet_guid, actor=actor_of(caller))
    return await context.database.write(model.delete_droplet, arguments)
