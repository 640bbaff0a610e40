"""A backup of the platform's state, streamed to an administrator."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import structlog
import trio

import paasd
from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import authorise_admin
from paasd.auth import Caller
from paasd.errors import OutcomeUnknown, Unavailable
from paasd.model.recovery import NoteBackup, note_backup
from paasd.state import Manifest, take_snapshot
from paasd.state.backups import check_passphrase, read_kept_files, seal_backup
from paasd.state.engine.snapshots import FOLDER as SNAPSHOTS


async def back_up(
    context: Context, caller: Caller, passphrase: str
) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
    """The pieces of a backup. Raises Forbidden, BackupRefused (as on a worker), DiskFull."""
    authorise_admin(caller)
    check_passphrase(passphrase)
    directory = context.database.path.parent
    files = await trio.to_thread.run_sync(read_kept_files, directory)
    folder = directory / SNAPSHOTS  # among the others, where it is dropped in its turn
    manifest: Manifest = await trio.to_thread.run_sync(take_snapshot, context.database.path, folder, context.clock())
    note = NoteBackup(node_guid=context.node_guid, position=manifest.position, actor=actor_of(caller))
    try:
        await context.database.write(note_backup, note)
    except (Unavailable, OutcomeUnknown) as error:  # a backup is wanted most when there is no quorum
        structlog.get_logger(__name__).warning("a backup without an audit event", reason=error.detail)

    @asynccontextmanager
    async def pieces() -> AsyncIterator[AsyncIterator[bytes]]:
        snapshot = folder / manifest.folder / "state.db"
        sealed = seal_backup(snapshot, manifest, files, passphrase, paasd.__version__)

        async def each() -> AsyncIterator[bytes]:
            while piece := await trio.to_thread.run_sync(next, sealed, b""):
                yield piece

        try:
            yield each()
        finally:
            sealed.close()

    return pieces()
