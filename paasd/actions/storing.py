"""Uploads on their way to the disk: what would be refused never becomes a blob, which would stay there for a day."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from paasd.actions.context import Context
from paasd.blobs import Blob, BlobWriter
from paasd.errors import Unprocessable
from paasd.model import App, Organization, Package, Space
from paasd.model.quotas.blobs import MIB, check_blobs, largest_mb
from paasd.model.quotas.places import QuotaExceeded, limits_of, within
from paasd.state import InSelect, ReadTx

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
            self._check({"": size_bytes})
        await self._writer.write(piece)

    async def keep(self, package_guid: str = "") -> Blob:
        """Make it a blob if quotas and the organization's day have room; `package_guid` is that of its upload.

        Raises QuotaExceeded, DiskFull, NotFound when the space is gone; then nothing stays.
        """
        blob = Blob(await self._writer.digest(), self._writer.size_bytes)
        self._check({blob.sha256: blob.size_bytes}, package_guid)
        with self._context.database.read() as tx:
            _count(self._context, tx, tx.need(Space, self._space_guid), blob)
        return await self._writer.commit()

    def _check(self, new: dict[str, int], package_guid: str = "") -> None:
        with self._context.database.read() as tx:
            check_blobs(tx, tx.need(Space, self._space_guid), new, package_guid=package_guid)


@asynccontextmanager
async def incoming(context: Context, space_guid: str) -> AsyncIterator[Incoming]:
    """Take an upload for that space; what was not kept at the end is gone."""
    with context.database.read() as tx:
        limit_mb = largest_mb(tx, tx.need(Space, space_guid))
    async with context.blobs.writer(context.config.api.upload_limit_bytes) as writer:
        yield Incoming(context, space_guid, writer, None if limit_mb is None else limit_mb * MIB)


def _count(context: Context, tx: ReadTx, space: Space, blob: Blob) -> None:
    """What the organization has already is no more of the disk. Raises QuotaExceeded."""
    organization = tx.need(Organization, space.organization_guid)
    limit_mb, times = limits_of(tx, organization).total_blobs_in_mb, context.config.blobs.uploads_per_day
    its_own = InSelect("app_guid", App, "guid", within(organization))
    if not limit_mb or not times or tx.exists(Package, its_own, blob_sha256=blob.sha256):
        return
    if not context.uploaded.take(organization.guid, blob.size_bytes, limit_mb * MIB * times, context.clock()):
        raise QuotaExceeded(
            f"organization '{organization.name}' may upload {limit_mb * times:g} MB a day through this node "
            f"({times:g} times its total_blobs_in_mb, blobs.uploads_per_day) and has: what was deleted takes the disk "
            "until it is collected. Try again later, or ask for a larger quota"
        )


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
