"""Every log that needs nothing but this process; `tests/etcd` runs the same rules with the one in etcd."""

from collections.abc import Callable
from pathlib import Path

import apsw
import msgspec
import pytest
import trio

from paasd.config import StateConfig
from paasd.errors import OutcomeUnknown
from paasd.state import Faults, LocalLog, Log, LogTrimmed, LogUnavailable, MemoryLog, StateDamaged
from paasd.state.log.entries import (
    Entry,
    LogDamaged,
    decode_entry,
    encode_entry,
    entry_hash,
)
from paasd.state.log.interface import NoAnswer, Refused
from tests.state import log_rules
from tests.state.things import AddThing, Grow, add_thing, grow, open_things

LOGS: dict[str, Callable[[], Log]] = {
    "local": LocalLog,
    "memory": lambda: MemoryLog(7).client(),
    "hostile memory": lambda: MemoryLog(
        7, Faults(lose_request=0.2, lose_answer=0.2, late_request=0.2, stranger=0.2, delay_s=0.01)
    ).client(),
}


@pytest.fixture(params=list(LOGS))
def log(request: pytest.FixtureRequest) -> Log:
    return LOGS[request.param]()


async def test_entries_are_numbered_without_gaps_and_chained(log: Log, tmp_path: Path, autojump_clock: object) -> None:
    await log_rules.numbered_without_gaps_and_chained(log, tmp_path)


async def test_reading_begins_after_an_entry_and_ends_at_the_limit(
    log: Log, tmp_path: Path, autojump_clock: object
) -> None:
    await log_rules.read_from_an_entry_on_up_to_a_limit(log, tmp_path)


async def test_what_was_trimmed_is_a_named_error_and_the_newest_stays(
    log: Log, tmp_path: Path, autojump_clock: object
) -> None:
    await log_rules.trimmed_with_a_name_and_the_newest_stays(log, tmp_path)


async def test_waiting_for_newer_entries_ends_when_there_are_some(tmp_path: Path, autojump_clock: object) -> None:
    log = MemoryLog(1)
    client = log.client()
    async with open_things(tmp_path / "one", log=log.client()) as one:
        await one.write(add_thing, AddThing("a"))
        with trio.move_on_after(1) as waiting:
            await client.wait_newer(one.index)
        assert waiting.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.wait_newer, one.index)
            await trio.sleep(1)
            await one.write(add_thing, AddThing("b"))


async def test_the_local_log_is_bounded_by_itself(tmp_path: Path) -> None:
    log = LocalLog()
    async with open_things(tmp_path, StateConfig(log_entries=20, snapshot_interval_s=0), log=log) as database:
        for number in range(100):
            await database.write(add_thing, AddThing(f"n{number}"))
        kept = await log.read(database.index - 20, 100)
        assert len(kept) == 20
        with pytest.raises(LogTrimmed):
            await log.read(database.index - 25, 100)


async def test_the_local_log_takes_an_index_once_and_belongs_to_one_database(tmp_path: Path) -> None:
    log = LocalLog()
    async with open_things(tmp_path / "one", log=log) as database:
        with pytest.raises(apsw.ConstraintError):
            log.stage(database.index, b"again")
        with pytest.raises(RuntimeError, match="one database"):
            async with open_things(tmp_path / "two", log=log):
                pass


async def test_the_memory_log_takes_only_the_next_index_and_answers_with_what_is_there() -> None:
    client = MemoryLog(1).client()
    assert await client.append(1, b"a") is None
    assert await client.append(2, b"b") is None
    assert await client.append(1, b"x") == Refused((b"a", b"b"))
    assert await client.append(2, b"b") == Refused((b"b",))
    assert await client.append(4, b"x") == Refused(())
    assert await client.newest() == 2


async def test_the_memory_log_never_accepts_where_it_was_trimmed() -> None:
    client = MemoryLog(1).client()
    for number in range(1, 6):
        assert await client.append(number, b"%d" % number) is None
    await client.trim(5)
    assert await client.append(3, b"x") == Refused((b"5",))
    assert await client.append(6, b"6") is None


async def test_the_memory_log_plays_the_faults_that_were_planned_in_order() -> None:
    log = MemoryLog(1)
    client = log.client()
    log.plan("lose_request", "lose_answer", "late_request")
    with pytest.raises(NoAnswer):
        await client.append(1, b"a")
    assert log.newest == 0
    with pytest.raises(NoAnswer):
        await client.append(1, b"a")
    assert log.newest == 1
    with pytest.raises(NoAnswer):
        await client.append(2, b"b")
    assert log.newest == 1
    log.deliver_late()
    assert log.entries == {1: b"a", 2: b"b"}


