"""Listeners: ports that are taken, sockets left behind, too many connections, the end."""

import socket
import time
from pathlib import Path

import pytest
import trio

from paasd.api.server import PortTaken
from paasd.errors import ConfigError
from tests.api.serving import serve, with_api


async def test_a_taken_port_is_named_with_the_knob_that_changes_it(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.RaisesGroup(PortTaken, allow_unwrapped=True, flatten_subgroups=True) as caught:
            async with serve(tmp_path, with_api(port=port)):
                raise AssertionError("the port was not taken")
    assert f"127.0.0.1:{port}" in repr(caught.value)
    assert "api.port" in repr(caught.value)


async def test_a_socket_left_by_a_killed_daemon_is_replaced(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "api.sock"))
    left.close()
    async with serve(tmp_path) as served, served.root_client() as http:
        assert (await http.get("/paasd/v1/healthz")).text == "ok\n"
        assert (tmp_path / "api.sock").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "api.sock").exists()


async def test_a_socket_path_that_the_kernel_cannot_hold_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    with pytest.RaisesGroup(ConfigError, allow_unwrapped=True, flatten_subgroups=True) as caught:
        async with serve(deep):
            raise AssertionError("the path was taken")
    assert "shorter data directory" in repr(caught.value)


async def test_more_connections_than_allowed_are_closed_and_the_others_served(tmp_path: Path) -> None:
    async with serve(tmp_path, with_api(connections_limit=8)) as served:
        held = [await trio.open_tcp_stream(served.doors.host, served.doors.port) for _ in range(8)]
        await held[-1].send_all(b"GET /paasd/v1/healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await held[-1].receive_some(12)) == b"HTTP/1.1 200"
        ninth = await trio.open_tcp_stream(served.doors.host, served.doors.port)
        with trio.fail_after(5):
            assert await ninth.receive_some(1) == b""
        for stream in (*held, ninth):
            await stream.aclose()


async def test_a_connection_counts_no_longer_than_its_client_is_there(tmp_path: Path) -> None:
    async with serve(tmp_path, with_api(connections_limit=8)) as served:
        token = (await served.login())["access_token"]
        for number in range(30):
            async with served.client(token) as http:
                answer = await http.post("/v3/organizations", json={"name": f"org-{number}"})
                assert answer.status_code == 201


async def test_idle_connections_do_not_hold_up_the_end(tmp_path: Path) -> None:
    async with serve(tmp_path, with_api(grace_s=30.0)) as served:
        idle = await trio.open_tcp_stream(served.doors.host, served.doors.port)
        await idle.send_all(b"GET /paasd/v1/healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await idle.receive_some(12)) == b"HTTP/1.1 200"
        began = time.monotonic()
    assert time.monotonic() - began < 15
    await idle.aclose()


async def test_a_request_in_progress_is_finished_before_the_end(tmp_path: Path) -> None:
    async with serve(tmp_path, with_api(grace_s=30.0)) as served:
        token = (await served.login())["access_token"]
        stream = await trio.open_tcp_stream(served.doors.host, served.doors.port)
        head = (
            f"POST /v3/organizations HTTP/1.1\r\nHost: x\r\nAuthorization: bearer {token}\r\nContent-Length: 15\r\n\r\n"
        )
        await stream.send_all(head.encode() + b'{"name":')
        # The head has been taken when a second request on another connection is answered.
        async with served.client() as http:
            assert (await http.get("/")).status_code == 200

        async def finish() -> None:
            await stream.send_all(b'"last"}')
            assert (await stream.receive_some(12)) == b"HTTP/1.1 201"

        async with trio.open_nursery() as nursery:
            nursery.start_soon(finish)
            await trio.lowlevel.checkpoint()
    await stream.aclose()


@pytest.mark.parametrize("both", [True, False])
async def test_who_says_in_two_ways_how_long_a_request_is_sends_no_second_one(tmp_path: Path, *, both: bool) -> None:
    async with serve(tmp_path) as served:
        stream = await trio.open_tcp_stream(served.doors.host, served.doors.port)
        length = b"Content-Length: 5\r\n" if both else b""
        head = b"POST /nowhere HTTP/1.1\r\nHost: x\r\n" + length + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        await stream.send_all(head + b"GET /paasd/v1/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        taken = b""
        with trio.fail_after(10):
            while some := await stream.receive_some(65536):
                taken += some
        assert taken.count(b"HTTP/1.1 404") == 1
        assert taken.count(b"HTTP/1.1 200") == (0 if both else 1)
        await stream.aclose()
