"""Several nodes of one process: real blob folders, joined by a network that can be cut; no rows, no daemon."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from random import Random

import msgspec

from paasd.blobs import Blob, Blobs, open_blobs
from paasd.config import BlobsConfig, CopiesConfig
from paasd.copies import Copies, Place
from paasd.peer import MemoryNetwork, Peer, PeerStream, StreamHandler

QUICK = CopiesConfig(answer_timeout_s=0.3, stall_timeout_s=0.3, repair_again_s=0.05, repair_patience_s=60)


class World:
    """`places` is what every node believes; change it with `know`."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.network = network
        self.places: dict[str, Place] = {}
        self.blobs: dict[str, Blobs] = {}
        self.copies: dict[str, Copies] = {}

    def know(self, guid: str, *, reachable: bool = True, taking: bool = True) -> None:
        """What gossip and rows say of a node from now on."""
        self.places[guid] = msgspec.structs.replace(self.places[guid], reachable=reachable, taking=taking)

    def cut_off(self, guid: str) -> None:
        """Nobody reaches it nor is reached by it, and nobody knows that yet."""
        for other in self.places.keys() - {guid}:
            self.network.cut(guid, other)
            self.network.cut(other, guid)

    def holders(self, sha256: str) -> list[str]:
        """The nodes that have a blob on disk."""
        return [guid for guid, blobs in sorted(self.blobs.items()) if blobs.has(sha256)]

    def zones(self, sha256: str) -> set[str]:
        """The zones in which a blob is."""
        return {self.places[guid].zone for guid in self.holders(sha256)}

    async def store(self, guid: str, data: bytes, *, secure: bool = True) -> str:
        """Store a blob on one node."""
        async with self.blobs[guid].writer(1 << 30, secure=secure) as writer:
            await writer.write(data)
            blob: Blob = await writer.commit()
        return blob.sha256

    def spoil(self, guid: str, sha256: str) -> None:
        """Change a byte of a copy, as a failing disk does."""
        path = self.blobs[guid].path(sha256)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.chmod(0o600)
        path.write_bytes(data)

    @contextmanager
    def stream_hook(self, guid: str, kind: str, handler: StreamHandler) -> Iterator[None]:
        """Serve a kind of stream otherwise for a while."""
        before = self.network.peers[guid]._stream_handlers[kind]
        self.network.peers[guid].serve_stream(kind, handler)
        try:
            yield
        finally:
            self.network.peers[guid].serve_stream(kind, before[0])


async def hang(_peer: Peer, _body: bytes, stream: PeerStream) -> None:
    """A node that is there and does nothing."""
    import trio

    await trio.sleep_forever()


@asynccontextmanager
async def open_world(
    directory: Path, nodes: dict[str, str], *, config: CopiesConfig = QUICK, roots: dict[str, Path] | None = None
) -> AsyncIterator[World]:
    """Nodes by guid with their zones."""
    world = World(MemoryNetwork(Random(1)))
    async with AsyncExitStack() as stack:
        for guid, zone in nodes.items():
            world.places[guid] = Place(guid=guid, zone=zone)
            root = (roots or {}).get(guid, directory / guid)
            blobs = await stack.enter_async_context(open_blobs(root, BlobsConfig(buffer_bytes=65_536)))
            copies = Copies(config, blobs, world.network.add(guid), lambda: list(world.places.values()))
            copies.serve()
            blobs.elsewhere = copies
            world.blobs[guid], world.copies[guid] = blobs, copies
        yield world


def some(size_bytes: int = 700_000) -> bytes:
    """Content that no other test has."""
    return os.urandom(size_bytes)


THREE = {"a1": "a", "b1": "b", "c1": "c"}
SIX = {"a1": "a", "a2": "a", "b1": "b", "b2": "b", "c1": "c", "c2": "c"}
