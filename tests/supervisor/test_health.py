from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from paasd.model import HealthCheck
from paasd.supervisor.health import check, check_http, check_port


@asynccontextmanager
async def server(answer: bytes | None, *, close: bool = True) -> AsyncIterator[int]:
    """A server that says `answer` to everybody, or nothing at all for None; gives its port."""

    async def handle(stream: trio.SocketStream) -> None:
        await stream.receive_some(4096)
        if answer is None:
            await trio.sleep_forever()
        else:
            try:
                await stream.send_all(answer)
                if close:
                    await stream.aclose()
                else:
                    await trio.sleep_forever()
            except trio.BrokenResourceError:
                return

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def test_a_port_that_accepts_is_well_and_a_closed_one_is_named() -> None:
    async with server(b"") as port:
        assert await check_port("127.0.0.1", port, 1) is None
    failure = await check_port("127.0.0.1", port, 1)
    assert failure == f"Failed to make TCP connection to port {port}: connection refused"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", None),
        (b"HTTP/1.0 200 OK\r\n\r\nendless", None),
        (b"HTTP/1.1 503 Sorry\r\n\r\n", "received status code 503"),
        (b"HTTP/1.1 302 Found\r\nlocation: /x\r\n\r\n", "received status code 302"),
        (b"", "the connection was closed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000, "the answer is not HTTP"),
    ],
)
async def test_an_http_check_wants_a_200_and_nothing_else(answer: bytes, expected: str | None) -> None:
    async with server(answer) as port:
        failure = await check_http("127.0.0.1", port, "/health", 2)
    if expected is None:
        assert failure is None
    else:
        assert failure is not None
        assert failure.startswith(f"Failed to make HTTP request to '/health' on port {port}: ")
        assert expected in failure


async def test_a_check_never_takes_longer_than_its_timeout() -> None:
    async with server(None) as port:
        failure = await check_http("127.0.0.1", port, "/", 0.2)
    async with server(b"HTTP/1.1 200", close=False) as half:
        torn = await check_http("127.0.0.1", half, "/", 0.2)
    assert failure is not None
    assert "timed out after 0.20 seconds" in failure
    assert torn is not None
    assert "timed out" in torn


async def test_the_kind_of_check_decides_what_is_done() -> None:
    assert await check(HealthCheck(type="process"), "127.0.0.1", 1, 0.1) is None
    async with server(b"HTTP/1.1 500 No\r\n\r\n") as port:
        assert await check(HealthCheck(type="port"), "127.0.0.1", port, 1) is None
        assert await check(HealthCheck(type="http"), "127.0.0.1", port, 1) is not None
