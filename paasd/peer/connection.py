"""One connection between nodes: frames in and out, and the rule that silence is death.

Whoever waits hears a sign of life every `ping_s`; hearing nothing for `silence_s` ends the connection. A send or
receive that is cancelled half-way leaves a TLS stream that nobody can use, so it is closed.
"""

import math
import select
import socket
from collections.abc import Callable
from typing import Any

import trio

from paasd.config import PeerConfig
from paasd.peer.interface import PeerUnreachable
from paasd.peer.wire import (
    FRAME_LIMIT_BYTES,
    LENGTH_BYTES,
    STRANGER_FRAME_LIMIT_BYTES,
    Alive,
    Garbage,
    Message,
    pack,
    unpack,
)

_READ_BYTES = 64 * 1024
TlsStream = trio.SSLStream[trio.SocketStream]


class Connection:
    """A TLS stream that carries frames. One task receives; sending is serialised.

    `valid` is asked again and again while it is in use: whoever is removed, or whose certificate has ended, is cut off.
    """

    def __init__(self, stream: TlsStream, config: PeerConfig, who: str) -> None:
        self.stream = stream
        self.valid: Callable[[], bool] = lambda: True
        self._frame_limit_bytes = STRANGER_FRAME_LIMIT_BYTES
        self.opened_at = trio.current_time()
        self.used_at = self.opened_at
        self._config = config
        self._who = who
        self._buffer = bytearray()
        self._sending = trio.StrictFIFOLock()
        self.broken = False
        self._tune(stream.transport_stream.socket)

    def _tune(self, plain: trio.socket.SocketType) -> None:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # What is sent into a silent cut must not wait for TCP's own patience of minutes.
        timeout_ms = math.ceil(self._config.silence_s * 1000)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)

    @property
    def patience_s(self) -> float:
        """How long an answer may take from who is not asked to show life meanwhile."""
        return self._config.connect_timeout_s

    def trust(self, valid: Callable[[], bool]) -> None:
        """It is known who is on the other side, as long as this is true."""
        self.valid = valid
        self._frame_limit_bytes = FRAME_LIMIT_BYTES

    async def send(self, message: Message) -> None:
        """Raises PeerUnreachable when the other side is gone."""
        data = pack(message)
        async with self._sending:
            done = False
            try:
                await self.stream.send_all(data)
                done = True
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
                raise PeerUnreachable(f"the connection to {self._who} broke") from error
            finally:
                self.broken |= not done

    async def receive(self) -> Message:
        """The next message other than signs of life. Raises PeerUnreachable (also after silence), Garbage."""
        while True:
            message = await self._receive(self._config.silence_s)
            if not isinstance(message, Alive):
                return message

    async def receive_late(self, limit_s: float) -> Message:
        """The next message of a peer that has no reason to show that it lives; as `receive` otherwise."""
        return await self._receive(limit_s)

    async def receive_whole(self, limit_s: float) -> Message:
        """As `receive_late`, and it must be complete by then: who is not known yet gets no time for dawdling."""
        with trio.move_on_after(limit_s):
            return await self._receive(math.inf)
        raise PeerUnreachable(f"{self._who} has been silent for {limit_s} s")

    async def _receive(self, silence_s: float) -> Message:
        done = False
        try:
            length = int.from_bytes(await self._take(LENGTH_BYTES, silence_s), "big")
            if length > self._frame_limit_bytes:
                raise Garbage(f"a frame of {length} bytes; the limit is {self._frame_limit_bytes}")
            message = unpack(await self._take(length, silence_s))
            done = True
            return message
        finally:
            self.broken |= not done

    async def _take(self, count: int, silence_s: float) -> bytes:
        while len(self._buffer) < count:
            try:
                with trio.fail_after(silence_s):
                    data = await self.stream.receive_some(_READ_BYTES)
            except trio.TooSlowError as error:
                raise PeerUnreachable(f"{self._who} has been silent for {silence_s} s") from error
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
                raise PeerUnreachable(f"the connection to {self._who} broke: {_reason(error)}") from error
            if not data:
                raise PeerUnreachable(f"{self._who} closed the connection")
            self._buffer += data
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def show_life(self) -> None:
        """Send signs of life until cancelled, the other side is gone, or it has no right to be here any more."""
        while True:
            await trio.sleep(self._config.ping_s)
            if not self.valid():
                self.close()
                return
            try:
                await self.send(Alive())
            except PeerUnreachable:
                return

    @property
    def stale(self) -> bool:
        """Whether an idle connection must not be used again: too old, or the other side has said goodbye."""
        now = trio.current_time()
        old = now - self.opened_at > self._config.recycle_s or now - self.used_at > self._config.idle_s / 2
        return (
            old
            or self.broken
            or not self.valid()
            or bool(self._buffer)
            or _readable(self.stream.transport_stream.socket)
        )

    def close(self) -> None:
        """At once, without a farewell; nothing is awaited, so it can stand wherever something ends."""
        self.broken = True
        self.stream.transport_stream.socket.close()


def _readable(plain: trio.socket.SocketType) -> bool:
    """Anything to read on an idle connection is its end."""
    poll = select.poll()
    poll.register(plain.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _reason(error: BaseException) -> Any:
    return error.__cause__ or error
