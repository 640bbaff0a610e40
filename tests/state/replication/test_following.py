"""Nodes that do not vote hold what the voters hold, and write through them."""

from pathlib import Path

import trio

from paasd.state import Faults
from paasd.state.checking import contents
from paasd.state.log.messages import LogAnswer
from tests.state.replication.nodes import one_voter, three_voters
from tests.state.things import AddThing, Grow, Thing, add_thing, grow


async def test_a_node_joins_by_a_snapshot_and_follows_what_comes(tmp_path: Path, autojump_clock: object) -> None:
    async with one_voter(tmp_path, followers=0) as (cluster, [first]):
        for number in range(10):
            await first.write(add_thing, AddThing(f"n{number}"))
        async with cluster.node("n1") as second:
            assert second.index == first.index
            assert second.log_identity == first.log_identity
            began = trio.current_time()
            await first.write(add_thing, AddThing("later"))
            await second.wait_beyond(first.index - 1)
            assert trio.current_time() - began < 0.1, "what was written is brought, not asked for at intervals"
            assert contents(second.path) == contents(first.path)


async def test_who_writes_through_a_follower_reads_it_there(tmp_path: Path, autojump_clock: object) -> None:
    async with one_voter(tmp_path, followers=2) as (_, [first, second, third]):
        for number in range(20):
            thing = await second.write(add_thing, AddThing(f"n{number}"))
            with second.read() as tx:
                assert tx.get(Thing, thing.guid) == thing
            await third.catch_up()
            with third.read() as tx:
                assert tx.get(Thing, thing.guid) == thing
        assert first.index == 21
        assert contents(first.path) == contents(second.path) == contents(third.path)


async def test_writes_of_many_nodes_share_entries(tmp_path: Path, autojump_clock: object) -> None:
    async with three_voters(tmp_path, followers=2) as (_, databases, log):
        await databases[0].write(add_thing, AddThing("a"))
        log.faults = Faults(delay_s=0.005)
        before = log.newest
        counted = []

        async def count(number: int) -> None:
            counted.append(await databases[number % 5].write(grow, Grow("a")))

        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(count, number)
        assert sorted(counted) == list(range(100))
        assert log.newest - before < 30
        assert sum(database.conflicts for database in databases) == 0


async def test_an_append_whose_answer_is_lost_is_there_once(tmp_path: Path, autojump_clock: object) -> None:
    """The voter took it and could not say so; sent again through another voter it is recognised."""
    async with three_voters(tmp_path, followers=1) as (cluster, databases, log):
        await databases[3].write(add_thing, AddThing("a"))
        cluster.hint = None
        for number in range(9):
            cluster.network.cut(f"n{number % 3}", "n3")
            assert await databases[3].write(grow, Grow("a")) == number
            cluster.heal()
        assert log.newest == 2 + 9


async def test_a_follower_notices_what_it_has_missed(tmp_path: Path, autojump_clock: object) -> None:
    """A stream that lost a message, also the last one, is opened again."""
    async with one_voter(tmp_path) as (_, [first, second]):
        await first.write(add_thing, AddThing("a"))
        await trio.sleep(1)
        feed = second.log
        real, lose = feed._took, [True]  # type: ignore[attr-defined]

        def took(answer: LogAnswer) -> bool:
            if lose and answer.kind == "entries":
                lose.pop()
                return True
            return bool(real(answer))

        feed._took = took  # type: ignore[attr-defined]
        await first.write(grow, Grow("a"))
        await trio.sleep(5)
        assert not lose
        assert second.index == first.index, "the last entry was lost, which leaves no gap"
        lose.append(True)
        await first.write(grow, Grow("a"))
        await first.write(grow, Grow("a"))
        await trio.sleep(0.9)
        assert second.index == first.index, "the gap is seen at the next entry"
