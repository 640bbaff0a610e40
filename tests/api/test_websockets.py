"""A WebSocket handshake is refused in the API's own words, whoever asks; no bytes end more than their connection."""

import contextlib
import json

import pytest
import trio

from tests.api.serving import Served

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
)


async def handshake(served: Served, path: str, more: str = "") -> tuple[str, bytes]:
    """Head and body of the answer to one, which ends the connection."""
    stream = await trio.open_tcp_stream(served.doors.host, served.doors.port)
    async with stream:
        await stream.send_all(HANDSHAKE.format(path=path, more=more).encode())
        answer = b""
        with trio.fail_after(5):
            async for piece in stream:
                answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode().lower(), body


@pytest.mark.parametrize("path", ["/", "/v3/info", "/v3/apps", "/nowhere"])
async def test_a_websocket_handshake_is_a_bad_request(
    served: Served, path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    token = (await served.login())["access_token"]
    capfd.readouterr()
    for more in ("", f"Authorization: bearer {token}\r\n", "X-Vcap-Request-Id: mine-1\r\n"):
        head, body = await handshake(served, path, more)
        assert head.startswith("http/1.1 400 "), head
        assert "content-type: application/json" in head
        assert "WebSockets are not served" in json.loads(body)["errors"][0]["detail"]
    assert "x-vcap-request-id: mine-1" in head
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err
    assert len((said.out + said.err).splitlines()) == 3, "one line for each, as for every request"


async def test_the_same_calls_without_the_header_are_served(served: Served) -> None:
    async with await served.admin() as http:
        for path in ("/", "/v3/info", "/v3/apps"):
            assert (await http.get(path)).status_code == 200


PLAIN = HANDSHAKE.format(path="/", more="").encode()
UPGRADED = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: %b\r\n\r\n"
)


@pytest.mark.parametrize(
    "request_bytes",
    [
        HANDSHAKE.format(path="/", more="Sec-WebSocket-Protocol: \xff\r\n").encode("latin-1"),
        HANDSHAKE.format(path="/v3", more="Sec-WebSocket-Extensions: \xff\r\n").encode("latin-1"),
        HANDSHAKE.format(path="/", more="")
        .replace("Connection: Upgrade", "Connection: upgrade,\xff")
        .encode("latin-1"),
        PLAIN + b"x",
        PLAIN + b"\x00" * 100,
        PLAIN + PLAIN,
        PLAIN.replace(b"Version: 13", b"Version: \xff"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        UPGRADED % b"A",
        UPGRADED % b"\xff",
        UPGRADED % b"AAMAAABkAAQCAAAAAAIAAAAA" + b"\x00" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
        b"\xff" * 100 + b"\r\n\r\n",
    ],
)
async def test_no_connection_ends_more_than_itself(served: Served, request_bytes: bytes) -> None:
    for _ in range(3):
        stream = await trio.open_tcp_stream(served.doors.host, served.doors.port)
        async with stream:
            await stream.send_all(request_bytes)
            with trio.move_on_after(0.2), contextlib.suppress(trio.BrokenResourceError):
                while await stream.receive_some(65536):
                    pass
        async with served.client() as http:
            assert (await http.get("/v3")).status_code == 200
