"""Keeps every referenced blob in the S3 store too, beside all pushes, and gives back what no node has any more."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import structlog
import trio

from paasd.blobs import Blob, Blobs
from paasd.config import S3Config
from paasd.containment import contained
from paasd.copies.s3.client import PIECE_BYTES, Body, S3Client, open_client
from paasd.errors import BadRequest, NotFound, PaasdError, TooLarge, Unavailable
from paasd.model.retention import referenced_blobs
from paasd.state import Database

WAITING = 10_000
"""Blobs that may wait to be put; those beyond are put by the next look."""
UPLOADS = 2
WATCHED_S = 7200.0
"""How long an object is seen to be needed by nothing before it is deleted, besides its own age."""
SIZE_LIMIT_BYTES = 1 << 40
SUBJECT = "blobs.s3"


class S3Store:
    """Made by `open_s3`; it is what `Blobs.store` asks."""

    def __init__(self, config: S3Config, blobs: Blobs, client: S3Client, clock: Callable[[], float]) -> None:
        self.failure: str | None = None
        """Why the store could not be used the last time; None while it can."""
        self._config = config
        self._blobs = blobs
        self._client = client
        self._clock = clock
        self._send, self._receive = trio.open_memory_channel[str](WAITING)
        self._useless_since: dict[str, float] = {}
        self._log = structlog.get_logger()

    async def secure(self, blob: Blob) -> None:
        """Have it put soon. Nobody waits for it: that other nodes have it is enough to refer to it."""
        await trio.lowlevel.checkpoint()
        try:
            self._send.send_nowait(blob.sha256)
        except trio.WouldBlock:
            self._log.warning("many blobs wait to be put into the S3 store", waiting=WAITING)

    async def fetch(self, sha256: str) -> None:
        """Bring the blob here. Raises NotFound, Unavailable."""
        try:
            async with (
                self._client.get(_key(sha256)) as pieces,
                self._blobs.writer(SIZE_LIMIT_BYTES, secure=False) as writer,
            ):
                async for piece in pieces:
                    await writer.write(piece)
                await writer.commit(sha256)
        except (BadRequest, TooLarge) as error:
            raise Unavailable(f"the S3 store gave something else: {error.detail}") from error

    async def exists(self, sha256: str) -> bool:
        """Whether it is there. False also when the store does not answer."""
        try:
            return await self._client.has(_key(sha256))
        except Unavailable as error:
            self._failed(error)
            return False

    async def put_forever(self) -> None:
        """Put what was stored, as it comes."""
        async for sha256 in self._receive:
            await contained("copy to the S3 store", partial(self._put_fresh, sha256), blob=sha256)

    async def _put_fresh(self, sha256: str) -> None:
        try:
            await self.put(sha256)
            self.failure = None
        except NotFound:
            return  # it is gone already
        except PaasdError as error:
            self._failed(error)  # the next look puts it

    async def put(self, sha256: str) -> None:
        """Put a blob of this node unless it is there. Raises NotFound, Unavailable."""
        if await self._client.has(_key(sha256)):
            return
        try:
            await self._send_file(sha256, self._blobs.path(sha256), self._blobs.stat(sha256).size_bytes)
        except FileNotFoundError as error:  # it was given up, collected or put aside meanwhile
            raise NotFound("Blob", f"blob {sha256} is not on this node any more") from error

    async def _send_file(self, sha256: str, path: Path, size_bytes: int) -> None:
        if size_bytes <= self._config.part_bytes:
            await self._client.put(_key(sha256), sha256, size_bytes, partial(_read, path, 0, size_bytes))
            return
        parts: list[tuple[str, int, Body]] = []
        for start in range(0, size_bytes, self._config.part_bytes):
            length = min(self._config.part_bytes, size_bytes - start)
            digest = await trio.to_thread.run_sync(_hash, path, start, length)
            parts.append((digest, length, partial(_read, path, start, length)))
        await self._client.put_parts(_key(sha256), parts)

    async def look(self, referenced: Collection[str], collect_after_s: float) -> None:
        """Put what is missing there and delete what nothing has needed for long. Raises Unavailable."""
        found = {object_.key.rpartition("/")[2]: object_ async for object_ in self._client.listed()}
        limiter = trio.CapacityLimiter(UPLOADS)

        async def put(sha256: str) -> None:
            try:
                async with limiter:
                    await self._blobs.ensure(sha256)
                    await self.put(sha256)
            except PaasdError as error:
                self._failed(error)

        self.failure = None
        async with trio.open_nursery() as nursery:
            for sha256 in set(referenced) - found.keys():
                nursery.start_soon(partial(contained, "copy to the S3 store", partial(put, sha256), blob=sha256))
        now = trio.current_time()
        self._useless_since = {name: self._useless_since.get(name, now) for name in found.keys() - set(referenced)}
        old = self._clock() - collect_after_s
        for name, since in self._useless_since.items():
            if now - since >= min(WATCHED_S, collect_after_s) and found[name].modified_at <= old:
                await self._client.delete(found[name].key)

    def _failed(self, error: PaasdError) -> None:
        self.failure = error.detail
        self._log.warning("the S3 store cannot be used", reason=error.detail)


def _key(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"


async def _read(path: Path, start: int, length: int) -> AsyncGenerator[bytes, None]:
    async with await trio.open_file(path, "rb") as file:
        await file.seek(start)
        while length > 0 and (data := await file.read(min(PIECE_BYTES, length))):
            length -= len(data)
            yield data


def _hash(path: Path, start: int, length: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(start)
        while length > 0 and (data := file.read(min(PIECE_BYTES, length))):
            length -= len(data)
            digest.update(data)
    return digest.hexdigest()


@asynccontextmanager
async def open_s3(
    config: S3Config,
    blobs: Blobs,
    database: Database,
    *,
    acts: Callable[[str], bool],
    collect_after_s: float,
    clock: Callable[[], float],
) -> AsyncIterator[S3Store | None]:
    """Use the store while open; None when none is configured. `acts` says whether this node looks after all of it.

    `collect_after_s` is that of blobs, `clock` gives unix seconds. Raises ConfigError.
    """
    if not config.endpoint:
        yield None
        return
    async with open_client(config, clock) as client, trio.open_nursery() as nursery:
        store = S3Store(config, blobs, client, clock)
        nursery.start_soon(store.put_forever)
        nursery.start_soon(_look_forever, store, config, database, acts, collect_after_s)
        blobs.store = store
        try:
            yield store
        finally:
            blobs.store = None
            nursery.cancel_scope.cancel()


async def _look_forever(
    store: S3Store, config: S3Config, database: Database, acts: Callable[[str], bool], collect_after_s: float
) -> None:
    async def look() -> None:
        try:
            # By rows that are old, what another node has just begun to need would be deleted.
            if acts(SUBJECT) and await database.fresh():
                with database.read() as tx:
                    referenced = referenced_blobs(tx)
                await store.look(referenced, collect_after_s)
        except Unavailable as error:
            structlog.get_logger().warning("the S3 store was not looked through", reason=error.detail)
            store.failure = error.detail

    while True:
        if not await contained("look through the S3 store", look):
            store.failure = "this node failed to look through it; its log says why"
        await trio.sleep(config.interval_s)
