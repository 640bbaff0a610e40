"""None"""

from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
import trio

from paasd.config import StateConfig
from paasd.errors import OutcomeUnknown, TooLarge, Unavailable, Unprocessable
from paasd.state import (
    Database,
    Duplicate,
    Faults,
    MemoryLog,
    ThreadRunner,
    Tx,
    operation,
)
from paasd.state.checking import contents
from paasd.state.engine.requests import ROUND_S
from paasd.state.operations import Operation, registered_operations
from tests.state.things import (
    AddThing,
    Grow,
    Mark,
    Thing,
    add_thing,
    fill,
    grow,
    half_done,
    open_things,
)


class Sql(msgspec.Struct):
    text: str


@operation("test.sql")
def run_sql(tx: Tx, arguments: Sql) -> None:
    """What no operation can do by the API: a statement of its own."""
    tx._execute(arguments.text)


async def test_a_write_is_read_by_whoever_was_told_of_it(tmp_path: Path) -> None:
    async with open_things(tmp_path, runner=ThreadRunner()) as database:
        thing = await database.write(add_thing, AddThing("a"))
        with database.read() as tx:
            assert tx.all(Thing) == [thing]


async def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    async with open_things(tmp_path) as database:
        thing = await database.write(add_thing, AddThing("a"))
        index, identity = database.index, database.log_identity
    async with open_things(tmp_path) as database:
        assert (database.index, database.log_identity, database.schema) == (index, identity, 1)
        with database.read() as tx:
            assert tx.get(Thing, thing.guid) == thing


async def test_an_error_in_an_operation_reaches_its_caller_and_changes_nothing(tmp_path: Path) -> None:
    async with open_things(tmp_path) as database:
        await database.write(add_thing, AddThing("a"))
        index = database.index
        with pytest.raises(Unprocessable, match="changed my mind"):
            await database.write(half_done, AddThing("b"))
        with pytest.raises(Duplicate):
            await database.write(add_thing, AddThing("a"))
        with database.read() as tx:
            assert [thing.name for thing in tx.all(Thing)] == ["a"]
        assert database.index == index


async def test_failing_writes_in_a_group_do_not_touch_the_others(tmp_path: Path) -> None:
    async with open_things(tmp_path) as database:
        results: dict[str, Any] = {}

        async def write(name: str, which: Operation[AddThing, Thing]) -> None:
            try:
                results[name] = (await database.write(which, AddThing(name[0]))).name
            except Unprocessable as error:
                results[name] = type(error)

        before = database.index
        async with trio.open_nursery() as nursery:
            for name, which in (("a1", add_thing), ("c1", half_done), ("a2", add_thing), ("b2", add_thing)):
                nursery.start_soon(write, name, which)
        assert sorted(results) == ["a1", "a2", "b2", "c1"]
        assert sorted(results[n] is Duplicate for n in ("a1", "a2")) == [False, True]
        assert results["c1"] is Unprocessable
        assert results["b2"] == "b"
        assert database.index <= before + 2, "concurrent writes share entries"


async def test_the_same_request_id_gives_the_stored_result(tmp_path: Path) -> None:
    async with open_things(tmp_path) as database:
        first = await database.write(add_thing, AddThing("a"), request_id="r1")
    async with open_things(tmp_path) as database:
        assert await database.write(add_thing, AddThing("a"), request_id="r1") == first
        with pytest.raises(Duplicate):
            await database.write(add_thing, AddThing("a"), request_id="r2")
        with pytest.raises(Unprocessable, match=r"already used for test\.add_thing"):
            await database.write(grow, Grow("a"), request_id="r1")


async def test_the_same_request_twice_at_once_runs_once(tmp_path: Path) -> None:
    async with open_things(tmp_path) as database:
        await database.write(add_thing, AddThing("a"))
        results: list[int] = []

        async def ask() -> None:
            results.append(await database.write(grow, Grow("a"), request_id="same"))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
        assert results == [0] * 5
        with database.read() as tx:
            assert tx.find(Thing, size=1) is not None


