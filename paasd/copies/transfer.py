"""One blob from one node to another, either way: moving all the time or given up, taken only if its hash is right."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import TypeVar

import trio

from paasd.blobs import Blob, BlobDamaged, Blobs, DiskFull
from paasd.copies.wire import GET, PIECE_BYTES, PUT, Get, Put, Told, encode, piece, read, tell
from paasd.errors import NotFound, PaasdError, TooLarge, Unavailable
from paasd.packing import unpack
from paasd.peer import Peer, Peers, PeerStream, PeerUnreachable

T = TypeVar("T")
Pace = Callable[[int], Awaitable[None]]


class NotTaken(Unavailable):
    """A node did not take or give a blob; the detail says why."""


async def at_once(size_bytes: int) -> None:
    """The pace of what somebody waits for."""


class Paced:
    """The pace of repair: all of it together no faster than so many bytes per second."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_at = 0.0

    async def __call__(self, size_bytes: int) -> None:
        self._free_at = max(self._free_at, trio.current_time()) + size_bytes / self._bytes_per_s
        await trio.sleep_until(self._free_at)


class Transfers:
    """The moving of blobs of one node, asked and asking. `stall_s` bounds every single step."""

    def __init__(self, blobs: Blobs, peers: Peers, stall_s: float) -> None:
        self._blobs = blobs
        self._peers = peers
        self._stall_s = stall_s
        self._arriving: dict[str, trio.Lock] = {}

    async def send(self, node_guid: str, blob: Blob) -> None:
        """Have another node keep a copy. Returns when it is on that node's disk. Raises Unavailable, BlobDamaged."""
        head = encode(Put(sha256=blob.sha256, size_bytes=blob.size_bytes))
        async with self._peers.stream(node_guid, PUT, head) as stream:
            # Another copy may just be on its way there, so its word may take as long as that one's transfer.
            told = await self._told(stream)
            if told.state == "go":
                async with aclosing(self._blobs.pieces(blob.sha256, PIECE_BYTES)) as pieces:
                    async for data in pieces:
                        await self._moving(node_guid, stream.send(piece(data)))
                await stream.finish()
                told = await self._told(stream)
            if told.state != "stored":
                raise NotTaken(f"node {node_guid} did not take it: {told.detail or told.state}")

    async def take(self, peer: Peer, body: bytes, stream: PeerStream) -> None:
        """Serve `blob.put`."""
        put = unpack(body, Put)
        try:
            async with self._arrival(put.sha256):
                if not self._blobs.claim(put.sha256):
                    async with self._blobs.writer(put.size_bytes, secure=False) as writer:
                        await stream.send(tell("go"))
                        while isinstance(message := read(await self._moving(peer.guid, stream.receive())), memoryview):
                            await writer.write(message)
                        if message.state != "ended":
                            raise NotTaken(f"node {peer.guid} broke off")
                        await writer.commit(put.sha256)
        except PeerUnreachable:
            raise
        except PaasdError as error:
            await stream.send(tell("refused", error.detail))
        except OSError as error:
            await stream.send(tell("refused", f"its disk fails: {error.strerror}"))
        else:
            await stream.send(tell("stored"))
        await stream.finish()

    async def get(self, node_guid: str, sha256: str, pace: Pace = at_once) -> None:
        """Take a copy from another node. Raises Unavailable when that cannot give it, DiskFull when this is full."""
        async with self._arrival(sha256):
            if self._blobs.has(sha256):
                return
            with _broken(node_guid):
                async with self._peers.stream(node_guid, GET, encode(Get(sha256=sha256))) as stream:
                    told = await self._told(stream)
                    if told.state != "go":
                        raise NotTaken(f"node {node_guid} does not give it: {told.detail or told.state}")
                    async with self._blobs.writer(told.size_bytes, secure=False) as writer:
                        while isinstance(message := read(await self._moving(node_guid, stream.receive())), memoryview):
                            await writer.write(message)
                            await pace(len(message))
                        if message.state != "done":
                            raise NotTaken(f"node {node_guid} broke off: {message.detail or message.state}")
                        await writer.commit(sha256)

    async def give(self, peer: Peer, body: bytes, stream: PeerStream) -> None:
        """Serve `blob.get`."""
        get = unpack(body, Get)
        try:
            found = self._blobs.stat(get.sha256)
        except NotFound as error:
            await stream.send(tell("absent", error.detail))
            await stream.finish()
            return
        await stream.send(tell("go", size_bytes=found.size_bytes))
        try:
            async with aclosing(self._blobs.pieces(get.sha256, PIECE_BYTES)) as pieces:
                async for data in pieces:
                    await self._moving(peer.guid, stream.send(piece(data)))
        except BlobDamaged as error:
            await stream.send(tell("damaged", error.detail))
        except OSError as error:
            await stream.send(tell("damaged", f"its disk fails: {error.strerror}"))
        else:
            await stream.send(tell("done"))
        await stream.finish()

    @asynccontextmanager
    async def _arrival(self, sha256: str) -> AsyncIterator[None]:
        """One copy of a blob arrives at a time: whoever brings a second one waits, and finds it here."""
        lock = self._arriving.setdefault(sha256, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            statistics = lock.statistics()
            if not statistics.locked and not statistics.tasks_waiting:
                self._arriving.pop(sha256, None)

    async def _told(self, stream: PeerStream) -> Told:
        message = read(await self._moving("", stream.receive()))
        if not isinstance(message, Told):
            raise NotTaken("the other node sent content where it should have said what it does")
        return message

    async def _moving(self, node_guid: str, step: Awaitable[T]) -> T:
        with trio.move_on_after(self._stall_s):
            return await step
        raise PeerUnreachable(f"a transfer with node {node_guid} did not move for {self._stall_s:g} s")


@contextmanager
def _broken(node_guid: str) -> Iterator[None]:
    """What the content of another node makes impossible is that node's failure, and another may have it whole."""
    try:
        yield
    except (DiskFull, NotTaken, PeerUnreachable):
        raise
    except (NotFound, TooLarge) as error:
        raise NotTaken(f"node {node_guid} does not give it: {error.detail}") from error
    except PaasdError as error:
        raise NotTaken(f"node {node_guid} gave something else: {error.detail}") from error
