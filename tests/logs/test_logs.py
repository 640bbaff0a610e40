import time
from pathlib import Path

import msgspec
import pytest
import trio

from paasd.config import LogsConfig
from paasd.logs import Line, open_logs

CONFIG = LogsConfig(write_delay_s=0.001)


def line(payload: bytes, at_ns: int, source: str = "app", kind: str = "APP/PROC/WEB") -> Line:
    return Line(source_id=source, source_type=kind, timestamp_ns=at_ns, payload=payload)


async def test_reads_include_the_start_exclude_the_end_and_take_negative_times(tmp_path: Path) -> None:
    async with open_logs(CONFIG, tmp_path / "logs", time.time) as logs:
        for at_ns in (10, 20, 30, 40):
            logs.append(line(b"%d" % at_ns, at_ns))
        logs.append(line(b"other", 25, source="other"))
        await logs.flush()
        assert [each.payload for each in logs.read("app", 20, 40)] == [b"20", b"30"]
        assert len(logs.read("app", -6795364578871345152, 2**70)) == 4
        assert [each.timestamp_ns for each in logs.read("app", limit=2, descending=True)] == [40, 30]
        assert [each.timestamp_ns for each in logs.read("app", limit=2)] == [10, 20]
        assert logs.read("nobody") == []


async def test_lines_come_back_as_they_went_in_and_survive_a_restart(tmp_path: Path) -> None:
    wanted = Line(
        source_id="app",
        instance_id="3",
        source_type="RTR",
        stream="ERR",
        timestamp_ns=5,
        payload=b"\x00\xff\x1b[2J",
        tags={"status": "200"},
    )
    async with open_logs(CONFIG, tmp_path, time.time) as logs:
        logs.append(wanted)
    async with open_logs(CONFIG, tmp_path, time.time) as logs:
        assert logs.read("app") == [wanted]


async def test_source_types_select_whole_types_and_what_is_below_them(tmp_path: Path) -> None:
    async with open_logs(CONFIG, tmp_path, time.time) as logs:
        for at_ns, kind in enumerate(("APP/PROC/WEB", "APP/TASK/x", "RTR", "APPLE")):
            logs.append(line(b"", at_ns, kind=kind))
        await logs.flush()
        assert [each.source_type for each in logs.read("app", source_types=["APP"])] == ["APP/PROC/WEB", "APP/TASK/x"]
        assert [each.source_type for each in logs.read("app", source_types=["RTR", "APPLE"])] == ["RTR", "APPLE"]


async def test_a_source_above_its_rate_loses_lines_which_the_stream_counts(tmp_path: Path) -> None:
    config = msgspec.structs.replace(CONFIG, source_lines_per_s=10)
    async with open_logs(config, tmp_path, lambda: 1000.0) as logs:
        for index in range(25):
            logs.append(line(b"%d" % index, index))
        logs.append(line(b"neighbour", 1, source="other"))
        await logs.flush()
        stored = logs.read("app")
        assert len([each for each in stored if not each.tags]) == 10
        assert [each.tags for each in stored if each.tags] == [{"lost_lines": "15"}]
        assert [each.payload for each in logs.read("other")] == [b"neighbour"]


async def test_a_full_queue_drops_and_counts_and_never_blocks(tmp_path: Path) -> None:
    config = msgspec.structs.replace(CONFIG, queue_limit_lines=100)
    async with open_logs(config, tmp_path, time.time) as logs:
        for index in range(1000):  # no checkpoint in between: the writer cannot run
            logs.append(line(b"x", index))
        await logs.flush()
        stored = logs.read("app", limit=1000)
        told = sum(int(each.tags["lost_lines"]) for each in stored if each.tags)
        kept = len([each for each in stored if not each.tags])
        assert (kept, told) == (100, 900)
        assert logs.lines_dropped == 900


