"""state.snapshot: a node that joins, or whose database no longer fits the log, takes the whole state from another one.

The first message describes the snapshot, the others are its bytes in order. They go into a file beside the database and
only a whole and verified one is used: its hash, what it says about itself, and SQLite's own check have to agree.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from io import BufferedWriter
from pathlib import Path
from typing import Final, Literal

import msgspec
import trio

from paasd.errors import BadRequest, PaasdError, Unavailable
from paasd.peer import Peer, PeerRefused, Peers, PeerStream, PeerUnreachable
from paasd.state.engine import Database, Manifest, StateDamaged, list_snapshots, take_snapshot
from paasd.state.engine.snapshots import FOLDER, adopt_snapshot, read_manifest
from paasd.state.log import LogTrimmed, LogUnavailable, Runner, Voter
from paasd.state.log.messages import Message, decode, encode
from paasd.state.log.voters import in_order

KIND: Final = "state.snapshot"
CHUNK_BYTES: Final = 1024 * 1024
SILENCE_S: Final = 20.0
"""How long the other node may take for the next piece; it may have to make the snapshot first."""

LIMIT_BYTES: Final = 64 * 1024 * 1024 * 1024
FRESH_ENTRIES: Final = 1000
"""A snapshot that this many entries followed is sent as it is; of an older one a new one is made."""


class AskSnapshot(Message, frozen=True, array_like=True, kw_only=True):
    """Any snapshot from which the log can be followed."""


class SnapshotHead(Message, frozen=True, array_like=True, kw_only=True):
    """The manifest of what follows, as JSON; or why there is nothing."""

    kind: Literal["manifest", "unavailable"]
    manifest: bytes = b""
    detail: str = ""


class SnapshotServer:
    """Sends the newest snapshot of this node, or one made for the purpose. `run` does the blocking work."""

    def __init__(self, database: Database, run: Runner, clock: Callable[[], float]) -> None:
        self._database = database
        self._run = run
        self._clock = clock
        self._making = trio.Lock()

    async def send(self, peer: Peer, body: bytes, stream: PeerStream) -> None:
        decode(body, AskSnapshot)
        try:
            snapshot = await self._snapshot()
            manifest = read_manifest(snapshot)
        except (PaasdError, OSError) as error:
            await stream.send(encode(SnapshotHead(kind="unavailable", detail=str(error))))
            return
        with (snapshot / "state.db").open("rb") as file:  # stays readable when the snapshot is removed meanwhile
            await stream.send(encode(SnapshotHead(kind="manifest", manifest=msgspec.json.encode(manifest))))
            while chunk := await self._run(file.read, CHUNK_BYTES):
                await stream.send(chunk)
        await stream.finish()

    async def _snapshot(self) -> Path:
        folder = self._database.path.parent / FOLDER
        async with self._making:
            for snapshot in list_snapshots(folder)[-1:]:
                if await self._can_follow(read_manifest(snapshot)):
                    return snapshot
            manifest = await self._run(take_snapshot, self._database.path, folder, self._clock())
            return folder / manifest.folder

    async def _can_follow(self, manifest: Manifest) -> bool:
        database = self._database
        if manifest.log_identity != database.log_identity or database.index - manifest.position > FRESH_ENTRIES:
            return False
        try:
            return manifest.position == database.index or bool(await database.entries(manifest.position, 1))
        except (LogTrimmed, LogUnavailable):
            return False


def serve_snapshots(peers: Peers, database: Database, run: Runner, clock: Callable[[], float]) -> None:
    """Let other nodes load the state of this one."""
    peers.serve_stream(KIND, SnapshotServer(database, run, clock).send)


class Fetching:
    """The receiving side, of a node that will follow the state with the feed."""

    def __init__(
        self,
        peers: Peers,
        sources: Callable[[], Sequence[Voter]],
        directory: Path,
        run: Runner,
        *,
        zone: str = "",
    ) -> None:
        self._peers = peers
        self._sources = sources
        self._directory = directory
        self._run = run
        self._zone = zone

    @asynccontextmanager
    async def fetch(self, at_least: int = 0) -> AsyncIterator[Path]:
        """The state.db of a snapshot of that entry or a later one, verified, in a folder that is gone after the block.

        Raises Unavailable.
        """
        folder = self._directory / f"incoming-{uuid.uuid4().hex}"
        folder.mkdir(mode=0o700, parents=True)
        try:
            yield await self._from_somebody(folder, at_least)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    async def _from_somebody(self, folder: Path, at_least: int) -> Path:
        why = "there is no other node"
        for source in in_order(self._sources(), self._peers.guid, self._zone, {}, trio.current_time()):
            try:
                return await self._from(source, folder / "state.db", at_least)
            except (Unavailable, PeerRefused, BadRequest, StateDamaged) as error:
                why = error.detail
        raise Unavailable(f"no node could give its state: {why}")

    async def _from(self, source: Voter, file: Path, at_least: int) -> Path:
        failure: PaasdError | None = None
        manifest = None
        async with self._peers.stream(source.guid, KIND, encode(AskSnapshot())) as stream:
            try:
                manifest = await self._receive(stream, file, at_least)
            except PaasdError as error:  # it leaves the block of the stream as itself
                failure = error
        if manifest is None:
            raise failure or Unavailable(f"node {source.guid} sent nothing")
        await self._run(adopt_snapshot, file, manifest, "feed")
        return file

    async def _receive(self, stream: PeerStream, file: Path, at_least: int) -> Manifest:
        head = decode(await _next(stream), SnapshotHead)
        if head.kind != "manifest":
            raise Unavailable(head.detail)
        manifest = msgspec.json.decode(head.manifest, type=Manifest)
        if manifest.position < at_least:
            raise Unavailable(f"its state is of entry {manifest.position}, before the log begins")
        if manifest.size_bytes > LIMIT_BYTES:
            raise Unavailable(f"the snapshot is larger than {LIMIT_BYTES} bytes")
        digest = hashlib.sha256()
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as target:
            await self._receive_bytes(stream, target, manifest.size_bytes, digest.update)
        _check(digest.hexdigest(), manifest)
        return manifest

    async def _receive_bytes(
        self, stream: PeerStream, target: BufferedWriter, size_bytes: int, update: Callable[[bytes], None]
    ) -> None:
        left = size_bytes
        while left:
            chunk = await _next(stream)
            left -= len(chunk)
            if left < 0:
                raise StateDamaged("more was received than the manifest of the snapshot says")
            update(chunk)
            await self._run(target.write, chunk)


def _check(sha256: str, manifest: Manifest) -> None:
    if sha256 != manifest.sha256:
        raise StateDamaged("the snapshot that was received is not what its manifest says")


async def _next(stream: PeerStream) -> bytes:
    with trio.move_on_after(SILENCE_S):
        message = await stream.receive()
        if message:
            return message
        raise Unavailable("the snapshot ended before it was complete")
    raise PeerUnreachable("the node that sends the snapshot says nothing any more")