async def test_stored_results_are_forgotten_after_a_day(tmp_path: Path, autojump_clock: object) -> None:
    async with open_things(tmp_path, clock=trio.current_time) as database:
        for number in range(450):
            await database.write(add_thing, AddThing(f"n{number}"), request_id=f"r{number}")
        await trio.sleep(86_000)
        with pytest.raises(Duplicate):
            await database.write(add_thing, AddThing("n1"), request_id="r449 again")
        assert await database.write(add_thing, AddThing("n449"), request_id="r449")
        await trio.sleep(2 * ROUND_S)
        with pytest.raises(Duplicate):
            await database.write(add_thing, AddThing("n449"), request_id="r449")
        assert len(contents(database.path)["state_requests"]) < 10


async def test_a_write_that_changes_too_much_is_refused(tmp_path: Path) -> None:
    config = StateConfig(operation_bytes=100_000, group_bytes=50_000, snapshot_interval_s=0)
    async with open_things(tmp_path, config) as database:
        await database.write(fill, Grow("fits", by=90))
        with pytest.raises(TooLarge, match=r"test\.fill changes \d+ bytes at once; the limit is 100000"):
            await database.write(fill, Grow("does not", by=100))
        with database.read() as tx:
            assert tx.count(Mark) == 90


async def test_a_group_is_split_where_an_entry_would_be_too_large(tmp_path: Path) -> None:
    config = StateConfig(operation_bytes=100_000, group_bytes=90_000, snapshot_interval_s=0)
    log = MemoryLog(1)
    async with open_things(tmp_path, config, log=log.client()) as database:
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(database.write, fill, Grow(f"t{number}", by=40))
        with database.read() as tx:
            assert tx.count(Mark) == 400
    assert max(len(data) for data in log.entries.values()) < 101_000
    assert len(log.entries) < 1 + 10


async def test_a_full_queue_refuses_and_changes_nothing(tmp_path: Path, autojump_clock: object) -> None:
    log, refused = MemoryLog(1), []
    config = StateConfig(queue=3, snapshot_interval_s=0)
    async with open_things(tmp_path, config, log=log.client()) as database:

        async def write(name: str) -> None:
            try:
                await database.write(add_thing, AddThing(name))
            except Unavailable as error:
                assert "nothing was changed" in error.detail
                refused.append(name)

        async with trio.open_nursery() as nursery:
            log.faults = Faults(lose_request=1)
            nursery.start_soon(write, "first")
            await trio.sleep(0.1)
            for number in range(5):
                nursery.start_soon(write, f"n{number}")
            await trio.sleep(0.1)
            log.faults = Faults()
        assert len(refused) == 2
        with database.read() as tx:
            assert {t.name for t in tx.all(Thing)} == {"first"} | {f"n{n}" for n in range(5)} - set(refused)


async def test_without_an_answer_from_the_log_the_outcome_is_unknown_until_it_comes(
    tmp_path: Path, autojump_clock: object
) -> None:
    log = MemoryLog(1)
    async with open_things(tmp_path, log=log.client()) as database:
        log.faults = Faults(lose_request=1)
        with pytest.raises(OutcomeUnknown) as unknown:
            await database.write(add_thing, AddThing("a"), request_id="r", timeout_s=1)
        assert unknown.value.request_id == "r"
        with pytest.raises(Unavailable, match="nothing was changed"):
            await database.write(add_thing, AddThing("b"), timeout_s=1)
        log.faults = Faults()
        thing = await database.write(add_thing, AddThing("a"), request_id="r")
        assert thing.name == "a"
        with database.read() as tx:
            assert tx.all(Thing) == [thing]


async def test_without_quorum_writes_are_refused_and_reads_go_on(tmp_path: Path) -> None:
    log = MemoryLog(1)
    async with open_things(tmp_path, log=log.client()) as database:
        await database.write(add_thing, AddThing("a"))
        log.faults = Faults(unavailable=1)
        with pytest.raises(Unavailable, match="no quorum"):
            await database.write(add_thing, AddThing("b"))
        with database.read() as tx:
            assert [t.name for t in tx.all(Thing)] == ["a"]
        log.faults = Faults()
        assert (await database.write(add_thing, AddThing("b"))).name == "b"


