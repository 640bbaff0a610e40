"""The Unix socket that Envoy's control connections come to: discovery answers out, access log entries in.

One task reads and one writes per connection; all protocol state changes between awaits, so neither needs a lock.
Access log batches go into a bounded channel and are dropped, and counted, when their consumer falls behind: Envoy is
never made to wait for a reader of logs.
"""

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
import trio

from paasd.containment import contained
from paasd.router.xds.delta import Changes, DeltaStream, Request, ResourceStore, Response
from paasd.router.xds.grpc import Closed, GrpcServer, Opened, ProtocolBroken, Received
from paasd.router.xds.messages import DeltaDiscoveryRequest, DeltaDiscoveryResponse, StreamAccessLogsMessage

_DISCOVERY = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
_ACCESS_LOG = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
_READ_BYTES = 256 * 1024

Log = structlog.typing.FilteringBoundLogger


class Wake:
    """A level, not a queue: set any number of times, it lets one wait through."""

    def __init__(self) -> None:
        self._in, self._out = trio.open_memory_channel[None](1)

    def set(self) -> None:
        """Let the next `wait`, or the present one, return."""
        with contextlib.suppress(trio.WouldBlock):
            self._in.send_nowait(None)

    async def wait(self) -> None:
        """Wait for `set`, and take it back."""
        await self._out.receive()


class DiscoveryService:
    """What the open socket shares with the router: the store, the streams of connected Envoys, and counters."""

    def __init__(self, store: ResourceStore, log: Log, *, chunk: int, access_backlog: int) -> None:
        self.store = store
        self.log = log
        self.chunk = chunk
        self.streams: dict[DeltaStream, Wake] = {}
        self.dropped_entries = 0
        self.rejected = 0
        self.explain: Callable[[str, str], bool] = lambda _type_url, _reason: False
        """Whether a refusal of Envoy's is no defect of ours; who says so sees to it."""
        self._news = trio.Event()
        self.access_in, self.access_out = trio.open_memory_channel[list[Any]](access_backlog)

    def publish(self, changes: Changes) -> None:
        """Store `changes` and send what differs to every connected Envoy."""
        differing = self.store.publish(changes)
        for stream, wake in self.streams.items():
            stream.changed(differing)
            wake.set()

    @property
    def sent_count(self) -> int:
        """How many resources went to the Envoys that are connected now."""
        return sum(stream.sent_count for stream in self.streams)

    @property
    def settled(self) -> bool:
        """Whether an Envoy is connected and every connected one has all that is published."""
        return bool(self.streams) and all(stream.settled for stream in self.streams)

    def moved(self) -> None:
        """Wake those who wait for `settled`."""
        self._news.set()
        self._news = trio.Event()

    async def until_settled(self) -> None:
        """Wait until every connected Envoy, at least one, acknowledged all that is published."""
        while not self.settled:
            await self._news.wait()

    async def until_connected(self) -> None:
        """Wait until an Envoy asks for its configuration."""
        while not self.streams:
            await self._news.wait()

    def accept_entries(self, message: bytes) -> None:
        """Hand a batch of access log entries to its consumer, or drop and count it."""
        logs = StreamAccessLogsMessage.FromString(message)
        entries = [*logs.http_logs.log_entry, *logs.tcp_logs.log_entry]
        try:
            self.access_in.send_nowait(entries)
        except trio.WouldBlock:
            self.dropped_entries += len(entries)


