"""Answers control nodes about the lines of this node. Who may read what is decided where the question was asked."""

import trio

from paasd.errors import PaasdError
from paasd.logs.followers import Follower
from paasd.logs.line import Line
from paasd.logs.logs import Logs
from paasd.logs.wire import (
    ANSWER_BYTES,
    EXTENT,
    FOLLOW,
    READ,
    Answer,
    ExtentQuery,
    Extents,
    Follow,
    Followed,
    Query,
    Settle,
    encode,
)
from paasd.packing import unpack
from paasd.peer import Peer, Peers, PeerStream
from paasd.peer.interface import Role

_STEP_LINES = 64
_BATCH_LINES = 500
_ASKERS: tuple[Role, ...] = ("control",)


def serve(logs: Logs, peers: Peers) -> None:
    """Take the questions of control nodes."""

    async def read(_peer: Peer, body: bytes) -> bytes:
        query = unpack(body, Query)
        if query.flush:
            await logs.flush()
        await trio.lowlevel.checkpoint()
        return encode(_bounded(logs, query))

    async def extent(_peer: Peer, body: bytes) -> bytes:
        found = {}
        for source_id in unpack(body, ExtentQuery).source_ids:
            if (times := logs.extent(source_id)) is not None:
                found[source_id] = times
            await trio.lowlevel.checkpoint()
        return encode(Extents(extents=found))

    async def follow(_peer: Peer, body: bytes, stream: PeerStream) -> None:
        async with logs.follow(unpack(body, Follow).source_id) as follower, trio.open_nursery() as nursery:
            nursery.start_soon(_pass_on, follower, stream, nursery.cancel_scope)
            nursery.start_soon(_answer_settling, logs, follower, stream, nursery.cancel_scope)

    peers.serve(READ, read, roles=_ASKERS)
    peers.serve(EXTENT, extent, roles=_ASKERS)
    peers.serve_stream(FOLLOW, follow, roles=_ASKERS)


async def _pass_on(follower: Follower, stream: PeerStream, scope: trio.CancelScope) -> None:
    """Until the logs of this node close, or the other side is gone."""
    try:
        await stream.send(encode(Followed()))
        while lines := await follower.batch(_BATCH_LINES, ANSWER_BYTES):
            await stream.send(encode(Followed(lines=lines)))
    except PaasdError:
        pass  # nobody is there to be told
    scope.cancel()


async def _answer_settling(logs: Logs, follower: Follower, stream: PeerStream, scope: trio.CancelScope) -> None:
    """Ends the stream when the other side has closed its end."""
    try:
        while (message := await stream.receive()) is not None:
            asked = unpack(message, Settle)
            await logs.flush()
            await follower.mark().wait()
            await stream.send(encode(Followed(settled=asked.number)))
    except PaasdError:
        pass  # nobody is there to be told
    scope.cancel()


def _bounded(logs: Logs, query: Query) -> Answer:
    """As many of the lines as a message has room for."""
    lines: list[Line] = []
    size_bytes = 0
    while len(lines) < query.limit:
        step = min(_STEP_LINES, query.limit - len(lines))
        found = logs.read(
            query.source_id,
            query.start_ns,
            query.end_ns,
            step,
            query.descending,
            query.source_types,
            skip=query.skip + len(lines),
        )
        for line in found:
            size_bytes += len(line.payload) + 200
            if size_bytes > ANSWER_BYTES and lines:
                return Answer(lines=lines, more=True)
            lines.append(line)
        if len(found) < step:
            break
    return Answer(lines=lines)
