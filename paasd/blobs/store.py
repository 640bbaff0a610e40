"""Files named by the SHA-256 of what they hold, `<root>/<first two digits>/<sha256>`, never changed once there.

A blob appears by one atomic rename after its bytes and then its folder are synced, so a name that exists after a power
cut has its content. What is not committed stands in `<root>/incoming` and is swept away at the next open.
"""

import errno
import hashlib
import math
import os
import re
import stat
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Set
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec
import trio

from paasd.blobs.spending import Spending
from paasd.blobs.writer import BlobWriter
from paasd.config import BlobsConfig
from paasd.errors import BadRequest, NotFound, PaasdError, TooLarge, Unavailable

T = TypeVar("T")

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_INCOMING: Final = "incoming"
_DAMAGED: Final = ".damaged"


class Blob(msgspec.Struct, frozen=True):
    """A stored file; `sha256` in hexadecimal."""

    sha256: str
    size_bytes: int


class BlobDamaged(PaasdError):
    """The bytes on disk are not those that were stored; the file was put aside so that it can be stored again."""


class DiskFull(Unavailable):
    """There was no space for the blob; nothing of it was left behind."""


class Elsewhere(Protocol):
    """Where else blobs are kept; `paasd.copies` gives one."""

    async def secure(self, blob: Blob) -> None:
        """Return when there are as many copies as there should be, or as can be. Raises BlobDamaged."""

    async def fetch(self, sha256: str) -> None:
        """Bring the blob onto this node. Raises NotFound, Unavailable."""

    async def exists(self, sha256: str) -> bool:
        """Whether some other place has it, which then keeps it as if it had been stored now."""


