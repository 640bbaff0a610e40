import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from paasd.router.xds.grpc import Closed, GrpcServer, Opened, ProtocolBroken, Received


class Client:
    def __init__(self, window_bytes: int = 65_535) -> None:
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window_bytes})
        self.server = GrpcServer()
        self.received = bytearray()
        self.trailers: dict[bytes, bytes] = {}

    def talk(self) -> list[object]:
        """Carry bytes both ways once; what the server made of them."""
        news = list(self.server.receive(self.h2.data_to_send()))
        for event in self.h2.receive_data(self.server.data_to_send()):
            if isinstance(event, h2.events.DataReceived):
                self.received += event.data or b""
            elif isinstance(event, h2.events.TrailersReceived):
                self.trailers = dict(event.headers)  # type: ignore[arg-type]
        return news

    def call(self, path: str) -> None:
        headers = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "x")]
        self.h2.send_headers(1, headers)


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def test_messages_split_and_joined_at_will_arrive_whole() -> None:
    client = Client()
    client.call("/service/Method")
    assert client.talk() == [Opened(1, "/service/Method")]
    data = framed(b"first") + framed(b"") + framed(b"third")
    for part in (data[:3], data[3:12], data[12:]):
        client.h2.send_data(1, part)
    assert client.talk() == [Received(1, b"first"), Received(1, b""), Received(1, b"third")]
    client.h2.end_stream(1)
    assert client.talk() == [Closed(1)]
    client.server.send(1, b"nobody hears this")


def test_a_large_answer_waits_for_the_window_and_then_goes_on() -> None:
    client = Client(window_bytes=1000)
    client.call("/a/b")
    client.talk()
    client.talk()
    message = bytes(range(256)) * 40
    client.server.send(1, message)
    client.talk()
    assert 0 < len(client.received) <= 1000
    assert not client.server.idle(1)
    for _ in range(20):
        client.h2.increment_flow_control_window(1000, 1)
        client.h2.increment_flow_control_window(1000)
        client.talk()
    assert bytes(client.received) == framed(message)
    assert client.server.idle(1)


def test_many_megabytes_come_in_without_stalling() -> None:
    client = Client()
    client.call("/a/b")
    client.talk()
    client.talk()
    left, news = 40 * 1024 * 1024, []
    message = b"x" * (1024 * 1024)
    data = memoryview(framed(message) * 40)
    while data:
        size = min(len(data), client.h2.local_flow_control_window(1), client.h2.max_outbound_frame_size)
        assert size > 0
        client.h2.send_data(1, bytes(data[:size]))
        data = data[size:]
        news += client.talk()
    assert sum(len(one.message) for one in news if isinstance(one, Received)) == left


def test_an_unknown_method_is_refused_with_its_status() -> None:
    client = Client()
    client.call("/who/Knows")
    client.talk()
    client.server.refuse(1, "not here")
    client.talk()
    assert client.trailers[b"grpc-status"] == b"12"


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"])
def test_what_is_not_http2_ends_the_connection(data: bytes) -> None:
    server = GrpcServer()
    with pytest.raises(ProtocolBroken):
        server.receive(data + b"x" * 64)


def test_a_compressed_message_ends_the_connection() -> None:
    client = Client()
    client.call("/a/b")
    client.talk()
    client.h2.send_data(1, b"\1" + framed(b"x")[1:])
    with pytest.raises(ProtocolBroken, match="compressed"):
        client.talk()
