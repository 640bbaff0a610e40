"""Files named by the SHA-256 of what they hold, `<root>/<first two digits>/<sha256>`, never changed once there.

A blob appears by one atomic rename after its bytes and then its folder are synced, so a name that exists after a power
cut has its content. What is not committed stands in `<root>/incoming` and is swept away at the next open.
"""

import errno
import hashlib
import os
import re
import stat
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Set
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import trio

from paasd.blobs.writer import BlobWriter
from paasd.config import BlobsConfig
from paasd.errors import BadRequest, NotFound, PaasdError, TooLarge, Unavailable

T = TypeVar("T")

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_INCOMING: Final = "incoming"


class Blob(msgspec.Struct, frozen=True):
    """A stored file; `sha256` in hexadecimal."""

    sha256: str
    size_bytes: int


class BlobDamaged(PaasdError):
    """The bytes on disk are not those that were stored; the file was put aside so that it can be stored again."""


class DiskFull(Unavailable):
    """There was no space for the blob; nothing of it was left behind."""


class Blobs:
    """The blobs of one node; made by `open_blobs`."""

    def __init__(self, root: Path, config: BlobsConfig, clock: Callable[[], float]) -> None:
        self._root = root
        self._config = config
        self._clock = clock
        self._limiter = trio.CapacityLimiter(config.threads)
        self._naming = threading.Lock()  # a blob that is stored again must not be collected at that moment

    def has(self, sha256: str) -> bool:
        return self._place(sha256).exists()

    def path(self, sha256: str) -> Path:
        """The file, for reading or mounting only. Raises NotFound."""
        place = self._place(sha256)
        if not place.exists():
            raise NotFound("Blob", f"blob {sha256} is not on this node")
        return place

    def stat(self, sha256: str) -> Blob:
        """Raises NotFound."""
        return Blob(sha256, self.path(sha256).stat().st_size)

    @asynccontextmanager
    async def writer(self, limit_bytes: int) -> AsyncIterator[BlobWriter]:
        """Stream bytes in: `await w.write(chunk)`, at the end `await w.commit()`. Left without commit nothing stays.

        Raises TooLarge above `limit_bytes`, DiskFull.
        """
        with _explained(self._root):
            writer = BlobWriter(self._root / _INCOMING, limit_bytes, self._config.buffer_bytes, self._run, self._keep)
            try:
                yield writer
            finally:
                with trio.CancelScope(shield=True):
                    await self._run(writer.discard)

    async def adopt_fd(self, fd: int, limit_bytes: int) -> Blob:
        """Copy a regular file from its beginning; whoever else has it open cannot change the blob. The fd stays open.

        Raises BadRequest for anything but a regular file, TooLarge above `limit_bytes`, DiskFull.
        """
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise BadRequest("only a regular file can be stored")
        if status.st_size > limit_bytes:
            raise TooLarge(f"the file has {status.st_size} bytes, the limit is {limit_bytes}")
        offset = 0
        async with self.writer(limit_bytes) as writer:
            while chunk := await self._run(os.pread, fd, self._config.buffer_bytes, offset):
                await writer.write(chunk)
                offset += len(chunk)
            return await writer.commit()

    async def verify(self, sha256: str) -> Blob:
        """Read the whole file and compare. Raises NotFound, and BlobDamaged after putting the file aside."""
        path = self.path(sha256)
        found, size_bytes = await self._run(_hash_file, path, self._config.buffer_bytes)
        if found != sha256:
            aside = path.with_name(path.name + ".damaged")
            path.replace(aside)
            raise BlobDamaged(f"blob {sha256} is damaged on this node and was moved to {aside}; store it again")
        return Blob(sha256, size_bytes)

    async def collect(self, referenced: Set[str], older_than_s: float | None = None) -> list[str]:
        """Delete blobs that were not referenced for that long (None: as configured); which those were.

        Each call notes which blobs are referenced now, so it is called regularly with everything that rows refer to.
        """
        limit_s = self._config.collect_after_s if older_than_s is None else older_than_s
        return await self._run(self._collect, referenced, limit_s)

    def _collect(self, referenced: Set[str], older_than_s: float) -> list[str]:
        now, gone = self._clock(), []
        for place in self._files():
            with self._naming:
                if place.name in referenced:
                    os.utime(place, (now, now))  # the time of a file is when it was last known to be referenced
                elif place.stat().st_mtime <= now - older_than_s:
                    place.unlink()
                    gone.append(place.name)
        return gone

    def _files(self) -> Iterator[Path]:
        for folder in self._root.iterdir():
            if len(folder.name) == 2:
                yield from (file for file in folder.iterdir() if _SHA256.fullmatch(file.name))

    def _keep(self, incoming: Path, sha256: str, size_bytes: int) -> Blob:
        """Give a synced file its name. The same content again only counts as a fresh reference."""
        place = self._place(sha256)
        now = self._clock()
        with self._naming:
            if place.exists() and place.stat().st_size == size_bytes:
                os.utime(place, (now, now))
            else:
                os.utime(incoming, (now, now))
                incoming.replace(place)
        sync_folder(place.parent)
        return Blob(sha256, size_bytes)

    def _place(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise NotFound("Blob", f"{sha256[:80]!r} is not the name of a blob")
        return self._root / sha256[:2] / sha256

    async def _run(self, function: Callable[..., T], *arguments: Any) -> T:
        return await trio.to_thread.run_sync(function, *arguments, limiter=self._limiter)


@asynccontextmanager
async def open_blobs(
    root: Path, config: BlobsConfig | None = None, *, clock: Callable[[], float] = time.time
) -> AsyncIterator[Blobs]:
    """Open or make the folder and sweep away what was never committed. `clock` gives unix seconds."""
    with _explained(root):
        await trio.to_thread.run_sync(_prepare, root)
    yield Blobs(root, config or BlobsConfig(), clock)


def _prepare(root: Path) -> None:
    incoming = root / _INCOMING
    incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in incoming.iterdir():
        left.unlink()
    for number in range(256):
        (root / f"{number:02x}").mkdir(mode=0o700, exist_ok=True)
    sync_folder(root)


def sync_folder(path: Path) -> None:
    """Make names in the folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _hash_file(path: Path, buffer_bytes: int) -> tuple[str, int]:
    digest, size_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(buffer_bytes):
            digest.update(chunk)
            size_bytes += len(chunk)
    return digest.hexdigest(), size_bytes


@contextmanager
def _explained(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"no space left for a blob in {root}; nothing of it was kept. Free space on that disk and try again"
            ) from error
        raise
