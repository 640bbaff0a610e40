import os
import stat
import subprocess
import sys
from pathlib import Path

import structlog
import trio

from paasd.router import Router
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
