"""Several databases on one log that misbehaves, in virtual time: what was acknowledged is everywhere, exactly once."""

import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from paasd.errors import NotFound, OutcomeUnknown, PaasdError, Unprocessable
from paasd.state import Database, Duplicate, Faults, MemoryLog
from paasd.state.checking import check_operation_is_repeatable, contents
from paasd.state.log.memory import MemoryLogClient
from tests.state.things import (
    MIGRATIONS,
    AddThing,
    Grow,
    Mark,
    Remove,
    Rename,
    SetMarks,
    Thing,
    add_thing,
    grow,
    half_done,
    open_things,
    remember,
    remembered,
    remove,
    rename,
    set_marks,
    spoil,
)

HARSH = Faults(delay_s=0.02, lose_request=0.1, lose_answer=0.1, late_request=0.1, stranger=0.1, unavailable=0.03)


async def agree(databases: list[Database]) -> dict[str, list[object]]:
    """Let all of them catch up; what they then hold, which is the same."""
    for database in databases:
        await database.catch_up()
    held = [contents(database.path) for database in databases]
    assert held[0] == held[1] == held[-1]
    return held[0]


class LateNews(MemoryLogClient):
    """Tells of new entries a moment after a writer knows that its own is among them."""

    async def wait_newer(self, after: int) -> None:
        await super().wait_newer(after)
        await trio.sleep(0.05)


async def test_a_replica_hears_of_others_entries_also_after_its_own(tmp_path: Path, autojump_clock: MockClock) -> None:
    log = MemoryLog(1)
    async with (
        open_things(tmp_path / "one", log=LateNews(log)) as one,
        open_things(tmp_path / "two", log=log.client()) as two,
    ):
        await one.write(add_thing, AddThing("ours"))
        await trio.sleep(1)
        await two.write(add_thing, AddThing("theirs"))
        await trio.sleep(1)
        assert one.index == two.index


async def write_from_three(seed: int, folder: Path) -> None:
    """Clients of three databases count one thing up and add named ones; unknown outcomes are asked for again."""
    log, random = MemoryLog(seed), Random(seed)
    counted: list[int] = []
    added: dict[str, str] = {}
    taken = 0

    async with AsyncExitStack() as stack:
        databases = [
            await stack.enter_async_context(open_things(folder / name, log=log.client(), seed=seed + number))
            for number, name in enumerate(("one", "two", "three"))
        ]
        await databases[0].write(add_thing, AddThing("counter"))
        log.faults = HARSH

        async def client(number: int) -> None:
            nonlocal taken
            for turn in range(12):
                request_id = f"{number}/{turn}"
                name = f"n{random.randrange(40)}"
                while True:
                    database = random.choice(databases)
                    try:
                        if turn % 2:
                            counted.append(
                                await database.write(grow, Grow("counter"), request_id=request_id, timeout_s=0.5)
                            )
                        else:
                            thing = await database.write(
                                add_thing, AddThing(name), request_id=request_id, timeout_s=0.5
                            )
                            assert added.setdefault(name, thing.guid) == thing.guid
                        break
                    except Duplicate:
                        taken += 1
                        break
                    except PaasdError:
                        await trio.sleep(random.random() * 0.1)

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(client, number)
        log.faults = Faults()
        log.deliver_late()
        await agree(databases)
        with databases[0].read() as tx:
            things = {thing.name: thing for thing in tx.all(Thing)}
        counter = things.pop("counter")
        assert sorted(counted) == list(range(36)), f"seed {seed}: each count was given once"
        assert counter.size == 36
        assert {name: thing.guid for name, thing in things.items()} == added, f"seed {seed}"
        assert len(added) + taken == 36
        assert log.refused > 5, "the log was not contended, so nothing was tested"
        assert log.lost > 5


@pytest.mark.parametrize("seed", range(12))
def test_every_acknowledged_write_is_everywhere_exactly_once(seed: int, tmp_path: Path) -> None:
    trio.run(write_from_three, seed, tmp_path, clock=MockClock(autojump_threshold=0))


NAMES = st.sampled_from("abcdef")
STEPS = st.one_of(
    st.tuples(st.just("add"), NAMES),
    st.tuples(st.just("grow"), NAMES),
    st.tuples(st.just("remove"), NAMES),
    st.tuples(st.just("swap"), NAMES, NAMES),
    st.tuples(st.just("marks"), NAMES, st.lists(st.integers(0, 4), unique=True, max_size=4), st.text(max_size=3)),
    st.tuples(st.just("fail"), NAMES),
)