class _Connection:
    def __init__(self, service: DiscoveryService, socket: trio.SocketStream) -> None:
        self._service = service
        self._socket = socket
        self._grpc = GrpcServer()
        self._wake = Wake()
        self._streams: dict[int, DeltaStream] = {}
        self._access: set[int] = set()

    async def serve(self) -> None:
        """Serve until the peer leaves."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, nursery.cancel_scope)
                await self._read()
                nursery.cancel_scope.cancel()
        finally:
            for stream in self._streams.values():
                self._service.streams.pop(stream, None)
            self._service.moved()
            await trio.aclose_forcefully(self._socket)

    async def _read(self) -> None:
        try:
            while data := await self._socket.receive_some(_READ_BYTES):
                for event in self._grpc.receive(bytes(data)):
                    match event:
                        case Opened(stream_id, method):
                            self._open(stream_id, method)
                        case Received(stream_id, message):
                            self._message(stream_id, message)
                        case Closed(stream_id):
                            self._close(stream_id)
                self._wake.set()
        except trio.BrokenResourceError:
            return
        except ProtocolBroken as broken:
            self._service.log.warning("router.control_connection_broken", reason=broken.detail)

    def _open(self, stream_id: int, method: str) -> None:
        if method == _DISCOVERY:
            stream = DeltaStream(self._service.store, self._service.chunk)
            self._streams[stream_id] = stream
            self._service.streams[stream] = self._wake
        elif method == _ACCESS_LOG:
            self._access.add(stream_id)
        else:
            self._grpc.refuse(stream_id, "paasd serves discovery and access logs here")
        self._service.moved()

    def _close(self, stream_id: int) -> None:
        self._access.discard(stream_id)
        stream = self._streams.pop(stream_id, None)
        if stream is not None:
            self._service.streams.pop(stream, None)
            self._service.moved()

    def _message(self, stream_id: int, message: bytes) -> None:
        if stream_id in self._access:
            self._service.accept_entries(message)
        elif (stream := self._streams.get(stream_id)) is not None:
            stream.receive(_request(message))
            for type_url, reason in stream.rejections:
                if self._service.explain(type_url, reason):
                    continue
                self._service.rejected += 1
                self._service.log.error("router.configuration_refused", type=type_url, reason=reason)
            stream.rejections.clear()

    async def _write(self, scope: trio.CancelScope) -> None:
        while True:
            for stream_id, stream in self._streams.items():
                if self._grpc.idle(stream_id):
                    for response in stream.take():
                        self._grpc.send(stream_id, _encoded(response))
            self._service.moved()
            data = self._grpc.data_to_send()
            if not data:
                await self._wake.wait()
                continue
            try:
                await self._socket.send_all(data)
            except trio.BrokenResourceError:
                scope.cancel()
                return


def _request(message: bytes) -> Request:
    received = DeltaDiscoveryRequest.FromString(message)
    return Request(
        type_url=received.type_url,
        subscribe=tuple(received.resource_names_subscribe),
        unsubscribe=tuple(received.resource_names_unsubscribe),
        versions=dict(received.initial_resource_versions),
        nonce=received.response_nonce,
        error=received.error_detail.message if received.HasField("error_detail") else None,
    )


def _encoded(response: Response) -> bytes:
    message = DeltaDiscoveryResponse(
        type_url=response.type_url, nonce=response.nonce, removed_resources=response.removed
    )
    for name, resource in response.resources.items():
        item = message.resources.add(name=name, version=resource.version)
        item.resource.type_url = response.type_url
        item.resource.value = resource.body
    return bytes(message.SerializeToString())


async def listen(path: Path, uid: int) -> trio.SocketListener:
    """A listener on the Unix socket `path`, open to `uid` and this process's user only; a stale socket is replaced."""
    _clear(path)
    socket = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    # Nobody can connect before listen(), so there is no moment at which the socket is open to all.
    await socket.bind(str(path))
    _restrict(path, uid)
    socket.listen(64)
    return trio.SocketListener(socket)


def _clear(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()


def _restrict(path: Path, uid: int) -> None:
    path.chmod(0o600)
    if uid != os.geteuid():
        os.chown(path, uid, -1)


async def serve_discovery(service: DiscoveryService, listener: trio.SocketListener) -> None:
    """Serve `service` to every Envoy that connects. Returns only when cancelled."""

    async def connected(socket: trio.SocketStream) -> None:
        # Envoy passes on what apps answer, so what it says is not its own alone. It connects anew.
        await contained("control connection of the router", _Connection(service, socket).serve)

    serve: Callable[..., Any] = trio.serve_listeners
    await serve(connected, [listener])
