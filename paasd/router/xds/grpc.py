"""Just enough of gRPC: length-prefixed messages on HTTP/2 streams of one connection, as data.

The connection is a pure machine: bytes in, events out, bytes to send. Outgoing messages wait in `Channel.backlog` while
Envoy's flow-control window is closed.
"""

from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import msgspec

from paasd.errors import PaasdError

WINDOW_BYTES = 16 * 1024 * 1024
MESSAGE_LIMIT_BYTES = 64 * 1024 * 1024
_PREFIX_BYTES = 5


class ProtocolBroken(PaasdError):
    """The peer did not speak gRPC over HTTP/2; the connection is of no more use."""


class Opened(msgspec.Struct, frozen=True):
    """A call started."""

    stream_id: int
    method: str


class Received(msgspec.Struct, frozen=True):
    """A whole message arrived."""

    stream_id: int
    message: bytes


class Closed(msgspec.Struct, frozen=True):
    """A call ended, by either side's doing."""

    stream_id: int


class _Channel:
    def __init__(self) -> None:
        self.received = bytearray()
        self.backlog = bytearray()


class GrpcServer:
    """The server's side of one connection."""

    def __init__(self) -> None:
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self._h2.initiate_connection()
        # After the preface, never before: settings changed earlier do not reach the stream windows.
        self._h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES})
        self._h2.increment_flow_control_window(WINDOW_BYTES)
        self._channels: dict[int, _Channel] = {}

    def receive(self, data: bytes) -> list[Opened | Received | Closed]:
        """Take bytes from the peer. Raises ProtocolBroken."""
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            raise ProtocolBroken(f"the control connection broke HTTP/2: {error}") from error
        news: list[Opened | Received | Closed] = []
        for event in events:
            match event:
                case h2.events.RequestReceived():
                    news.append(self._opened(event))
                case h2.events.DataReceived():
                    news.extend(self._received(event))
                case h2.events.StreamEnded() | h2.events.StreamReset():
                    if self._channels.pop(event.stream_id, None) is not None:
                        news.append(Closed(event.stream_id))
                case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                    self._pump_all()
        return news

    def _opened(self, event: h2.events.RequestReceived) -> Opened:
        headers: list[tuple[Any, Any]] = list(event.headers or ())
        method = dict(headers).get(":path", "")
        self._channels[event.stream_id] = _Channel()
        self._h2.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
        return Opened(event.stream_id, str(method))

    def _received(self, event: h2.events.DataReceived) -> list[Received]:
        if event.flow_controlled_length:
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        channel = self._channels.get(event.stream_id)
        if channel is None:
            return []
        buffer = channel.received
        buffer += event.data
        messages = []
        while len(buffer) >= _PREFIX_BYTES:
            length = int.from_bytes(buffer[1:_PREFIX_BYTES], "big")
            if buffer[0] or length > MESSAGE_LIMIT_BYTES:
                raise ProtocolBroken("the control connection sent a compressed or oversized message")
            if len(buffer) < _PREFIX_BYTES + length:
                break
            messages.append(Received(event.stream_id, bytes(buffer[_PREFIX_BYTES : _PREFIX_BYTES + length])))
            del buffer[: _PREFIX_BYTES + length]
        return messages

    def send(self, stream_id: int, message: bytes) -> None:
        """Queue one message; a closed call swallows it."""
        channel = self._channels.get(stream_id)
        if channel is not None:
            channel.backlog += b"\0" + len(message).to_bytes(4, "big") + message
            self._pump(stream_id, channel)

    def refuse(self, stream_id: int, detail: str) -> None:
        """End a call to an unknown method (gRPC status 12, unimplemented)."""
        if self._channels.pop(stream_id, None) is not None:
            trailers = [("grpc-status", "12"), ("grpc-message", detail)]
            self._h2.send_headers(stream_id, trailers, end_stream=True)

    def idle(self, stream_id: int) -> bool:
        """Whether all that was queued on the call has left."""
        channel = self._channels.get(stream_id)
        return channel is None or not channel.backlog

    def data_to_send(self) -> bytes:
        """Bytes for the peer, given once."""
        return bytes(self._h2.data_to_send())

    def _pump_all(self) -> None:
        for stream_id, channel in self._channels.items():
            self._pump(stream_id, channel)

    def _pump(self, stream_id: int, channel: _Channel) -> None:
        while channel.backlog:
            size = min(
                len(channel.backlog),
                self._h2.local_flow_control_window(stream_id),
                self._h2.max_outbound_frame_size,
            )
            if size <= 0:
                return
            self._h2.send_data(stream_id, bytes(channel.backlog[:size]))
            del channel.backlog[:size]