async def test_a_node_starts_without_quorum_and_writes_when_it_is_back(tmp_path: Path) -> None:
    log = MemoryLog(1)
    async with open_things(tmp_path, log=log.client()) as database:
        await database.write(add_thing, AddThing("a"))
    log.faults = Faults(unavailable=1)
    async with open_things(tmp_path, log=log.client()) as database:
        with database.read() as tx:
            assert [t.name for t in tx.all(Thing)] == ["a"]
        with pytest.raises(Unavailable, match="no quorum"):
            await database.catch_up()
        log.faults = Faults()
        await database.write(add_thing, AddThing("b"))
    log.faults = Faults(unavailable=1)
    with pytest.raises(Unavailable, match="no quorum"):
        async with open_things(tmp_path / "new", log=log.client()):
            pass


async def test_a_caller_who_left_before_its_turn_changes_nothing(tmp_path: Path, autojump_clock: object) -> None:
    log = MemoryLog(1)
    async with open_things(tmp_path, log=log.client()) as database, trio.open_nursery() as nursery:
        log.faults = Faults(lose_request=1)
        nursery.start_soon(database.write, add_thing, AddThing("first"))
        await trio.sleep(0.1)
        with trio.move_on_after(0.1) as scope:
            await database.write(add_thing, AddThing("left"))
        assert scope.cancelled_caught
        log.faults = Faults()
        await database.write(add_thing, AddThing("last"))
        with database.read() as tx:
            assert {t.name for t in tx.all(Thing)} == {"first", "last"}


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE other (a TEXT PRIMARY KEY) STRICT",
        "CREATE INDEX other ON things (size)",
        "CREATE TEMP TABLE other (a)",
        "CREATE VIEW other AS SELECT 1",
        "DROP TABLE things",
        "ALTER TABLE things ADD COLUMN more TEXT",
        "PRAGMA foreign_keys=OFF",
        "ATTACH ':memory:' AS other",
        "UPDATE state_meta SET position = 7",
        "DELETE FROM state_entries",
    ],
)
async def test_an_operation_cannot_change_the_schema_or_the_engine(tmp_path: Path, text: str) -> None:
    async with open_things(tmp_path) as database:
        await database.write(run_sql, Sql("UPDATE things SET size = 1"))
        with pytest.raises(apsw.AuthError):
            await database.write(run_sql, Sql(text))
        await database.write(add_thing, AddThing("still works"))


async def test_two_databases_in_one_process_do_not_know_of_each_other(tmp_path: Path) -> None:
    async with open_things(tmp_path / "one") as one:
        async with open_things(tmp_path / "two") as two:
            await two.write(add_thing, AddThing("a"))
        await one.write(add_thing, AddThing("b"))
        with one.read() as tx:
            assert [t.name for t in tx.all(Thing)] == ["b"]


async def test_writes_still_queued_at_the_end_are_told_so(tmp_path: Path, autojump_clock: object) -> None:
    log = MemoryLog(1)
    told: list[type[Exception]] = []

    async def write(database: Database, name: str) -> None:
        with trio.CancelScope(shield=True):
            try:
                await database.write(add_thing, AddThing(name))
            except (OutcomeUnknown, Unavailable) as error:
                told.append(type(error))

    async with trio.open_nursery() as nursery, open_things(tmp_path, log=log.client()) as database:
        log.faults = Faults(lose_request=1)
        nursery.start_soon(write, database, "a")
        await trio.sleep(0.1)
        nursery.start_soon(write, database, "b")
        await trio.sleep(0.1)
    assert set(told) == {OutcomeUnknown, Unavailable}


def test_an_operation_knows_its_arguments_and_result_and_is_registered_once() -> None:
    assert registered_operations()["test.add_thing", 1] is add_thing
    assert add_thing.arguments_type is AddThing
    packed = add_thing.encode_arguments(AddThing("a", 3))
    assert add_thing.decode_arguments(packed) == AddThing("a", 3)
    thing = Thing(name="a")
    assert add_thing.result_decoder.decode(add_thing.encode_result(thing)) == thing
    with pytest.raises(TypeError, match="twice"):
        operation("test.add_thing")(add_thing.function)
