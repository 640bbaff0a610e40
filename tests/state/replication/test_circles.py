"""Nodes that are taken for voters and follow themselves do not ask each other in circles."""

from pathlib import Path

import pytest
import trio

from paasd.state import LogUnavailable
from paasd.state.log import Voter
from tests.state.replication.nodes import one_voter
from tests.state.things import AddThing, add_thing


async def test_followers_that_are_called_voters_say_that_they_have_no_log(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with one_voter(tmp_path, followers=3) as (cluster, [first, *followers]):
        for number in range(5):
            await first.write(add_thing, AddThing(f"n{number}"))
        for follower in followers:
            await follower.catch_up()
        cluster.voters[:] = [Voter("n1"), Voter("n2"), Voter("n3")]
        cluster.isolate("n0")
        with trio.fail_after(5), pytest.raises(LogUnavailable):
            await followers[0].catch_up()
        with trio.fail_after(5), pytest.raises(LogUnavailable):
            await followers[0].log.read(followers[0].index - 3, 10)
        cluster.heal()
        cluster.voters.append(Voter("n0"))
        with trio.fail_after(20):
            await first.write(add_thing, AddThing("after"))
            for follower in followers:
                await follower.catch_up()
