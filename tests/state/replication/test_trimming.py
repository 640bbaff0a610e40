"""The shared log is bounded, and nothing goes that a live node or one that joins still needs."""

from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from paasd.config import StateConfig
from paasd.state.checking import contents
from paasd.state.replication.trimming import trim_point
from tests.state.replication.nodes import three_voters
from tests.state.things import AddThing, Grow, add_thing, grow

SHORT = StateConfig(snapshot_interval_s=0, log_entries=20, away_entries=100, trim_interval_s=10)


@pytest.mark.parametrize(
    ("applied", "snapshot", "point"),
    [
        ({"a": 1000, "b": 1000}, 1000, 990),
        ({"a": 1000, "b": 970}, 1000, 971),
        ({"a": 1000, "b": 100}, 1000, 900),
        ({"a": 1000, "b": None}, 1000, 900),
        ({"a": 1000, "b": 1000}, 950, 951),
        ({"a": 1000, "b": 100}, 300, 301),
        ({}, 1000, 990),
    ],
)
def test_what_may_go(applied: dict[str, int | None], snapshot: int, point: int) -> None:
    assert trim_point(1000, snapshot, applied, keep=10, away=100) == point


@given(
    newest=st.integers(0, 1000),
    snapshot=st.integers(0, 1000),
    applied=st.dictionaries(st.text(max_size=2), st.one_of(st.none(), st.integers(0, 1000)), max_size=5),
    keep=st.integers(1, 50),
    away=st.integers(50, 500),
)
def test_what_goes_is_covered_and_not_needed(
    newest: int, snapshot: int, applied: dict[str, int | None], keep: int, away: int
) -> None:
    point = trim_point(newest, snapshot, applied, keep=keep, away=away)
    assert point <= snapshot + 1
    assert point <= max(newest - keep, 0) or point <= newest - away or newest < keep
    for index in applied.values():
        if index is not None and newest - index < away:
            assert point <= index + 1, "a live node that is not too far behind goes on by the log"


async def test_a_live_node_that_lags_goes_on_by_the_log_and_one_away_too_long_by_a_snapshot(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with three_voters(tmp_path, followers=1, config=SHORT) as (cluster, databases, log):
        await databases[0].write(add_thing, AddThing("a"))
        cluster.isolate("n3")
        stopped_at = databases[3].index
        for _ in range(60):
            await databases[0].write(grow, Grow("a"))
        await trio.sleep(30)
        assert min(log.entries) <= stopped_at + 1, "it is away for less than that"
        loads = []
        real = databases[3].load_now

        async def load(file: Path) -> None:
            loads.append(file)
            await real(file)

        databases[3].load_now = load  # type: ignore[method-assign]
        cluster.heal()
        await trio.sleep(10)
        assert databases[3].index == databases[0].index
        assert not loads
        await trio.sleep(30)
        assert min(log.entries) > stopped_at
        cluster.isolate("n3")
        for _ in range(200):
            await databases[0].write(grow, Grow("a"))
        await trio.sleep(30)
        assert min(log.entries) == log.newest - 100
        for database in databases[:3]:
            database._writer.recent = None  # what they have in memory would do
        cluster.heal()
        await trio.sleep(10)
        assert loads
        assert contents(databases[3].path) == contents(databases[0].path)


async def test_a_log_that_is_slow_to_be_shortened_holds_up_neither_writes_nor_news(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with three_voters(tmp_path) as (_, (one, other, _third), _log), trio.open_nursery() as nursery:
        asked = trio.Event()

        async def trim(_before: int) -> None:
            asked.set()
            await trio.sleep_forever()

        one.log.trim = trim  # type: ignore[method-assign]
        await one.write(add_thing, AddThing("a"))
        nursery.start_soon(one.trim, 1)
        await asked.wait()
        with trio.fail_after(1):
            await one.write(grow, Grow("a"))
            await other.write_here(grow, Grow("a"), request_id="of another node", timeout_s=1)
            await one.wait_beyond(other.index - 1)
        nursery.cancel_scope.cancel()


async def test_only_the_node_that_writes_for_all_shortens_the_log(tmp_path: Path, autojump_clock: object) -> None:
    async with three_voters(tmp_path, config=SHORT) as (cluster, databases, _):
        cluster.hint = "n1"
        trimmed = []
        for number, database in enumerate(databases):

            async def trim(before: int, number: int = number) -> None:
                trimmed.append(number)

            database.trim = trim  # type: ignore[method-assign]
        await databases[0].write(add_thing, AddThing("a"))
        for _ in range(60):
            await databases[0].write(grow, Grow("a"))
        await trio.sleep(30)
        assert set(trimmed) == {1}
