"""Uploads on their way to the disk: what would be refused never becomes a blob, which would stay there for a day."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from paasd.actions.context import Context
from paasd.blobs import Blob, BlobWriter
from paasd.errors import Unprocessable
from paasd.model import Space
from paasd.model.quotas.blobs import MIB, check_blobs, check_new, largest_mb

CLEAN_UP_S: Final = 5.0
ZIP_MAGIC: Final = (b"PK\x03\x04", b"PK\x05\x06")
GZIP_MAGIC: Final = b"\x1f\x8b"
TAR_MAGIC: Final = b"ustar"
TAR_MAGIC_OFFSET: Final = 257
HEAD_BYTES: Final = 512


class Incoming:
    """One upload into a space, made by `incoming`: written, looked at, then kept or not."""

    def __init__(self, context: Context, space_guid: str, writer: BlobWriter, largest_bytes: int | None) -> None:
        self.head = b""
        """The first bytes, which say what it is."""
        self._context = context
        self._space_guid = space_guid
        self._writer = writer
        self._largest_bytes = largest_bytes

    @property
    def size_bytes(self) -> int:
        return self._writer.size_bytes

    async def write(self, piece: bytes) -> None:
        """Raises TooLarge, DiskFull, and QuotaExceeded for more than any quota would ever have room for."""
        if len(self.head) < HEAD_BYTES:
            self.head += piece[: HEAD_BYTES - len(self.head)]
        size_bytes = self._writer.size_bytes + len(piece)
        if self._largest_bytes is not None and size_bytes > self._largest_bytes:
            with self._context.database.read() as tx:
                check_blobs(tx, tx.need(Space, self._space_guid), {"": size_bytes})
        await self._writer.write(piece)

    async def keep(self, package_guid: str = "") -> Blob:
        """Make it a blob if quotas and the organization's day have room; `package_guid` is that of its upload.

        Raises QuotaExceeded, DiskFull, NotFound when the space is gone; then nothing stays.
        """
        sha256, spend = await self._writer.digest(), self._context.blobs.spend
        with self._context.database.read() as tx:
            space = tx.need(Space, self._space_guid)
            check_new(tx, space, sha256, self._writer.size_bytes, spend, package_guid=package_guid)
        return await self._writer.commit()


@asynccontextmanager
async def incoming(context: Context, space_guid: str) -> AsyncIterator[Incoming]:
    """Take an upload for that space; what was not kept at the end is gone."""
    with context.database.read() as tx:
        limit_mb = largest_mb(tx, tx.need(Space, space_guid))
    async with context.blobs.writer(context.config.api.upload_limit_bytes) as writer:
        yield Incoming(context, space_guid, writer, None if limit_mb is None else limit_mb * MIB)


@asynccontextmanager
async def closing(chunks: AsyncIterable[bytes]) -> AsyncIterator[None]:
    """Close a generator that is not read to its end, here and now rather than when it is collected."""
    try:
        yield
    finally:
        if isinstance(chunks, AsyncGenerator):
            with trio.CancelScope(shield=True), trio.move_on_after(CLEAN_UP_S):
                await chunks.aclose()


def check_archive(head: bytes) -> None:
    """Raise Unprocessable unless these first bytes can be those of an archive that staging can unpack."""
    tar = head[TAR_MAGIC_OFFSET : TAR_MAGIC_OFFSET + len(TAR_MAGIC)] == TAR_MAGIC
    if not (head.startswith((*ZIP_MAGIC, GZIP_MAGIC)) or tar):
        raise Unprocessable(
            "The uploaded bits are neither a zip nor a tar.gz archive; pack the app's directory as one."
        )
