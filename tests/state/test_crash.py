"""When the process is killed or the disk is full nothing acknowledged is lost, and nothing is half there."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec
import pytest
import trio

from paasd.state import DiskFull, ThreadRunner
from tests.disks import fill as fill_disk
from tests.disks import small_disk_at
from tests.state.things import QUIET, AddThing, Grow, Thing, add_thing, fill, open_things

WRITER = """
import sys, trio
from pathlib import Path
from paasd.state import ThreadRunner
from tests.state.things import AddThing, add_thing, open_things

async def write(database, number):
    for turn in range(100000):
        thing = await database.write(add_thing, AddThing(f"{sys.argv[2]}-{number}-{turn}"))
        print(thing.name, flush=True)

async def main():
    async with (
        open_things(Path(sys.argv[1]), seed=int(sys.argv[2]), runner=ThreadRunner(), sync=True) as database,
        trio.open_nursery() as nursery,
    ):
        for number in range(8):
            nursery.start_soon(write, database, number)

trio.run(main)
"""


async def names_in(directory: Path) -> tuple[list[str], Path, int]:
    async with open_things(directory) as database:
        with database.read() as tx:
            return [thing.name for thing in tx.all(Thing)], database.path, database.index


def test_killed_in_the_middle_of_writing_no_acknowledged_write_is_lost(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    for turn in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(turn)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        ) as process:
            assert process.stdout is not None
            for _ in range(40 + 17 * turn):
                acknowledged.append(process.stdout.readline().decode().strip())
            process.send_signal(signal.SIGKILL)
            acknowledged += [line.decode().strip() for line in process.stdout if line.endswith(b"\n")]
    assert len(acknowledged) > 300
    names, path, index = trio.run(names_in, tmp_path)
    assert set(acknowledged) <= set(names)
    assert len(names) - len(acknowledged) <= 5 * 8, "only what was under way may be there besides"
    connection = apsw.Connection(str(path))
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    entries = connection.execute("SELECT count(*), max(position) FROM state_entries").fetchall()
    assert entries == [(index, index)]
    connection.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk_at(tmp_path / "small", "3m") as mount:
        yield mount


@pytest.mark.root
async def test_a_full_disk_refuses_writes_loses_nothing_and_is_gone_past_when_there_is_space(small_disk: Path) -> None:
    written = []
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_000_000))
    async with open_things(small_disk, runner=ThreadRunner(), sync=True) as database:
        with pytest.raises(DiskFull, match=r"nothing was changed\. Free space"):
            for number in range(200):
                await database.write(fill, Grow(f"t{number}", by=20))
                written.append(number)
        assert 3 < len(written) < 200
        with database.read() as tx:
            assert tx.count(Thing) == 0
        for number in range(3):
            with pytest.raises(DiskFull):
                await database.write(fill, Grow(f"still full {number}", by=20))
        ballast.unlink()
        await database.write(add_thing, AddThing("after"))
        index = database.index
    async with open_things(small_disk, runner=ThreadRunner(), sync=True) as database:
        assert database.index == index == len(written) + 2
        with database.read() as tx:
            assert tx.find(Thing, name="after") is not None


@pytest.mark.root
async def test_a_full_disk_that_keeps_the_log_from_being_trimmed_stops_nothing(small_disk: Path) -> None:
    short = msgspec.structs.replace(QUIET, log_entries=10)
    async with open_things(small_disk, runner=ThreadRunner()) as database:
        for number in range(30):
            await database.write(add_thing, AddThing(f"thing {number}"))
    async with open_things(small_disk, short, seed=1, runner=ThreadRunner()) as database:
        ballast = fill_disk(small_disk)
        for _ in range(2):
            with pytest.raises(DiskFull):
                await database.write(fill, Grow("refused", by=20))
        ballast.unlink()
        await database.write(add_thing, AddThing("after"))
        await database.write(add_thing, AddThing("and then"))
        path = database.path
    connection = apsw.Connection(str(path))
    assert connection.execute("SELECT count(*) FROM state_entries").fetchall()[0][0] < 14
    connection.close()


@pytest.mark.root
async def test_a_full_disk_at_the_first_start_is_a_clear_error(small_disk: Path) -> None:
    ballast = fill_disk(small_disk)
    with pytest.raises(DiskFull, match="no space left"):
        async with open_things(small_disk):
            pass
    ballast.unlink()
    async with open_things(small_disk) as database:
        await database.write(add_thing, AddThing("a"))


async def test_a_file_that_cannot_be_opened_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "state.db").mkdir()
    with pytest.raises(Exception, match=r"state\.db cannot be opened") as caught:
        async with open_things(tmp_path):
            pass
    assert "check that" in str(caught.value)


async def test_a_slow_disk_does_not_stall_the_event_loop(tmp_path: Path) -> None:
    """Writes run in a thread, so the loop goes on while the disk syncs."""
    turns = 0

    async def spin() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with (
        open_things(tmp_path, runner=ThreadRunner(), sync=True) as database,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(spin)
        for number in range(20):
            before = turns
            await database.write(add_thing, AddThing(f"n{number}"))
            assert turns > before + 2, "the loop turned while the write was under way"
        nursery.cancel_scope.cancel()
