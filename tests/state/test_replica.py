"""The synchronous half of the writer, where a failure in the middle must leave nothing behind."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
import trio

from paasd.state import DiskFull, MemoryLog
from paasd.state.checking import contents
from paasd.state.engine.capture import Capture
from paasd.state.engine.changes import touched_rows
from paasd.state.engine.connection import open_writer
from paasd.state.engine.replica import Limits, Replica
from paasd.state.log.entries import LogDamaged
from tests.state.things import AddThing, Thing, add_thing, open_things


@pytest.fixture
async def entries(tmp_path: Path) -> list[bytes]:
    """A migration and three writes."""
    log = MemoryLog(1)
    async with open_things(tmp_path / "source", log=log.client()) as database:
        for number in range(3):
            await database.write(add_thing, AddThing(f"n{number}"))
    return [log.entries[index] for index in sorted(log.entries)]


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    path = tmp_path / "state.db"
    connection = open_writer(path, external=True, sync=False)
    replica = Replica(connection, path, origin="test", limits=Limits(group_bytes=10**6, operation_bytes=10**6))
    replica.open("memory", "etcd")
    yield replica
    connection.close()


async def test_entries_are_applied_all_or_none(replica: Replica, entries: list[bytes], tmp_path: Path) -> None:
    replica.apply(entries[:2])
    held = contents(tmp_path / "state.db")
    with pytest.raises(LogDamaged):
        replica.apply([entries[2], entries[2]])
    assert replica.index == 2
    assert contents(tmp_path / "state.db") == held
    assert [applied.index for applied in replica.apply(entries[2:])] == [3, 4]
    assert contents(tmp_path / "state.db") == contents(tmp_path / "source" / "state.db")


async def test_an_entry_is_told_of_only_when_it_can_be_read(replica: Replica, entries: list[bytes]) -> None:
    """Who waits for an entry looks from another thread, and reads as soon as it is there."""
    told: list[int] = []

    def look() -> bool:
        told.append(replica.index)
        return False

    replica.connection.set_commit_hook(look)
    replica.apply(entries[:2])
    replica.apply(entries[2:])
    assert told == [0, 2]
    assert replica.index == 4


async def test_what_others_wrote_is_announced_row_by_row(replica: Replica, entries: list[bytes]) -> None:
    migration, first, *_ = replica.apply(entries)
    assert migration.touched is None
    assert first.touched is not None
    assert {table for table, _ in first.touched} == {"things", "state_requests"}


async def test_the_engine_s_own_tables_are_never_part_of_a_changeset(replica: Replica, entries: list[bytes]) -> None:
    replica.apply(entries)
    connection = replica._connection
    with Capture(connection) as session:
        connection.execute("INSERT INTO state_entries VALUES (99, x'00')")
        connection.execute("UPDATE state_meta SET position = 99")
        connection.execute("UPDATE things SET size = 5 WHERE name = 'n1'")
        touched = touched_rows(session.changeset())
    assert {table for table, _ in touched} == {"things"}


@pytest.mark.parametrize(("external", "sync", "level"), [(False, True, 2), (True, True, 1), (False, False, 0)])
def test_every_commit_is_synced_unless_a_log_elsewhere_is_durable(
    tmp_path: Path, external: bool, sync: bool, level: int
) -> None:
    connection = open_writer(tmp_path / "other.db", external=external, sync=sync)
    assert connection.execute("PRAGMA synchronous").fetchall() == [(level,)]
    assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    connection.close()


async def test_a_full_disk_while_others_write_is_waited_for(tmp_path: Path, autojump_clock: object) -> None:
    log = MemoryLog(1)
    async with (
        open_things(tmp_path / "one", log=log.client()) as one,
        open_things(tmp_path / "two", log=log.client(), seed=1) as two,
    ):
        real, full = two._replica._move, [True]

        def move(index: int, digest: bytes, schema: int) -> None:
            if full:
                raise apsw.FullError("planted")
            real(index, digest, schema)

        two._replica._move = move  # type: ignore[method-assign]
        await one.write(add_thing, AddThing("a"))
        await trio.sleep(5)
        assert two.index == 1
        with pytest.raises(DiskFull):
            await two.write(add_thing, AddThing("b"))
        full.clear()
        await two.catch_up()
        with two.read() as tx:
            assert [thing.name for thing in tx.all(Thing)] == ["a"]
        assert contents(one.path) == contents(two.path)
