"""A connection to one etcd member: many calls at once over one TLS stream, and its death noticed by silence.

Only one task writes and one reads, so a call that is cancelled leaves the connection whole. A cut that drops packets
fails nothing by itself: without a ping a watch would stay deaf for as long as TCP is patient.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import trio

from paasd.errors import PaasdError
from paasd.etcd.wire import Arrived, Broken, Ended, GrpcConnection

PING_S: Final = 0.4
SILENCE_S: Final = 1.2
CONNECT_S: Final = 1.0
_READ_BYTES: Final = 256 * 1024
_WAITING: Final = 1024


class Refused(PaasdError):
    """etcd answered with an error; `status` is gRPC's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"etcd: {text}")
        self.status = status


class Unreachable(PaasdError):
    """No connection: nothing was sent."""


class Lost(PaasdError):
    """The connection broke while a call was under way; it may have been carried out."""


class Channel:
    """Made by `open_channel`."""

    def __init__(self, stream: "trio.SSLStream[trio.SocketStream]", authority: str) -> None:
        self._stream = stream
        self._grpc = GrpcConnection(authority)
        self._inboxes: dict[int, trio.MemorySendChannel[bytes | PaasdError]] = {}
        self._wake = trio.Event()
        self._heard_at = trio.current_time()
        self._scope = trio.CancelScope()
        self._closing = False
        self.broken: PaasdError | None = None

    async def unary(self, method: str, message: bytes) -> bytes:
        """Ask and wait for the answer. Raises Refused, Lost. Cancelled, it leaves the connection usable."""
        async with self.call(method) as (number, inbox):
            self.send(number, message, finish=True)
            try:
                answer = await inbox.receive()
            except trio.EndOfChannel:
                raise Lost("etcd ended the call without an answer") from None
            if isinstance(answer, PaasdError):
                raise answer
            return answer

    @asynccontextmanager
    async def call(
        self, method: str, metadata: tuple[tuple[str, str], ...] = ()
    ) -> AsyncIterator[tuple[int, trio.MemoryReceiveChannel[bytes | PaasdError]]]:
        """A call and what arrives for it; an error is the last that does. Raises Lost."""
        if self.broken is not None:
            raise Lost(self.broken.detail)
        try:
            number = self._grpc.open(method, metadata=metadata)
        except Broken as error:
            self.close(error.detail)
            raise Lost(error.detail) from error
        self._inboxes[number], inbox = trio.open_memory_channel[bytes | PaasdError](_WAITING)
        try:
            yield number, inbox
        finally:
            self._inboxes.pop(number, None)
            if self._closing and not self._inboxes:
                self.close("the connection to etcd is of no more use")
            if self.broken is None:
                self._grpc.cancel(number)
                self._wake.set()

    def send(self, number: int, message: bytes, *, finish: bool) -> None:
        """One message of a call."""
        self._grpc.send(number, message, finish=finish)
        self._wake.set()

    def close(self, reason: str) -> None:
        """Of no more use: calls under way fail, and nothing of it stays behind."""
        self._break(reason)
        self._scope.cancel()

    def close_when_idle(self) -> None:
        """Close after the last call that is under way."""
        self._closing = True
        if not self._inboxes:
            self.close("the connection to etcd is of no more use")

    async def run(self) -> None:
        """Read, write and ping until the connection breaks or is closed; then every call fails."""
        try:
            with self._scope:
                await self._run()
        finally:
            self._break("the connection to etcd was closed")
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(self._stream)

    async def _run(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                nursery.start_soon(self._ping)
                await self._read()
                nursery.cancel_scope.cancel()
        except* (Broken, trio.BrokenResourceError, trio.ClosedResourceError, OSError) as group:
            self._break(str(group.exceptions[0]))

    async def _read(self) -> None:
        while True:
            data = await self._stream.receive_some(_READ_BYTES)
            if not data:
                raise Broken("etcd closed the connection")
            self._heard_at = trio.current_time()
            for event in self._grpc.receive(bytes(data)):
                self._deliver(event)
            self._wake.set()

    def _deliver(self, event: Arrived | Ended) -> None:
        inbox = self._inboxes.get(event.call)
        if inbox is None:
            return
        match event:
            case Arrived(_, message):
                self._put(inbox, message)
            case Ended(_, status, text):
                if status:
                    self._put(inbox, Refused(status, text))
                else:
                    inbox.close()

    @staticmethod
    def _put(inbox: trio.MemorySendChannel[bytes | PaasdError], item: bytes | PaasdError) -> None:
        try:
            inbox.send_nowait(item)
        except trio.WouldBlock:
            raise Broken("messages of etcd were not taken in time") from None
        except trio.BrokenResourceError:
            return  # nobody waits any more

    async def _write(self) -> None:
        while True:
            data = self._grpc.data_to_send()
            if data:
                await self._stream.send_all(data)
            else:
                await self._wake.wait()
                self._wake = trio.Event()

    async def _ping(self) -> None:
        while True:
            self._grpc.ping()
            self._wake.set()
            await trio.sleep(PING_S)
            if trio.current_time() - self._heard_at > SILENCE_S:
                raise Broken("etcd has gone silent")

    def _break(self, reason: str) -> None:
        if self.broken is None:
            self.broken = Lost(reason)
            for inbox in self._inboxes.values():
                with suppress(Broken):  # one that is full ends all the same when it has been read
                    self._put(inbox, Lost(reason))
                inbox.close()


async def open_channel(address: tuple[str, int], context: ssl.SSLContext, nursery: trio.Nursery) -> Channel:
    """Connect to a member; the channel runs in the nursery. Raises Unreachable."""
    host, port = address
    try:
        with trio.fail_after(CONNECT_S):
            plain = await trio.open_tcp_stream(host, port)
            stream = trio.SSLStream(plain, context, server_hostname=host, https_compatible=True)
            try:
                await stream.do_handshake()
            except BaseException:
                with trio.CancelScope(shield=True):
                    await trio.aclose_forcefully(stream)
                raise
    except (OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
        raise Unreachable(f"etcd at {host}:{port} cannot be reached: {str(error) or 'it does not answer'}") from error
    channel = Channel(stream, f"{host}:{port}")
    try:
        nursery.start_soon(channel.run)
    except RuntimeError as error:  # the client was closed meanwhile
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(stream)
        raise Unreachable("this client of etcd is closed") from error
    return channel


def client_context(pair: Path, authorities: Path) -> ssl.SSLContext:
    """TLS towards etcd with a certificate and its key. The files are read now; make another when they change."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # what etcd 3.4 speaks at the least; it picks 1.3 itself
    context.load_cert_chain(pair)
    context.load_verify_locations(authorities)
    context.set_alpn_protocols(["h2"])
    return context
