import contextlib
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import h2.config
import h2.connection
import pytest
import structlog
import trio
import trio.testing

from paasd.router import AccessEntry, Router
from paasd.router.router import _report
from paasd.router.xds import DiscoveryService, ResourceStore, listen, serve_discovery
from paasd.router.xds.messages import StreamAccessLogsMessage


def batch(count: int) -> bytes:
    message = StreamAccessLogsMessage()
    for _ in range(count):
        message.http_logs.log_entry.add().request.path = "/"
    encoded: bytes = message.SerializeToString()
    return encoded


def service() -> DiscoveryService:
    return DiscoveryService(ResourceStore(), structlog.get_logger(), chunk=10, access_backlog=2)


async def test_entries_beyond_the_backlog_are_dropped_and_counted_and_reading_goes_on() -> None:
    tested = service()
    for size in (3, 4, 5, 6):
        tested.accept_entries(batch(size))
    assert tested.dropped_entries == 5 + 6
    assert [len(await tested.access_out.receive()) for _ in range(2)] == [3, 4]
    tested.accept_entries(batch(1))
    assert len(await tested.access_out.receive()) == 1
    assert tested.dropped_entries == 11


async def test_a_peer_that_speaks_nonsense_or_leaves_hurts_nobody(tmp_path: Path, nursery: trio.Nursery) -> None:
    path = tmp_path / "control.sock"
    listener = await listen(path, os.geteuid())
    nursery.start_soon(serve_discovery, service(), listener)
    for data in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100):
        async with await trio.open_unix_socket(path) as stream:
            await stream.send_all(data)
            with trio.fail_after(5):
                await stream.send_eof()
                while await stream.receive_some(1024):
                    pass


class Envoy:
    """One that says whatever it likes on the control socket."""

    def __init__(self, method: str) -> None:
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.h2.send_headers(1, [(":method", "POST"), (":path", method), (":scheme", "http"), (":authority", "x")])

    async def say(self, path: Path, message: bytes) -> None:
        """Returns when the router has closed the connection."""
        self.h2.send_data(1, b"\0" + len(message).to_bytes(4, "big") + message)
        async with await trio.open_unix_socket(path) as stream:
            await stream.send_all(self.h2.data_to_send())
            with trio.fail_after(5), contextlib.suppress(trio.BrokenResourceError):
                while await stream.receive_some(1024):
                    pass


GARBAGE = b"\x12\x05\x0a\x03\x0a\x01\xff\xff"


@pytest.mark.parametrize(
    "method",
    [
        "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs",
        "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
    ],
)
async def test_a_message_that_is_none_ends_its_connection_only(
    tmp_path: Path, nursery: trio.Nursery, method: str
) -> None:
    path = tmp_path / "control.sock"
    listener = await listen(path, os.geteuid())
    nursery.start_soon(serve_discovery, service(), listener)
    for _ in range(3):
        await Envoy(method).say(path, GARBAGE)


async def test_an_entry_that_cannot_be_read_costs_its_batch_only() -> None:
    tested, told = service(), list[list[AccessEntry]]()

    class Reader:
        def read_entry(self, entry: Any) -> AccessEntry:
            if entry.request.path == "/odd":
                raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
            return cast(AccessEntry, entry)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_report, tested, cast(Router, Reader()), told.append)
        odd = StreamAccessLogsMessage()
        odd.http_logs.log_entry.add().request.path = "/odd"
        for message in (batch(1), odd.SerializeToString(), batch(2)):
            tested.accept_entries(message)
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [len(entries) for entries in told] == [1, 2]


async def test_a_stale_socket_is_replaced_and_only_its_user_may_connect(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    for _ in range(2):
        listener = await listen(path, os.geteuid())
        await trio.aclose_forcefully(listener)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_launcher_says_why_it_cannot_start(tmp_path: Path) -> None:
    from paasd.lasting import launch

    command = [sys.executable, "-I", "-S", launch.__file__, "-1", "", "0", "0", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "No such file" in done.stderr


async def test_envoy_comes_before_what_else_wants_the_processor(router: Router) -> None:
    assert os.geteuid() != 0 or os.getpriority(os.PRIO_PROCESS, router.engine.pid or 0) == -10
    session = Path(f"/proc/{router.engine.pid}/autogroup")
    assert os.geteuid() != 0 or not session.exists() or session.read_text().endswith("nice -10\n")