async def perform(database: Database, step: tuple[object, ...]) -> object:
    """One step of a random history; its answer, or the kind of its error."""
    try:
        match step:
            case ("add", str(name)):
                return (await database.write(add_thing, AddThing(name))).name
            case ("grow", str(name)):
                return await database.write(grow, Grow(name))
            case ("remove", str(name)):
                return await database.write(remove, Remove(name))
            case ("swap", str(one), str(other)):
                await database.catch_up()
                with database.read() as tx:
                    pair = tx.find(Thing, name=one), tx.find(Thing, name=other)
                if pair[0] is None or pair[1] is None or one == other:
                    return None
                await database.write(rename, Rename([(pair[0].guid, other), (pair[1].guid, one)]))
                return "swapped"
            case ("marks", str(name), list(numbers), str(text)):
                return await database.write(set_marks, SetMarks(name, numbers, text))
            case ("fail", str(name)):
                return await database.write(half_done, AddThing(name))
    except (Unprocessable, NotFound) as error:
        return type(error)
    raise AssertionError(step)


async def replay(seed: int, history: list[tuple[int, tuple[object, ...]]]) -> None:
    faults = Faults(delay_s=0.01, lose_request=0.1, lose_answer=0.1, late_request=0.1, stranger=0.1)
    log = MemoryLog(seed, faults)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        async with (
            open_things(root / "one", log=log.client(), seed=1) as one,
            open_things(root / "two", log=log.client(), seed=2) as two,
            open_things(root / "alone", seed=3) as alone,
        ):
            for which, step in history:
                assert await perform((one, two)[which], step) == await perform(alone, step), step
            log.faults = Faults()
            held = await agree([one, two])
            with one.read() as tx, alone.read() as expected:
                assert {t.name: t.size for t in tx.all(Thing)} == {t.name: t.size for t in expected.all(Thing)}
                assert tx.all(Mark, order=("thing", "number")) == expected.all(Mark, order=("thing", "number"))
        async with open_things(root / "late", log=log.client(), seed=4) as late:
            assert contents(late.path) == held, "a node that replays the whole log holds the same"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10**6), history=st.lists(st.tuples(st.integers(0, 1), STEPS), max_size=25))
def test_replicas_of_random_histories_hold_what_a_single_database_holds(
    seed: int, history: list[tuple[int, tuple[object, ...]]]
) -> None:
    trio.run(replay, seed, history, clock=MockClock(autojump_threshold=0))


async def test_a_write_through_one_node_is_read_through_another_after_catching_up(
    tmp_path: Path, autojump_clock: object
) -> None:
    log = MemoryLog(5, Faults(delay_s=0.05))
    async with (
        open_things(tmp_path / "one", log=log.client()) as one,
        open_things(tmp_path / "two", log=log.client()) as two,
    ):
        for number in range(10):
            await one.write(add_thing, AddThing(f"n{number}"))
            await two.catch_up()
            with two.read() as tx:
                assert tx.find(Thing, name=f"n{number}") is not None


async def deaf(after: int) -> None:
    await trio.sleep_forever()


async def test_the_answer_taken_is_not_given_from_an_old_copy(tmp_path: Path) -> None:
    """A refusal changes nothing and so is a read: it must not be given by a node that lags behind."""
    log = MemoryLog(5)
    async with (
        open_things(tmp_path / "one", log=log.client()) as one,
        open_things(tmp_path / "two", log=log.client(), seed=1) as two,
    ):
        await one.write(add_thing, AddThing("a"))
        await two.catch_up()
        two._log.wait_newer = deaf  # type: ignore[method-assign]
        await one.write(remove, Remove("a"))
        assert (await two.write(add_thing, AddThing("a"))).name == "a"


async def test_an_operation_that_is_not_repeatable_is_caught(tmp_path: Path) -> None:
    async def prepare(database: Database) -> AddThing:
        return AddThing("a")

    assert (await check_operation_is_repeatable(add_thing, prepare, tmp_path, migrations=MIGRATIONS)).name == "a"
    with pytest.raises(Unprocessable, match="changed my mind"):
        await check_operation_is_repeatable(half_done, prepare, tmp_path, migrations=MIGRATIONS)
    with pytest.raises(AssertionError, match="changed its arguments"):
        await check_operation_is_repeatable(spoil, prepare, tmp_path, migrations=MIGRATIONS)
    remembered.clear()
    with pytest.raises(AssertionError, match="rows"):
        await check_operation_is_repeatable(remember, prepare, tmp_path, migrations=MIGRATIONS)


async def test_every_outcome_of_a_client_that_gave_up_is_settled(tmp_path: Path, autojump_clock: object) -> None:
    log = MemoryLog(9)
    async with open_things(tmp_path, log=log.client()) as database:
        await database.write(add_thing, AddThing("a"))
        log.faults = Faults(lose_answer=1)
        for number in range(3):
            with pytest.raises((OutcomeUnknown, PaasdError)):
                await database.write(grow, Grow("a"), request_id=f"r{number}", timeout_s=0.01)
        log.faults = Faults()
        assert [await database.write(grow, Grow("a"), request_id=f"r{n}") for n in range(3)] == [0, 1, 2]
        assert await database.write(grow, Grow("a")) == 3
