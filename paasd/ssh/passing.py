"""The port of a worker: what comes in goes on to a control node as it is, and the answers come back.

A worker has no host key, so it can neither read what it passes on nor pose as the platform. It says from which address
somebody came, and is believed.
"""

import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
import structlog
import trio

from paasd.errors import PaasdError
from paasd.packing import unpack
from paasd.peer import Peer, Peers, PeerStream
from paasd.peer.interface import Role
from paasd.ssh.wire import Arrived

KIND: Final = "ssh.connection"
OPEN_LIMIT: Final = 1000
"""Connections that a worker passes on at a time; the control node has limits of its own."""
_FROM: Final[tuple[Role, ...]] = ("worker",)
_READ_BYTES: Final = 32 * 1024
log = structlog.get_logger("paasd.ssh")
TakeIn = Callable[[str], Awaitable[socket.socket]]


def serve(peers: Peers, take_in: TakeIn) -> None:
    """On a control node: let in those who come by a worker, by the address that it names."""

    async def answer(_peer: Peer, body: bytes, stream: PeerStream) -> None:
        ours = await take_in(unpack(body, Arrived).address)
        async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as here:
            await stream.send(b"")  # from now on nobody else is asked
            await _exchange(here, stream)

    peers.serve_stream(KIND, answer, roles=_FROM)


async def pass_on(listener: socket.socket, peers: Peers, control_nodes: Callable[[], Sequence[str]]) -> None:
    """On a worker: take connections for ever; `control_nodes` are asked in order."""
    open_ones = trio.CapacityLimiter(OPEN_LIMIT)
    listening = trio.SocketListener(trio.socket.from_stdlib_socket(listener))

    async def one(here: trio.SocketStream) -> None:
        try:
            open_ones.acquire_on_behalf_of_nowait(here)
        except trio.WouldBlock:
            await trio.aclose_forcefully(here)
            return
        try:
            async with here:
                await _pass_one(here, peers, control_nodes())
        finally:
            open_ones.release_on_behalf_of(here)

    await trio.serve_listeners(one, [listening])


async def _pass_one(here: trio.SocketStream, peers: Peers, control_nodes: Sequence[str]) -> None:
    try:
        address = str(here.socket.getpeername()[0])
    except OSError:
        return  # it went away
    body = msgspec.msgpack.encode(Arrived(address=address))
    for guid in control_nodes:
        try:
            async with peers.stream(guid, KIND, body) as stream:
                await stream.receive()
                await _exchange(here, stream)
                return
        except PaasdError as error:
            log.info("a control node takes no ssh connection", node=guid, error=error.detail)
    log.warning("no control node takes an ssh connection")


async def _exchange(here: trio.SocketStream, stream: PeerStream) -> None:
    """Until both have said all, or one has gone."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_send, here, stream, nursery.cancel_scope)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, PaasdError):
            while (data := await stream.receive()) is not None:
                await here.send_all(data)
            await here.send_eof()
            return
        nursery.cancel_scope.cancel()


async def _send(here: trio.SocketStream, stream: PeerStream, scope: trio.CancelScope) -> None:
    try:
        while data := await here.receive_some(_READ_BYTES):
            await stream.send(data)
        await stream.finish()
    except (trio.BrokenResourceError, trio.ClosedResourceError, PaasdError):
        scope.cancel()
