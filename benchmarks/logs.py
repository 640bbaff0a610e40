"""Log lines through the whole path: spools on disk, splitting, limits, store; and how many of them arrive.

    python benchmarks/logs.py [--lines-per-s 16000] [--seconds 10] [--spools 8] [--line-bytes 120]

Part one writes at the budget's rate from another process and counts what is stored: 0 may be lost. Part two drains a
backlog as fast as it goes, and compares it with copying the same spool bytes through Python unparsed in the same run.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trio

from paasd.config import LogsConfig
from paasd.logs import Line, Logs, SpoolTail, Stream, open_logs
from paasd.logs.segments import record, segment

_SEGMENT_BYTES = 1024 * 1024


def write_spools(root: Path, rate: float, seconds: float, spools: int, line_bytes: int) -> None:
    """The writing side, run in a process of its own: chunks of a few lines, evenly over time and spools."""
    files = [root / f"spool-{number}" for number in range(spools)]
    handles = []
    for directory in files:
        directory.mkdir()
        handles.append([directory, 0, segment(directory, 0).open("ab", buffering=0)])
    total, written, started = int(rate * seconds), 0, time.monotonic()
    while written < total:
        due = total if rate * seconds > 0 and rate == float("inf") else int((time.monotonic() - started) * rate)
        while written < min(due, total):
            entry = handles[written // 8 % spools]
            lines = b"".join((b"%d " % (written + step)).ljust(line_bytes - 1, b".") + b"\n" for step in range(8))
            entry[2].write(record(time.time_ns(), 1, lines))
            written += 8
            if entry[2].tell() > _SEGMENT_BYTES:
                entry[1] += 1
                entry[2] = segment(entry[0], entry[1]).open("ab", buffering=0)
        time.sleep(0.002)
    print(written, flush=True)


def tail_of(logs: Logs, directory: Path) -> SpoolTail:
    def make_line(stream: Stream, at_ns: int, payload: bytes) -> Line:
        return Line(
            source_id=directory.name, source_type="APP/PROC/WEB", stream=stream, timestamp_ns=at_ns, payload=payload
        )

    return SpoolTail(logs, directory, directory.name, make_line)


def stored_lines(logs: Logs, spools: int) -> int:
    return sum(len(logs.read(f"spool-{number}", limit=10**9)) for number in range(spools))


async def at_rate(arguments: argparse.Namespace) -> None:
    config = LogsConfig(lines_per_source=10**7)
    with tempfile.TemporaryDirectory() as root:
        async with open_logs(config, Path(root) / "logs", time.time) as logs, trio.open_nursery() as nursery:
            command = [sys.executable, __file__, "--write", root, *sys.argv[1:]]
            writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220
            spools = [Path(root) / f"spool-{number}" for number in range(arguments.spools)]
            while not all(path.exists() for path in spools):  # noqa: ASYNC110
                await trio.sleep(0.01)
            busy, started = time.process_time(), time.monotonic()
            tails = [tail_of(logs, path) for path in spools]
            for tail in tails:
                nursery.start_soon(tail.run)
            output, _ = await trio.to_thread.run_sync(writer.communicate)
            took_s = time.monotonic() - started
            for tail in tails:
                tail.finish()
            behind = time.monotonic()
            while nursery.child_tasks:  # noqa: ASYNC110
                await trio.sleep(0.005)
            behind_s = time.monotonic() - behind
            await logs.flush()
            busy = time.process_time() - busy
            written, stored = int(output), stored_lines(logs, arguments.spools)
            print(
                f"written {written} lines in {took_s:.1f} s = {written / took_s:.0f} lines/s, {arguments.spools} spools"
            )
            print(f"stored  {stored} lines, lost {written - stored}, {behind_s * 1000:.0f} ms behind at the end")
            print(f"daemon CPU {busy / took_s * 100:.0f} % of a core")


async def backlog(arguments: argparse.Namespace) -> None:
    config = LogsConfig(lines_per_source=10**7)
    with tempfile.TemporaryDirectory() as root:
        write_spools(Path(root), float("1e9"), 400_000 / 1e9, arguments.spools, arguments.line_bytes)
        spools = [Path(root) / f"spool-{number}" for number in range(arguments.spools)]
        size = sum(path.stat().st_size for spool in spools for path in spool.iterdir())
        started = time.monotonic()
        for spool in spools:
            for path in sorted(spool.iterdir()):
                (Path(root) / "copy").write_bytes(path.read_bytes())
        copied_s = time.monotonic() - started
        async with open_logs(config, Path(root) / "logs", time.time) as logs:
            started = time.monotonic()
            async with trio.open_nursery() as nursery:
                for path in spools:
                    tail = tail_of(logs, path)
                    tail.finish()
                    nursery.start_soon(tail.run)
            took_s = time.monotonic() - started
            stored = stored_lines(logs, arguments.spools)
        print(
            f"backlog {stored} lines ({size / 1e6:.0f} MB) in {took_s:.2f} s = {stored / took_s:.0f} lines/s,", end=" "
        )
        print(f"{took_s / copied_s:.0f} times a plain copy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines-per-s", type=float, default=16_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--spools", type=int, default=8)
    parser.add_argument("--line-bytes", type=int, default=120)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        write_spools(arguments.write, arguments.lines_per_s, arguments.seconds, arguments.spools, arguments.line_bytes)
        return
    trio.run(at_rate, arguments)
    trio.run(backlog, arguments)


if __name__ == "__main__":
    main()
