"""Streams one blob to disk: buffered, hashed and limited on the way, synced before it gets its name."""

import hashlib
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paasd.errors import BadRequest, TooLarge

if TYPE_CHECKING:
    from paasd.blobs.store import Blob

Run = Callable[..., Awaitable[Any]]
Keep = Callable[[Path, str, int], "Blob"]
Secure = Callable[["Blob"], Awaitable[None]]


class BlobWriter:
    """Made by `Blobs.writer`. Used by one task."""

    def __init__(
        self,
        folder: Path,
        limit_bytes: int,
        buffer_bytes: int,
        run: Run,
        keep: Keep,
        secure: Secure | None = None,
        need_room: Callable[[int], None] | None = None,
    ) -> None:
        self.size_bytes = 0
        self._limit_bytes = limit_bytes
        self._buffer_bytes = buffer_bytes
        self._run = run
        self._keep = keep
        self._secure = secure
        self._need_room = need_room
        self._digest = hashlib.sha256()
        self._buffer = bytearray()
        self._path = folder / secrets.token_hex(16)
        self._fd: int | None = None
        self._broken = False

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Raises TooLarge above the limit, DiskFull; after an error the writer takes nothing more."""
        self._check()
        self.size_bytes += len(chunk)
        if self.size_bytes > self._limit_bytes:
            self._broken = True
            self._buffer.clear()
            raise TooLarge(f"more than the limit of {self._limit_bytes} bytes")
        self._buffer += chunk
        if len(self._buffer) >= self._buffer_bytes:
            await self._run(self._flush)

    async def digest(self) -> str:
        """The name that a commit would give to what was written until now. Raises DiskFull."""
        self._check()
        await self._run(self._flush)
        return self._digest.hexdigest()

    async def commit(self, expected: str | None = None) -> "Blob":
        """Make it durable, give it its name, and return when it is elsewhere too. Raises DiskFull.

        Raises BadRequest, and keeps nothing, when its hash is not the `expected` one.
        """
        self._check()
        blob: Blob = await self._run(self._commit, expected)
        if self._secure is not None:
            await self._secure(blob)
        return blob

    def _check(self) -> None:
        if self._broken:
            raise RuntimeError("this writer has failed or is finished; nothing more can be written to it")

    def discard(self) -> None:
        """Close and remove what was not committed."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        self._path.unlink(missing_ok=True)

    def _open(self) -> int:
        if self._fd is None:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        return self._fd

    def _flush(self) -> None:
        fd = self._open()
        data = memoryview(bytes(self._buffer))
        self._buffer.clear()
        self._digest.update(data)
        self._broken = True  # until all of it is written
        if self._need_room is not None:
            self._need_room(len(data))
        while data:
            data = data[os.write(fd, data) :]
        self._broken = False

    def _commit(self, expected: str | None) -> "Blob":
        self._flush()
        fd = self._open()
        if expected is not None and self._digest.hexdigest() != expected:
            self._broken = True
            raise BadRequest(f"what came is not blob {expected} but {self._digest.hexdigest()}")
        os.fsync(fd)
        os.close(fd)
        self._fd = None
        self._broken = True
        return self._keep(self._path, self._digest.hexdigest(), self.size_bytes)