async def test_followers_get_new_lines_and_only_a_slow_one_loses_with_a_count(tmp_path: Path) -> None:
    config = msgspec.structs.replace(CONFIG, follower_limit_lines=10)
    async with open_logs(config, tmp_path, time.time) as logs:
        logs.append(line(b"old", 0))
        await logs.flush()
        async with logs.follow("app") as quick, logs.follow("app") as slow:
            seen: list[bytes] = []
            for index in range(1, 26):
                logs.append(line(b"%d" % index, index))
                await logs.flush()
                with trio.fail_after(10):
                    seen.append((await quick.__anext__()).payload)
            assert seen == [b"%d" % index for index in range(1, 26)]
            with trio.fail_after(10):
                late = [await slow.__anext__() for _ in range(11)]
            assert [each.payload for each in late[:10]] == seen[:10]
            assert late[10].tags == {"lost_lines": "15"}
            logs.append(line(b"again", 99))
            with trio.fail_after(10):
                assert (await slow.__anext__()).payload == b"again"


async def test_followers_end_when_the_logs_close(tmp_path: Path) -> None:
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            ended = trio.Event()

            async def follow(task_status: trio.TaskStatus[None]) -> None:
                async with logs.follow("app") as channel:
                    task_status.started()
                    async for _ in channel:
                        pass
                ended.set()

            async with open_logs(CONFIG, tmp_path, time.time) as logs:
                await nursery.start(follow)
            await ended.wait()


async def test_a_talkative_source_removes_only_its_own_lines(tmp_path: Path) -> None:
    config = msgspec.structs.replace(CONFIG, lines_per_source=100)
    async with open_logs(config, tmp_path, time.time) as logs:
        now_ns = time.time_ns()
        logs.append(line(b"keep me", now_ns, source="quiet"))
        for index in range(1000):
            logs.append(line(b"%d" % index, now_ns + index))
        await logs.flush()
        await logs.trim()
        kept = logs.read("app", limit=2000)
        assert [each.payload for each in kept] == [b"%d" % index for index in range(900, 1000)]
        assert len(logs.read("quiet")) == 1


async def test_old_lines_and_lines_above_the_size_limit_go_oldest_first(tmp_path: Path) -> None:
    config = msgspec.structs.replace(CONFIG, age_limit_s=100.0, size_limit_bytes=4 * 1024 * 1024)
    now = 10_000.0
    async with open_logs(config, tmp_path, lambda: now) as logs:
        logs.append(line(b"old", int((now - 101) * 1e9)))
        logs.append(line(b"new", int((now - 99) * 1e9)))
        await logs.flush()
        await logs.trim()
        assert [each.payload for each in logs.read("app")] == [b"new"]
        for index in range(8000):
            logs.append(line(b"x" * 1000, int(now * 1e9) + index))
            if index % 1000 == 999:
                await logs.flush()
        await logs.trim()
        left = logs.read("app", limit=10_000)
        assert 1000 < len(left) < 5000
        assert left[-1].timestamp_ns == int(now * 1e9) + 7999


async def test_a_damaged_store_is_put_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    (tmp_path / "lines.db").write_bytes(b"this is no database" * 1000)
    async with open_logs(CONFIG, tmp_path, time.time) as logs:
        logs.append(line(b"fresh", 1))
        await logs.flush()
        assert [each.payload for each in logs.read("app")] == [b"fresh"]
    assert (tmp_path / "lines.db.damaged").exists()


@pytest.mark.root
async def test_a_full_disk_holds_lines_back_says_so_and_recovers(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    await trio.run_process(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)])
    try:
        async with open_logs(CONFIG, disk, time.time) as logs:
            ballast = disk / "ballast"
            with ballast.open("wb", buffering=0) as file:
                try:
                    while file.write(b"x" * 4096):
                        pass
                except OSError:
                    pass
            logs.append(line(b"x" * 60_000, 1))
            with trio.fail_after(10):
                while logs.write_error is None:
                    await trio.sleep(0.01)
            assert "full" in logs.write_error
            ballast.unlink()
            with trio.fail_after(10):
                await logs.flush()
            assert len(logs.read("app")) == 1
            assert logs.write_error is None
    finally:
        await trio.run_process(["umount", str(disk)])
