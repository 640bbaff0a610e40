"""From one log to another while clients write: none of the writes is lost or refused."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from paasd.errors import Unavailable
from paasd.state import Database, LocalLog, MemoryLog, StateDamaged, ThreadRunner
from paasd.state.checking import contents
from paasd.state.engine import read_standing
from paasd.state.log import FeedLimits, open_feed_log
from paasd.state.log.entries import decode_entry
from tests.state.replication.nodes import Cluster, three_voters
from tests.state.things import AddThing, Grow, Thing, add_thing, grow, open_things


async def switch(database: Database, log: MemoryLog) -> None:
    log.identity = database.log_identity
    await database.use_log(log.client(), "etcd", start=log.start)


def level(database: Database) -> int:
    return int(database._replica.connection.execute("PRAGMA synchronous").fetchall()[0][0])


async def test_a_node_that_is_alone_goes_over_to_a_shared_log_under_writes(
    tmp_path: Path, autojump_clock: object
) -> None:
    log = MemoryLog(1)
    counted: list[int] = []
    async with open_things(tmp_path / "one") as one:
        await one.write(add_thing, AddThing("a"))
        stop = False

        async def client() -> None:
            while not stop:
                counted.append(await one.write(grow, Grow("a")))
                await trio.sleep(0.001)

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(client)
            await trio.sleep(0.1)
            before = len(counted)
            log.plan("unavailable", "lose_request", "lose_answer")
            await switch(one, log)
            assert not log.planned
            await trio.sleep(0.1)
            stop = True
        assert before > 0
        assert sorted(counted) == list(range(len(counted)))
        base = min(log.entries)
        assert decode_entry(log.entries[base]).payload == b""
        assert sorted(log.entries) == list(range(base, one.index + 1))
        assert len(log.entries) > 50


async def test_commits_are_synced_as_the_log_demands(tmp_path: Path) -> None:
    log = MemoryLog(1)
    async with open_things(tmp_path, sync=True) as database:
        await database.write(add_thing, AddThing("a"))
        assert level(database) == 2
        await switch(database, log)
        assert level(database) == 1
        await database.write(grow, Grow("a"))
    standing = read_standing(tmp_path / "state.db")
    assert standing is not None
    assert (standing.kind, standing.base) == ("etcd", 0)


async def test_a_shared_log_is_never_left_by_mistake(tmp_path: Path) -> None:
    log = MemoryLog(1)
    async with open_things(tmp_path) as database:
        await database.write(add_thing, AddThing("a"))
        await switch(database, log)
    with pytest.raises(StateDamaged, match="shares its log"):
        async with open_things(tmp_path, log=LocalLog()):
            pass
    async with open_things(tmp_path, log=log.client(), start=log.start) as database:
        assert await database.write(grow, Grow("a")) == 0


class Crash(Exception):
    pass


def before_the_base(log: MemoryLog) -> None:
    async def start(identity: str, index: int, data: bytes) -> None:
        raise Crash

    log.start = start  # type: ignore[method-assign]


def after_the_base(log: MemoryLog) -> None:
    real = log.start

    async def start(identity: str, index: int, data: bytes) -> None:
        await real(identity, index, data)
        raise Crash

    log.start = start  # type: ignore[method-assign]


async def crash_and_repair(folder: Path, plant: Callable[[MemoryLog], None]) -> None:
    log = MemoryLog(1)
    real = log.start
    with pytest.RaisesGroup(Crash, Unavailable):
        async with open_things(folder) as database:
            await database.write(add_thing, AddThing("a"))
            plant(log)
            await switch(database, log)
    standing = read_standing(folder / "state.db")
    assert standing is not None
    assert (standing.kind, standing.base) == ("etcd", standing.index)
    with pytest.raises(StateDamaged, match="shares its log"):
        async with open_things(folder):
            pass
    log.start = real  # type: ignore[method-assign]
    log.plan("unavailable", "lose_answer")
    for expected in range(3):
        async with open_things(folder, log=log.client(), start=log.start, seed=expected) as database:
            assert await database.write(grow, Grow("a")) == expected
    assert min(log.entries) == standing.base
    assert read_standing(folder / "state.db") != standing


async def test_a_crash_before_the_base_is_repaired(tmp_path: Path, autojump_clock: object) -> None:
    await crash_and_repair(tmp_path, before_the_base)


async def test_a_crash_after_the_base_is_repaired(tmp_path: Path, autojump_clock: object) -> None:
    await crash_and_repair(tmp_path, after_the_base)


async def test_a_crash_before_the_flag_leaves_a_node_that_is_alone(tmp_path: Path) -> None:
    def crash(kind: str) -> None:
        raise Crash

    with pytest.RaisesGroup(Crash, Unavailable):
        async with open_things(tmp_path) as database:
            await database.write(add_thing, AddThing("a"))
            database._replica.leave_local = crash  # type: ignore[method-assign, assignment]
            await switch(database, MemoryLog(1))
    async with open_things(tmp_path) as database:
        assert await database.write(grow, Grow("a")) == 0


async def test_others_follow_without_a_gap_while_the_first_node_changes_its_log(
    tmp_path: Path, autojump_clock: object
) -> None:
    cluster, log = Cluster(tmp_path, 3), MemoryLog(3)
    async with cluster.node("n0", LocalLog()) as first, cluster.node("n1") as second, cluster.node("n2") as third:
        cluster.hint = "n0"
        await first.write(add_thing, AddThing("a"))
        counted: list[int] = []
        stop = False

        async def client(database: Database) -> None:
            while not stop:
                counted.append(await database.write(grow, Grow("a")))
                await trio.sleep(0.001)

        async with trio.open_nursery() as nursery:
            for database in (first, second, third) * 2:
                nursery.start_soon(client, database)
            await trio.sleep(0.1)
            await switch(first, log)
            await trio.sleep(0.1)
            await second.use_log(log.client(), "etcd")
            await third.use_log(log.client(), "etcd")
            await trio.sleep(0.1)
            cluster.hint = None
            await trio.sleep(0.1)
            stop = True
        assert sorted(counted) == list(range(len(counted)))
        assert len(counted) > 100
        for database in (first, second, third):
            await database.catch_up()
        assert contents(first.path) == contents(second.path) == contents(third.path)
        for guid in ("n1", "n2"):
            standing = read_standing(tmp_path / guid / "state.db")
            assert standing is not None
            assert standing.kind == "etcd"


async def test_a_voter_becomes_a_follower_with_an_append_under_way(tmp_path: Path, autojump_clock: object) -> None:
    """The same bytes go to the same index by the other way, so the write is there once."""
    async with three_voters(tmp_path) as (cluster, databases, log):
        third = databases[2]
        await third.write(add_thing, AddThing("a"))
        cluster.hint = None

        peers = cluster.nodes["n2"].peers
        answer: list[int] = []

        async def write() -> None:
            answer.append(await third.write(grow, Grow("a"), request_id="r"))

        log.plan("lose_answer")
        async with open_feed_log(peers, lambda: cluster.voters[:2], limits=FeedLimits()) as feed:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write)
                await trio.lowlevel.checkpoint()
                await third.use_log(feed, "feed")
            assert answer == [0]
            assert await third.write(grow, Grow("a"), request_id="r") == 0
            assert await third.write(grow, Grow("a")) == 1
            standing = read_standing(third.path)
            assert standing is not None
            assert standing.kind == "feed"


KILLED = """
import sys, trio
from pathlib import Path
from paasd.state import MemoryLog, ThreadRunner
from tests.state.things import AddThing, add_thing, open_things

async def write(database, number):
    for turn in range(100000):
        thing = await database.write(add_thing, AddThing(f"{number}-{turn}"))
        print(thing.name, flush=True)

async def hang(identity, index, data):
    print("switching", flush=True)
    await trio.sleep_forever()

async def main():
    async with open_things(Path(sys.argv[1]), runner=ThreadRunner(), sync=True) as database:
        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(write, database, number)
            await trio.sleep(0.2)
            await database.use_log(MemoryLog(1, identity=database.log_identity).client(), "etcd", start=hang)

trio.run(main)
"""


def test_killed_in_the_middle_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    acknowledged = []
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3], text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "switching":
                break
            acknowledged.append(line.strip())
        process.kill()
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
    assert len(acknowledged) > 50
    trio.run(find_all, tmp_path, set(acknowledged))


async def find_all(directory: Path, names: set[str]) -> None:
    standing = read_standing(directory / "state.db")
    assert standing is not None
    assert standing.base == standing.index
    log = MemoryLog(1, identity=standing.identity)
    async with open_things(directory, log=log.client(), start=log.start, runner=ThreadRunner()) as database:
        with database.read() as tx:
            assert {thing.name for thing in tx.all(Thing)} >= names
        await database.write(add_thing, AddThing("goes on"))
