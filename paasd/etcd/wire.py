"""The client's side of gRPC on one HTTP/2 connection, as data: bytes in, events out, bytes to send."""

from urllib.parse import unquote

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import msgspec

from paasd.errors import PaasdError

WINDOW_BYTES = 16 * 1024 * 1024
_PREFIX_BYTES = 5


class Broken(PaasdError):
    """The connection is of no more use."""


class Arrived(msgspec.Struct, frozen=True):
    """A whole message of a call."""

    call: int
    message: bytes


class Ended(msgspec.Struct, frozen=True):
    """A call is over; `status` is gRPC's, 0 for well."""

    call: int
    status: int
    text: str


class _Call:
    def __init__(self) -> None:
        self.received = bytearray()
        self.backlog = bytearray()
        self.finish = False


class GrpcConnection:
    """One connection. Nothing is sent by it: take `data_to_send` after every call of a method."""

    def __init__(self, authority: str) -> None:
        self._authority = authority
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self._calls: dict[int, _Call] = {}
        self._h2.initiate_connection()
        # After the preface, never before: settings changed earlier do not reach the stream windows.
        self._h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW_BYTES})
        self._h2.increment_flow_control_window(WINDOW_BYTES)

    def open(self, method: str, *, metadata: tuple[tuple[str, str], ...] = ()) -> int:
        """Begin a call; its number. Raises Broken when the connection takes no more."""
        headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":path", method),
            (":authority", self._authority),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            *metadata,
        ]
        try:
            call = self._h2.get_next_available_stream_id()
            self._h2.send_headers(call, headers)
        except h2.exceptions.ProtocolError as error:
            raise Broken(f"no more calls on this connection to etcd: {error}") from error
        self._calls[call] = _Call()
        return int(call)

    def send(self, call: int, message: bytes, *, finish: bool) -> None:
        """One message, the last one with `finish`; what the window does not let through waits."""
        known = self._calls[call]
        known.backlog += b"\0" + len(message).to_bytes(4, "big") + message
        known.finish = finish
        self._push(call, known)

    def cancel(self, call: int) -> None:
        """Nobody waits for it any more."""
        if self._calls.pop(call, None) is not None:
            try:
                self._h2.reset_stream(call, h2.errors.ErrorCodes.CANCEL)
            except h2.exceptions.ProtocolError:
                return  # it has ended by itself

    def ping(self) -> None:
        """Ask for a sign of life. Raises Broken."""
        try:
            self._h2.ping(b"paasd\0\0\0")
        except h2.exceptions.ProtocolError as error:
            raise Broken(f"etcd has closed the connection: {error}") from error

    def data_to_send(self) -> bytes:
        return bytes(self._h2.data_to_send())

    def receive(self, data: bytes) -> list[Arrived | Ended]:
        """Raises Broken when the other side goes or does not speak HTTP/2."""
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            raise Broken(f"etcd does not speak HTTP/2: {error}") from error
        found: list[Arrived | Ended] = []
        for event in events:
            self._take(event, found)
        return found

    def _take(self, event: h2.events.Event, found: list[Arrived | Ended]) -> None:
        match event:
            case h2.events.DataReceived():
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                call = self._calls.get(event.stream_id)
                if call is not None:
                    call.received += event.data
                    found.extend(Arrived(event.stream_id, message) for message in _messages(call.received))
            case h2.events.TrailersReceived() | h2.events.ResponseReceived():
                headers = {str(name): str(value) for name, value in event.headers}
                if "grpc-status" in headers and self._calls.pop(event.stream_id, None) is not None:
                    status, text = int(headers["grpc-status"]), unquote(headers.get("grpc-message", ""))
                    found.append(Ended(event.stream_id, status, text))
            case h2.events.StreamReset() | h2.events.StreamEnded():
                if self._calls.pop(event.stream_id, None) is not None:
                    found.append(Ended(event.stream_id, 14, "the call was cut off"))
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                for number, call in list(self._calls.items()):
                    self._push(number, call)
            case h2.events.ConnectionTerminated():
                raise Broken("etcd closed the connection")

    def _push(self, number: int, call: _Call) -> None:
        while call.backlog:
            room = min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)
            if room <= 0:
                return
            chunk = bytes(call.backlog[:room])
            del call.backlog[:room]
            self._h2.send_data(number, chunk, end_stream=call.finish and not call.backlog)


def _messages(received: bytearray) -> list[bytes]:
    found = []
    while len(received) >= _PREFIX_BYTES:
        length = int.from_bytes(received[1:_PREFIX_BYTES], "big")
        if len(received) < _PREFIX_BYTES + length:
            break
        found.append(bytes(received[_PREFIX_BYTES : _PREFIX_BYTES + length]))
        del received[: _PREFIX_BYTES + length]
    return found
