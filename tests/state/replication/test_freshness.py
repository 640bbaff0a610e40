"""What was written through one node is read through another; without the others a node says that it may be old."""

from pathlib import Path

import pytest
import trio

from paasd.errors import OutcomeUnknown, Unavailable
from paasd.state import Faults, LogUnavailable
from paasd.state.engine.barrier import Barrier
from tests.state.replication.nodes import three_voters
from tests.state.things import AddThing, Grow, Thing, add_thing, grow, open_things


async def run_barrier(seconds: float, newest: list[int]) -> Barrier:
    """One whose answers are `newest` as it was when the question arrived, half of `seconds` after it was sent."""

    async def ask() -> int:
        await trio.sleep(seconds / 2)
        found = newest[0]
        await trio.sleep(seconds / 2)
        return found

    return Barrier(ask, 10.0)


async def test_who_comes_while_a_question_is_under_way_waits_for_the_next(autojump_clock: object) -> None:
    """The answer under way was read before the write that they know of."""
    newest = [1]
    barrier = await run_barrier(1.0, newest)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(barrier.serve)
        nursery.start_soon(barrier.newest)
        await trio.sleep(0.9)
        newest[0] = 2  # acknowledged now, after the question was answered over there
        assert await barrier.newest() == 2
        assert barrier.asked == 2
        nursery.cancel_scope.cancel()


async def test_all_who_wait_share_one_question(autojump_clock: object) -> None:
    barrier = await run_barrier(1.0, [7])
    found: list[int] = []

    async def ask() -> None:
        found.append(await barrier.newest())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(barrier.serve)
        async with trio.open_nursery() as readers:
            for _ in range(50):
                readers.start_soon(ask)
            await trio.sleep(0.5)
            for _ in range(50):
                readers.start_soon(ask)
        nursery.cancel_scope.cancel()
    assert found == [7] * 100
    assert barrier.asked == 2


async def test_a_reader_that_leaves_takes_no_answer_away(autojump_clock: object) -> None:
    barrier = await run_barrier(1.0, [7])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(barrier.serve)
        with trio.move_on_after(0.5):
            await barrier.newest()
        assert await barrier.newest() == 7
        nursery.cancel_scope.cancel()


async def test_a_question_without_answer_is_given_up_and_asked_anew(autojump_clock: object) -> None:
    answers = False

    async def ask() -> int:
        if not answers:
            await trio.sleep_forever()
        return 3

    barrier = Barrier(ask, 1.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(barrier.serve)
        with pytest.raises(LogUnavailable):
            await barrier.newest()
        assert trio.current_time() == pytest.approx(1.0)
        assert barrier.age_s == float("inf")
        answers = True
        assert await barrier.newest() == 3
        await trio.sleep(4)
        assert barrier.age_s == pytest.approx(4)
        nursery.cancel_scope.cancel()


async def test_reading_is_free_while_the_log_is_local(tmp_path: Path) -> None:
    async with open_things(tmp_path) as database:
        assert await database.fresh()
        assert database.stale_s == 0
        assert database._barrier.asked == 0


async def test_every_node_reads_what_was_acknowledged_by_any(tmp_path: Path, autojump_clock: object) -> None:
    async with three_voters(tmp_path, followers=2) as (cluster, databases, log):
        await databases[0].write(add_thing, AddThing("counter"))
        log.faults = Faults(delay_s=0.02)
        cluster.network.delay_s = (0.0, 0.05)
        acknowledged = 0
        checked = 0

        async def write(number: int) -> None:
            nonlocal acknowledged
            for _ in range(20):
                size = await databases[number].write(grow, Grow("counter"))
                acknowledged = max(acknowledged, size + 1)

        async def read(number: int) -> None:
            nonlocal checked
            while acknowledged < 60:
                known = acknowledged
                assert await databases[number].fresh(5)
                with databases[number].read() as tx:
                    assert tx.all(Thing)[0].size >= known
                checked += 1

        async with trio.open_nursery() as nursery:
            for number in (0, 1, 4):
                nursery.start_soon(write, number)
            for number in range(5):
                nursery.start_soon(read, number)
        assert checked > 50


async def test_without_quorum_reads_are_local_and_writes_are_refused_until_it_is_back(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with three_voters(tmp_path, followers=1) as (_, databases, log):
        await databases[0].write(add_thing, AddThing("a"))
        assert await databases[3].fresh()
        log.faults = Faults(unavailable=1)
        began = trio.current_time()
        for database in databases:
            assert not await database.fresh()
            with database.read() as tx:
                assert tx.all(Thing)[0].name == "a"
            with pytest.raises(Unavailable):
                await database.write(grow, Grow("a"))
        assert databases[3].stale_s >= trio.current_time() - began
        before = log.newest
        await trio.sleep(30)
        assert log.newest == before
        log.faults = Faults()
        await trio.sleep(5)
        assert [await database.write(grow, Grow("a")) for database in databases] == [0, 1, 2, 3]
        assert await databases[3].fresh()
        assert databases[3].stale_s < 1


async def test_what_is_queued_without_quorum_is_refused_and_the_one_under_way_is_unknown(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with three_voters(tmp_path) as (cluster, databases, log):
        await databases[0].write(add_thing, AddThing("a"))
        cluster.hint = None
        log.faults = Faults(lose_request=1)
        outcomes: dict[str, object] = {}

        async def write(name: str) -> None:
            try:
                outcomes[name] = await databases[0].write(grow, Grow("a"), request_id=name, timeout_s=5)
            except (Unavailable, OutcomeUnknown) as error:
                outcomes[name] = type(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write, "under way")
            await trio.sleep(1)
            for number in range(5):
                nursery.start_soon(write, f"queued {number}")
        assert outcomes == {"under way": OutcomeUnknown} | {f"queued {number}": Unavailable for number in range(5)}
        log.faults = Faults()
        await trio.sleep(3)
        assert await databases[0].write(grow, Grow("a"), request_id="under way") == 0
        assert await databases[0].write(grow, Grow("a")) == 1, "what was refused changed nothing"
