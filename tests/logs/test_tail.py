import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import trio
import trio.testing

from paasd.config import LogsConfig
from paasd.logs import Line, Logs, SpoolTail, Stream, open_logs

from .conftest import Shim

CONFIG = LogsConfig(write_delay_s=0.001, spool_poll_s=0.2)


def make_line(stream: Stream, at_ns: int, payload: bytes) -> Line:
    return Line(source_id="app", source_type="APP/PROC/WEB", stream=stream, timestamp_ns=at_ns, payload=payload)


async def run_to_the_end(logs: Logs, shim: Shim, limit_bytes_per_s: int = -1) -> list[Line]:
    tail = SpoolTail(logs, shim.directory, "key", make_line, limit_bytes_per_s=limit_bytes_per_s)
    tail.finish()
    with trio.fail_after(10):
        await tail.run()
    return logs.read("app", limit=100_000)


async def test_output_becomes_lines_and_the_rest_is_flushed_at_the_end(shim: Shim, tmp_path: Path) -> None:
    shim.write(b"one\ntwo\nunfin")
    shim.write(b"ished")
    async with open_logs(CONFIG, tmp_path / "logs", time.time) as logs:
        assert [line.payload for line in await run_to_the_end(logs, shim)] == [b"one", b"two", b"unfinished"]


async def test_a_line_is_readable_well_before_the_poll_period_is_over(shim: Shim, tmp_path: Path) -> None:
    config = LogsConfig(write_delay_s=0.001, spool_poll_s=10)
    async with open_logs(config, tmp_path / "logs", time.time) as logs, trio.open_nursery() as nursery:
        tail = SpoolTail(logs, shim.directory, "key", make_line)
        nursery.start_soon(tail.run)
        async with logs.follow("app") as channel:
            await trio.testing.wait_all_tasks_blocked(0.01)
            shim.write(b"now\n")
            with trio.fail_after(3):
                assert (await channel.__anext__()).payload == b"now"
            shim.roll()
            shim.write(b"and in the next segment\n")
            with trio.fail_after(3):
                assert (await channel.__anext__()).payload == b"and in the next segment"
        tail.finish()


async def test_the_log_rate_limit_drops_lines_and_the_stream_counts_them(shim: Shim, tmp_path: Path) -> None:
    for index in range(100):
        shim.write(b"%04d56789\n" % index)
    async with open_logs(CONFIG, tmp_path / "logs", lambda: 1000.0) as logs:
        stored = await run_to_the_end(logs, shim, limit_bytes_per_s=300)
    assert len([line for line in stored if not line.tags]) == 30
    assert [line.tags for line in stored if line.tags] == [{"lost_lines": "70"}]
    assert b"exceeded log rate limit (300 bytes/sec)" in next(line for line in stored if line.tags).payload


async def test_a_gap_of_the_shim_is_a_line_with_its_count(shim: Shim, tmp_path: Path) -> None:
    shim.write(b"before\n")
    shim.lose(4096)
    shim.write(b"after\n")
    async with open_logs(CONFIG, tmp_path / "logs", time.time) as logs:
        stored = await run_to_the_end(logs, shim)
    assert [line.tags.get("lost_bytes") for line in stored] == [None, "4096", None]
    assert [line.payload for line in stored if not line.tags] == [b"before", b"after"]


async def test_a_spool_goes_on_where_it_was_left_even_within_a_line(shim: Shim, tmp_path: Path) -> None:
    shim.write(b"first\nsec")
    async with open_logs(CONFIG, tmp_path / "logs", time.time) as logs, trio.open_nursery() as nursery:
        nursery.start_soon(SpoolTail(logs, shim.directory, "key", make_line).run)
        with trio.fail_after(5):
            while not logs.read("app"):
                await trio.sleep(0.005)
        nursery.cancel_scope.cancel()
    shim.write(b"ond\n")
    async with open_logs(CONFIG, tmp_path / "logs", time.time) as logs:
        assert [line.payload for line in await run_to_the_end(logs, shim)] == [b"first", b"second"]


async def test_a_spool_that_is_abandoned_says_how_much_was_not_taken(shim: Shim, tmp_path: Path) -> None:
    async with open_logs(CONFIG, tmp_path / "logs", time.time) as logs, trio.open_nursery() as nursery:
        shim.write(b"taken\n")
        tail = SpoolTail(logs, shim.directory, "key", make_line)
        nursery.start_soon(tail.run)
        with trio.fail_after(5):
            while not logs.read("app"):
                await trio.sleep(0.005)
        shim.write(b"x" * 84)
        shim.lose(1000)
        await tail.abandon()
        await logs.flush()
        assert [line.tags for line in logs.read("app")] == [{}, {"lost_bytes": "1084"}]


_DAEMON = """
import sys, time, trio
from pathlib import Path
from paasd.config import LogsConfig
from paasd.logs import Line, SpoolTail, open_logs
def make_line(stream, at_ns, payload):
    return Line(source_id="app", source_type="APP", stream=stream, timestamp_ns=at_ns, payload=payload)
async def main():
    async with open_logs(LogsConfig(write_delay_s=0.001), Path(sys.argv[2]), time.time) as logs:
        await SpoolTail(logs, Path(sys.argv[1]), "key", make_line).run()
trio.run(main)
"""


async def test_across_ten_kills_of_the_daemon_every_line_is_stored_exactly_once(
    make_shim: Callable[[int], Shim], tmp_path: Path
) -> None:
    shim = make_shim(8 * 1024)
    written = 0
    for _ in range(10):
        daemon = subprocess.Popen([sys.executable, "-c", _DAEMON, str(shim.directory), str(tmp_path / "logs")])  # noqa: ASYNC220
        try:
            until = time.monotonic() + 0.6
            while time.monotonic() < until:
                shim.write(b"".join(b"line %d\n" % (written + step) for step in range(20)))
                written += 20
                await trio.sleep(0.001)
        finally:
            os.kill(daemon.pid, signal.SIGKILL)
            daemon.wait()
    assert written > 1000
    async with open_logs(CONFIG, tmp_path / "logs", time.time) as logs:
        stored = await run_to_the_end(logs, shim)
    assert [line.payload for line in stored] == [b"line %d" % index for index in range(written)]