@pytest.mark.parametrize("fault", ["lose_request", "lose_answer", "late_request", "stranger"])
async def test_each_fault_alone_leaves_one_effect(tmp_path: Path, fault: str, autojump_clock: object) -> None:
    log = MemoryLog(3)
    async with open_things(tmp_path / "one", log=log.client()) as one:
        await one.write(add_thing, AddThing("a"))
        for expected in range(5):
            log.plan(fault, fault)
            assert await one.write(grow, Grow("a")) == expected
        log.deliver_late()
        assert await one.write(grow, Grow("a")) == 5
        assert not log.planned


async def test_no_quorum_after_a_lost_answer_does_not_mean_that_nothing_happened(
    tmp_path: Path, autojump_clock: object
) -> None:
    log = MemoryLog(3)
    async with open_things(tmp_path / "one", log=log.client()) as one:
        await one.write(add_thing, AddThing("a"))
        log.plan("late_request", "unavailable", "lose_answer", "unavailable")
        assert await one.write(grow, Grow("a")) == 0
        assert not log.planned
        log.plan("unavailable")
        with pytest.raises(LogUnavailable, match="nothing was changed"):
            await one.write(grow, Grow("a"))
        assert await one.write(grow, Grow("a")) == 1


def altered(data: bytes, **changes: object) -> bytes:
    return encode_entry(msgspec.structs.replace(decode_entry(data), **changes))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda data: altered(data, previous=bytes(32)), LogDamaged),
        (lambda data: altered(data, index=4), LogDamaged),
        (lambda data: altered(data, schema=9), LogDamaged),
        (lambda data: data[:-5], LogDamaged),
        (lambda data: b"", LogDamaged),
        (lambda data: b"\x91\x02", LogDamaged),
        (lambda data: altered(data, payload=b"garbage"), StateDamaged),
    ],
)
async def test_a_log_that_was_tampered_with_stops_the_node(
    tmp_path: Path, change: Callable[[bytes], bytes], error: type[Exception]
) -> None:
    log = MemoryLog(1)
    async with open_things(tmp_path / "one", log=log.client()) as one:
        await one.write(add_thing, AddThing("a"))
    intact = log.entries[2]
    log.entries[2] = change(intact)
    with pytest.raises(error):
        async with open_things(tmp_path / "two", log=log.client()):
            pass
    log.entries[2] = intact
    async with open_things(tmp_path / "two", log=log.client()) as two:
        assert two.index == 2


async def test_a_changeset_that_does_not_fit_stops_the_node(tmp_path: Path) -> None:
    log = MemoryLog(1)
    async with open_things(tmp_path / "one", log=log.client()) as one:
        await one.write(add_thing, AddThing("a"))
        await one.write(grow, Grow("a"))
    payload = decode_entry(log.entries[3]).payload
    log.entries[4] = encode_entry(
        Entry(index=4, kind="data", id="x", origin="x", previous=entry_hash(log.entries[3]), schema=1, payload=payload)
    )
    log.newest = 4
    with pytest.raises(StateDamaged, match=r"entry 4 does not fit: \w+ in \w+"):
        async with open_things(tmp_path / "one", log=log.client()):
            pass


async def test_a_node_behind_a_trimmed_log_is_told_to_take_a_snapshot(tmp_path: Path) -> None:
    log = MemoryLog(1)
    async with open_things(tmp_path / "one", log=log.client()) as one:
        for number in range(5):
            await one.write(add_thing, AddThing(f"n{number}"))
    await log.client().trim(4)
    with pytest.raises(LogTrimmed, match="snapshot"):
        async with open_things(tmp_path / "two", log=log.client()):
            pass


async def deaf(after: int) -> None:
    await trio.sleep_forever()


async def test_a_node_that_lagged_past_a_trimmed_log_stops_instead_of_writing(tmp_path: Path) -> None:
    log = MemoryLog(1)
    lagging = log.client()
    lagging.wait_newer = deaf  # type: ignore[method-assign]
    with pytest.RaisesGroup(LogTrimmed, OutcomeUnknown):
        async with (
            open_things(tmp_path / "one", log=log.client()) as one,
            open_things(tmp_path / "two", log=lagging, seed=1) as two,
        ):
            for number in range(5):
                await one.write(add_thing, AddThing(f"n{number}"))
            await log.client().trim(4)
            await two.write(add_thing, AddThing("too late"))
    assert log.newest == 6
