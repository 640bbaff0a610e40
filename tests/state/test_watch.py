from pathlib import Path

import pytest
import trio
import trio.testing

from paasd.config import StateConfig
from paasd.state import Changes, Faults, MemoryLog
from paasd.state.log.entries import Migration
from tests.state.things import (
    MIGRATIONS,
    AddThing,
    Grow,
    Mark,
    Remove,
    SetMarks,
    add_thing,
    fill,
    grow,
    half_done,
    open_things,
    remove,
    set_marks,
)


async def is_awake(changes: Changes) -> bool:
    """Whether `wait` returns without anybody doing anything."""
    woken = False

    async def wait() -> None:
        nonlocal woken
        await changes.wait()
        woken = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return woken


def must_read_all(changes: Changes) -> bool:
    return changes.resync


async def test_a_watcher_is_told_at_once_to_read_everything_and_then_what_changed(tmp_path: Path) -> None:
    async with open_things(tmp_path) as database, database.watch("things", "marks") as changes:
        assert await is_awake(changes)
        assert must_read_all(changes) is True
        assert changes.take() == set()
        assert must_read_all(changes) is False
        assert not await is_awake(changes)
        thing = await database.write(add_thing, AddThing("a"))
        assert await is_awake(changes)
        assert changes.take() == {("things", thing.guid)}
        await database.write(grow, Grow("a"))
        await database.write(set_marks, SetMarks("a", [1, 2], "x"))
        await database.write(set_marks, SetMarks("a", [2, 3], "y"))
        assert changes.take() == {("things", thing.guid), *(("marks", ("a", n)) for n in (1, 2, 3))}
        await database.write(remove, Remove("a"))
        assert ("things", thing.guid) in changes.take()
        assert must_read_all(changes) is False
        assert changes.index == database.index


async def test_a_watcher_sleeps_through_what_does_not_concern_it(tmp_path: Path) -> None:
    async with (
        open_things(tmp_path) as database,
        database.watch("marks") as marks,
        database.watch() as everything,
    ):
        marks.take()
        everything.take()
        thing = await database.write(add_thing, AddThing("a"))
        with pytest.raises(Exception, match="changed my mind"):
            await database.write(half_done, AddThing("b"))
        assert not await is_awake(marks)
        assert ("things", thing.guid) in everything.take()
        marks.wake()
        assert await is_awake(marks)
        assert marks.take() == set()


async def test_what_a_watcher_was_woken_for_can_be_read(tmp_path: Path) -> None:
    async with open_things(tmp_path) as database, trio.open_nursery() as nursery:
        seen: list[int] = []

        async def watch(task_status: trio.TaskStatus[None]) -> None:
            async with database.watch("marks") as changes:
                task_status.started()
                while sum(seen) < 30:
                    await changes.wait()
                    touched = changes.take()
                    with database.read() as tx:
                        assert all(tx.get(Mark, *key) is not None for _, key in touched)
                    seen.append(len(touched))

        await nursery.start(watch)
        for number in range(3):
            await database.write(fill, Grow(f"t{number}", by=10))


async def test_too_much_for_a_busy_watcher_becomes_a_resync(tmp_path: Path) -> None:
    config = StateConfig(watch_keys=25, snapshot_interval_s=0)
    async with open_things(tmp_path, config) as database, database.watch("marks") as changes:
        changes.take()
        await database.write(fill, Grow("a", by=20))
        assert must_read_all(changes) is False
        await database.write(fill, Grow("b", by=20))
        assert must_read_all(changes) is True
        assert changes.take() == set()
        await database.write(fill, Grow("c", by=1))
        assert must_read_all(changes) is False
        assert changes.take() == {("marks", ("c", 0))}


async def test_a_watcher_resumes_after_the_entry_it_has_seen(tmp_path: Path) -> None:
    async with open_things(tmp_path) as database:
        await database.write(add_thing, AddThing("before"))
        seen = database.index
        first = await database.write(add_thing, AddThing("first"))
    async with open_things(tmp_path) as database:
        second = await database.write(add_thing, AddThing("second"))
        async with database.watch("things", after=seen) as changes:
            assert await is_awake(changes)
            assert must_read_all(changes) is False
            assert changes.take() == {("things", first.guid), ("things", second.guid)}
            third = await database.write(add_thing, AddThing("third"))
            assert changes.take() == {("things", third.guid)}
        async with database.watch("things", after=database.index) as changes:
            assert not await is_awake(changes)
            assert must_read_all(changes) is False


async def test_a_watcher_that_was_away_too_long_reads_everything(tmp_path: Path) -> None:
    config = StateConfig(log_entries=10, snapshot_interval_s=0)
    async with open_things(tmp_path, config) as database:
        for number in range(50):
            await database.write(add_thing, AddThing(f"n{number}"))
        async with database.watch("things", after=2) as changes:
            assert await is_awake(changes)
            assert must_read_all(changes) is True


async def test_a_migration_makes_watchers_read_everything(tmp_path: Path) -> None:
    log = MemoryLog(1)
    async with open_things(tmp_path / "one", log=log.client()) as one, one.watch("marks") as changes:
        changes.take()
        more = Migration(2, "more", "CREATE TABLE more (guid TEXT PRIMARY KEY NOT NULL) STRICT")
        async with open_things(tmp_path / "two", log=log.client(), migrations=[*MIGRATIONS, more]) as two:
            assert two.schema == 2
        await one.catch_up()
        assert await is_awake(changes)
        assert must_read_all(changes) is True
        assert one.schema == 2


async def test_changes_made_through_another_node_wake_a_watcher(tmp_path: Path, autojump_clock: object) -> None:
    log = MemoryLog(1, Faults(delay_s=0.1))
    async with (
        open_things(tmp_path / "one", log=log.client()) as one,
        open_things(tmp_path / "two", log=log.client(), seed=1) as two,
        one.watch("things") as changes,
    ):
        changes.take()
        thing = await two.write(add_thing, AddThing("a"))
        with trio.fail_after(1):
            await changes.wait()
        assert changes.take() == {("things", thing.guid)}
