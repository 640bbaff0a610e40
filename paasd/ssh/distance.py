"""Programs in instances of other nodes: the same descriptors here, the bytes by a stream between the nodes.

Each program has a stream of its own, so that its sender is held back when nobody takes what it sends. The node that
asks has judged who may; the node that answers looks only whether the instance is the one that is meant.
"""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import trio

from paasd.errors import PaasdError
from paasd.packing import unpack
from paasd.peer import Peer, Peers, PeerStream
from paasd.peer.interface import Role
from paasd.ssh.programs import GONE, Program, Programs
from paasd.ssh.wire import Ask, Bytes, End, Ended, Message, Opened, Over, Resize, Signal, decode, encode

KIND: Final = "ssh.program"
_ASKERS: Final[tuple[Role, ...]] = ("control",)
_READ_BYTES: Final = 32 * 1024
_QUIET_S: Final = 1.0
_LIFE_S: Final = 2.0


async def receive(stream: PeerStream) -> Message | None:
    """The next message; None at the end. Raises PaasdError."""
    raw = await stream.receive()
    return None if raw is None else decode(raw)


def serve(peers: Peers, programs: Programs) -> None:
    """Open programs here for control nodes."""

    async def answer(_peer: Peer, body: bytes, stream: PeerStream) -> None:
        async with programs.open(unpack(body, Ask)) as program:
            ends = [trio.lowlevel.FdStream(os.dup(fd)) for fd in program.ends]
            program.let_go()
            try:
                await stream.send(encode(Opened(ends=len(ends))))
                with suppress(PaasdError):  # who asked has gone
                    await Far(program, ends, stream).run()
            finally:
                for end in ends:
                    await trio.aclose_forcefully(end)

    peers.serve_stream(KIND, answer, roles=_ASKERS)


class Far:
    """The end of a stream at which the program is."""

    def __init__(self, program: Program, ends: list[trio.lowlevel.FdStream], stream: PeerStream) -> None:
        self._program = program
        self._ends = ends
        self._stream = stream
        self._seen = 0
        self._reading = 0
        self._all_read = trio.Event()

    async def run(self) -> None:
        """Until the program has ended and all that it wrote is sent, or the other side has gone."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._obey, nursery.cancel_scope)
            nursery.start_soon(self._show_life, nursery.cancel_scope)
            readers = range(1, 3) if len(self._ends) == 3 else range(1)
            self._reading = len(readers)
            for number in readers:
                nursery.start_soon(self._read, number)
            end = await self._program.wait()
            await self._drain()
            await self._stream.send(encode(Ended(end=end)))
            await self._stream.finish()
            nursery.cancel_scope.cancel()

    async def _read(self, number: int) -> None:
        try:
            while data := await self._ends[number].receive_some(_READ_BYTES):
                await self._stream.send(encode(Bytes(number, data)))
                self._seen += len(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # a terminal that nobody has open any more, a connection that was reset
        self._reading -= 1
        if not self._reading:
            self._all_read.set()
        await self._stream.send(encode(Over(number)))

    async def _drain(self) -> None:
        """What was written is there at once; who holds the pipes open for longer is not the program."""
        seen = -1
        while self._reading and seen != self._seen:
            seen = self._seen
            with trio.move_on_after(_QUIET_S):
                await self._all_read.wait()

    async def _obey(self, scope: trio.CancelScope) -> None:
        try:
            while (message := await receive(self._stream)) is not None:
                match message:
                    case Bytes(_, data):
                        with suppress(trio.BrokenResourceError):  # it does not read any more
                            await self._ends[0].send_all(data)
                    case Over():
                        await self._finish()
                    case Resize(size):
                        await self._program.resize(size)
                    case Signal(name):
                        await self._program.signal(name)
                    case _:
                        pass
        except (PaasdError, trio.ClosedResourceError):
            pass
        scope.cancel()

    async def _show_life(self, scope: trio.CancelScope) -> None:
        """Who waits for a program to read does not see that the other side has gone; who speaks does."""
        try:
            while True:
                await trio.sleep(_LIFE_S)
                await self._stream.send(encode(Bytes(0, b"")))
        except PaasdError:
            scope.cancel()

    async def _finish(self) -> None:
        if len(self._ends) == 3:
            await self._ends[0].aclose()
        elif os.isatty(self._ends[0].fileno()):
            with suppress(trio.BrokenResourceError):
                await self._ends[0].send_all(b"\x04")
        else:
            with socket.socket(fileno=os.dup(self._ends[0].fileno())) as end, suppress(OSError):
                end.shutdown(socket.SHUT_WR)


@asynccontextmanager
async def open_there(peers: Peers, node_guid: str, ask: Ask) -> AsyncIterator[Program]:
    """A program on another node. Raises PaasdError."""
    async with peers.stream(node_guid, KIND, encode(ask)) as stream:
        first = await receive(stream)
        if not isinstance(first, Opened) or first.ends not in (1, 3):
            raise PaasdError("The other node does not answer as it should")
        pairs = [socket.socketpair() for _ in range(first.ends)]
        try:
            async with trio.open_nursery() as nursery:
                near = Near(stream, [trio.SocketStream(trio.socket.from_stdlib_socket(one)) for one, _ in pairs], pairs)
                nursery.start_soon(near.deliver)
                nursery.start_soon(near.collect)
                try:
                    yield near
                finally:
                    nursery.cancel_scope.cancel()
        finally:
            for pair in pairs:
                for one in pair:
                    one.close()


class Near:
    """The end of a stream at which the person is; see `Program`."""

    def __init__(
        self, stream: PeerStream, ends: list[trio.SocketStream], pairs: list[tuple[socket.socket, socket.socket]]
    ) -> None:
        self._stream = stream
        self._ends = ends
        self._pairs = pairs
        self._ended = trio.Event()
        self._end = End(reason=GONE, gone=True)

    @property
    def ends(self) -> tuple[int, ...]:
        return tuple(theirs.fileno() for _, theirs in self._pairs)

    async def wait(self) -> End:
        await self._ended.wait()
        return self._end

    async def signal(self, name: str) -> None:
        await self._tell(Signal(name))

    async def resize(self, size: tuple[int, int, int, int]) -> None:
        await self._tell(Resize(size))

    async def _tell(self, message: Message) -> None:
        with suppress(PaasdError):  # then the end is near, and told otherwise
            await self._stream.send(encode(message))

    def let_go(self) -> None:
        for _, theirs in self._pairs:
            theirs.close()

    async def deliver(self) -> None:
        """What the program writes."""
        try:
            while (message := await receive(self._stream)) is not None:
                match message:
                    case Bytes(number, data) if number < len(self._ends):
                        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):  # nobody wants it any more
                            await self._ends[number].send_all(data)
                    case Over(number) if number < len(self._ends):
                        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                            await self._ends[number].send_eof()
                    case Ended(end):
                        self._end = end
                        break
                    case _:
                        pass
        except PaasdError as error:
            self._end = End(reason=f"The node of the instance was lost: {error.detail}", gone=True)
        for near in self._ends:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                await near.send_eof()
        self._ended.set()

    async def collect(self) -> None:
        """What the person types."""
        try:
            while data := await self._ends[0].receive_some(_READ_BYTES):
                await self._stream.send(encode(Bytes(0, data)))
            await self._stream.send(encode(Over(0)))
        except (PaasdError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the end is told by what is received