class Blobs:
    """The blobs of one node; made by `open_blobs`."""

    elsewhere: Elsewhere | None = None
    """Set while there are other nodes: every blob is secured there as it is stored, and fetched when missing."""

    store: Elsewhere | None = None
    """Set while there is a store beside the nodes: the last place to fetch from."""

    def __init__(
        self, root: Path, config: BlobsConfig, clock: Callable[[], float], steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._root = root
        self._config = config
        self._clock = clock
        self._steady = steady
        self._limiter = trio.CapacityLimiter(config.threads)
        self._naming = threading.Lock()  # a blob that is stored again must not be collected at that moment
        self._making = threading.Lock()  # of folders
        self._fresh: dict[str, float] = {}  # when, by a clock that nobody sets, a blob was stored or asked for again
        self._used: dict[str, float] = {}  # the same for what was needed here
        self.spend = Spending(config.uploads_per_day, clock, self.has).spend

    def has(self, sha256: str) -> bool:
        return self._place(sha256).exists()

    def path(self, sha256: str) -> Path:
        """The file, for reading or mounting only. Raises NotFound."""
        place = self._place(sha256)
        if not place.exists():
            raise NotFound("Blob", f"blob {sha256} is not on this node")
        return place

    async def ensure(self, sha256: str, *, whole: bool = False) -> Path:
        """The file, brought here first when it is elsewhere. With `whole`, for who reads all of it, verified first.

        Raises NotFound, and Unavailable when a place that may have it cannot be reached.
        """
        self._used[sha256] = self._steady()
        if whole and self.has(sha256):
            try:
                await self.verify(sha256)
            except BlobDamaged:
                if not self._others:
                    raise
        if not self.has(sha256):
            await self._fetch(sha256)
        return self.path(sha256)

    async def _fetch(self, sha256: str) -> None:
        absent: NotFound | None = None
        away: Unavailable | None = None
        for place in self._others:
            try:
                await place.fetch(sha256)
            except NotFound as error:
                absent = absent or error
            except Unavailable as error:
                away = away or error
            else:
                return
        failure = away or absent
        if failure is not None:
            raise failure

    @property
    def _others(self) -> list[Elsewhere]:
        return [place for place in (self.elsewhere, self.store) if place is not None]

    async def exists(self, sha256: str) -> bool:
        """Whether it is here or elsewhere, so that a row may refer to it."""
        if self.claim(sha256):
            return True
        for place in self._others:
            if await place.exists(sha256):
                return True
        return False

    def claim(self, sha256: str) -> bool:
        """Whether it is here; if so it is kept as if stored now, for somebody who is about to refer to it."""
        with self._naming:
            place = self._place(sha256)
            if not place.exists():
                return False
            self._renew(place)
            return True

    def stored(self) -> list[str]:
        """Names of all blobs on this node. Blocks."""
        return [place.name for place in self._files()]

    def stat(self, sha256: str) -> Blob:
        """Raises NotFound."""
        return Blob(sha256, self.path(sha256).stat().st_size)

    @asynccontextmanager
    async def writer(self, limit_bytes: int, *, secure: bool = True) -> AsyncIterator[BlobWriter]:
        """Stream bytes in: `await w.write(chunk)`, at the end `await w.commit()`. Left without commit nothing stays.

        After the commit it is also elsewhere, so that a row may refer to it, save without `secure` (it is a copy).
        Copies may take what the disk has, what is new leaves a reserve. Raises TooLarge above `limit_bytes`, DiskFull.
        """
        with _explained():
            secured, need_room = (self._secure, self.need_room) if secure else (None, None)
            writer = BlobWriter(
                self._root / _INCOMING,
                limit_bytes,
                self._config.buffer_bytes,
                self._run,
                self._keep,
                secured,
                need_room,
            )
            try:
                yield writer
            finally:
                with trio.CancelScope(shield=True):
                    await self._run(writer.discard)

    def need_room(self, size_bytes: int) -> None:
        """Raise DiskFull when writing that many bytes would leave too little for state, logs and copies."""
        disk = os.statvfs(self._root)
        share_bytes = int(disk.f_blocks * disk.f_frsize * self._config.reserve_percent / 100)
        reserve_bytes = min(share_bytes, self._config.reserve_limit_bytes)
        if reserve_bytes and disk.f_bavail * disk.f_frsize - size_bytes < reserve_bytes:
            raise DiskFull(
                "no space left for blobs on the disk of this node, "
                f"which keeps {reserve_bytes // 1024**2} MB free for state and logs (blobs.reserve_percent); nothing "
                "of it was kept. Go through another node, and tell who runs the platform: `paasd status` and "
                "`df` say what takes the space"
            )

    async def adopt_fd(self, fd: int, limit_bytes: int, admit: Callable[[Blob], None] | None = None) -> Blob:
        """Copy a regular file from its beginning; whoever else has it open cannot change the blob. The fd stays open.

        `admit` may refuse what it would become, by raising. Raises BadRequest for anything but a regular file, TooLarge
        above `limit_bytes`, DiskFull.
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
            if admit is not None:
                admit(Blob(await writer.digest(), writer.size_bytes))
            return await writer.commit()

    async def verify(self, sha256: str) -> Blob:
        """Read the whole file and compare. Raises NotFound, and BlobDamaged after putting the file aside."""
        path = self.path(sha256)
        found, size_bytes = await self._run(_hash_file, path, self._config.buffer_bytes)
        if found != sha256:
            raise self._damaged(sha256)
        return Blob(sha256, size_bytes)

    async def pieces(self, sha256: str, size_bytes: int) -> AsyncGenerator[bytes, None]:
        """The whole content, `size_bytes` at a time. Raises NotFound; at its end BlobDamaged, as `verify` does."""
        digest = hashlib.sha256()
        fd = await self._run(os.open, self.path(sha256), os.O_RDONLY | os.O_CLOEXEC)
        try:
            while piece := await self._run(_read_on, fd, size_bytes, digest):
                yield piece
        finally:
            os.close(fd)
        if digest.hexdigest() != sha256:
            raise self._damaged(sha256)

    def _damaged(self, sha256: str) -> BlobDamaged:
        path = self._place(sha256)
        aside = path.with_name(path.name + _DAMAGED)
        path.replace(aside)
        now = self._clock()
        os.utime(aside, (now, now))
        return BlobDamaged(f"blob {sha256} is damaged on this node and was moved to {aside}; store it again")

    async def give_up(self, sha256: str, unused_s: float) -> bool:
        """Delete a copy that others have too, unless it was stored, asked for or needed here within so long; whether
        it is gone.
        """
        return await self._run(self._give_up, sha256, unused_s)

    def was_used(self, sha256: str, within_s: float) -> bool:
        """Whether a copy was stored, asked for or needed here within so long, since the daemon started."""
        at = max(self._fresh.get(sha256, -math.inf), self._used.get(sha256, -math.inf))
        return at > self._steady() - within_s

    def _give_up(self, sha256: str, unused_s: float) -> bool:
        with self._naming:
            if self.was_used(sha256, unused_s):
                return False
            self._place(sha256).unlink(missing_ok=True)
            self._used.pop(sha256, None)
            return True

    async def collect(self, referenced: Set[str], older_than_s: float | None = None) -> list[str]:
        """Delete blobs that were not referenced for that long (None: as configured); which those were.

        Each call notes which blobs are referenced now, so it is called regularly with everything that rows refer to.
        """
        limit_s = self._config.collect_after_s if older_than_s is None else older_than_s
        return await self._run(self._collect, referenced, limit_s)

    def _collect(self, referenced: Set[str], older_than_s: float) -> list[str]:
        now, steady, gone = self._clock(), self._steady(), []
        for place in self._files():
            with self._naming, suppress(FileNotFoundError):  # since it was listed it was given up or put aside
                if place.name in referenced:
                    os.utime(place, (now, now))  # the time of a file is when it was last known to be referenced
                elif place.stat().st_mtime <= now - older_than_s and not self._is_fresh(
                    place.name, steady - older_than_s
                ):
                    place.unlink()
                    self._used.pop(place.name, None)
                    gone.append(place.name)
        for aside in self._root.glob(f"??/*{_DAMAGED}"):
            with suppress(FileNotFoundError):  # what is damaged again takes its place, and meanwhile it is not there
                if aside.stat().st_mtime <= now - older_than_s:
                    aside.unlink()
        return gone

    def _is_fresh(self, sha256: str, since: float) -> bool:
        """Stored or claimed after `since`, whatever the clock of the machine was set to in the meantime."""
        if self._fresh.get(sha256, -math.inf) > since:
            return True
        self._fresh.pop(sha256, None)
        return False

    def _files(self) -> Iterator[Path]:
        for folder in self._root.iterdir():
            if len(folder.name) == 2:
                yield from (file for file in folder.iterdir() if _SHA256.fullmatch(file.name))

    def _keep(self, incoming: Path, sha256: str, size_bytes: int) -> Blob:
        """Give a synced file its name. The same content again only counts as a fresh reference."""
        place = self._place(sha256)
        self._make_folder(place.parent)
        with self._naming:
            if not place.exists() or place.stat().st_size != size_bytes:
                incoming.replace(place)
            self._renew(place)
        sync_folder(place.parent)
        return Blob(sha256, size_bytes)

    def _make_folder(self, folder: Path) -> None:
        """That of the first two digits. It is durable before anybody finds it here and puts a blob into it."""
        with self._making:
            if not folder.exists():
                folder.mkdir(mode=0o700)
                sync_folder(self._root)

    def _renew(self, place: Path) -> None:
        now = self._clock()
        os.utime(place, (now, now))
        self._fresh[place.name] = self._steady()

    async def _secure(self, blob: Blob) -> None:
        for place in self._others:
            await place.secure(blob)

    def _place(self, sha256: str) -> Path:
        if not _SHA256.fullmatch(sha256):
            raise NotFound("Blob", f"{sha256[:80]!r} is not the name of a blob")
        return self._root / sha256[:2] / sha256

    async def _run(self, function: Callable[..., T], *arguments: Any) -> T:
        return await trio.to_thread.run_sync(function, *arguments, limiter=self._limiter)


@asynccontextmanager
async def open_blobs(
    root: Path,
    config: BlobsConfig | None = None,
    *,
    clock: Callable[[], float] = time.time,
    steady: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Blobs]:
    """Open or make the folder and sweep away what was never committed.

    `clock` gives unix seconds, `steady` seconds that no setting of the clock changes.
    """
    with _explained():
        await trio.to_thread.run_sync(_prepare, root)
    yield Blobs(root, config or BlobsConfig(), clock, steady)


def _prepare(root: Path) -> None:
    incoming = root / _INCOMING
    incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in incoming.iterdir():
        left.unlink()
    sync_folder(root)


def sync_folder(path: Path) -> None:
    """Make names in the folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read_on(fd: int, size_bytes: int, digest: "hashlib._Hash") -> bytes:
    piece = os.read(fd, size_bytes)
    digest.update(piece)
    return piece


def _hash_file(path: Path, buffer_bytes: int) -> tuple[str, int]:
    digest, size_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(buffer_bytes):
            digest.update(chunk)
            size_bytes += len(chunk)
    return digest.hexdigest(), size_bytes


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                "no space left on the disk of this node; nothing of it was kept. Go through another node, and tell who "
                "runs the platform: `paasd status` says which disk it is"
            ) from error
        raise
