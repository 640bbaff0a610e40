"""Who votes changes: nodes die, are drained, come back, lose their data; nothing that was acknowledged is lost."""

import os
import signal

import pytest
import trio

from paasd.model.settings import PutSetting, put_setting, read_setting
from paasd.state import Database
from paasd.state.log import FeedLog
from paasd.state.log.etcd import EtcdLog
from tests.voting.cluster import Town, town


async def put(database: Database, name: str) -> None:
    await database.write(put_setting, PutSetting(name=name, value="x"), timeout_s=15)


def has(database: Database, name: str) -> bool:
    with database.read() as tx:
        return read_setting(tx, name) == "x"


async def three(found: Town) -> None:
    for guid, zone in (("a", "x"), ("b", "y"), ("c", "z")):
        await found.start(guid, zone)
    await found.until_votes("abc")


async def test_a_voter_that_is_lost_is_replaced_and_forgets_its_vote_when_it_is_back() -> None:
    async with town() as found:
        await three(found)
        await found.start("d", "x")
        await put(found.databases["d"], "before")
        await found.lose("a")
        await put(found.databases["b"], "without a")
        await found.declare_dead("a", by="b")
        await found.until_votes("bcd", seen_by="b")
        await put(found.databases["d"], "with d")
        back = await found.start("a", "x")
        await back.catch_up()
        assert all(has(back, name) for name in ("before", "without a", "with d"))
        await found.until_votes("bcd", seen_by="a")
        assert isinstance(back.log, FeedLog)
        assert not found.seats["a"].member.has_data


async def test_a_drained_voter_hands_over_first_and_writes_go_on() -> None:
    async with town() as found:
        await three(found)
        await found.start("d", "x")
        await found.drain("a", by="b")
        await found.until_votes("bcd", seen_by="b")
        assert isinstance(found.databases["a"].log, FeedLog)
        await put(found.databases["a"], "after")
        await found.databases["c"].catch_up()
        assert has(found.databases["c"], "after")


async def test_the_only_voter_hands_the_log_over_when_it_is_drained() -> None:
    async with town() as found:
        await found.start("a")
        await found.start("b")
        await put(found.databases["b"], "before")
        await found.drain("a", by="b")
        await found.until_votes("b", seen_by="b")
        await put(found.databases["a"], "after")
        await found.databases["b"].catch_up()
        assert has(found.databases["b"], "before") and has(found.databases["b"], "after")


async def test_daemons_come_and_go_while_etcd_stays() -> None:
    """A restarted daemon finds its member by pid and start time, and the log where it was."""
    async with town() as found:
        for guid in "abc":
            await found.start(guid, guid, outlive=True)
        await found.until_votes("abc")
        pids = {guid: found.seats[guid].member.pid for guid in "abc"}
        for guid in "abc":
            await found.stop(guid)
        for guid in "abc":
            await found.start(guid, guid, outlive=True)
            await put(found.databases[guid], f"again {guid}")
        assert {guid: found.seats[guid].member.pid for guid in "abc"} == pids
        assert all(found.seats[guid].member.adopted for guid in "abc")
        assert all(isinstance(found.databases[guid].log, EtcdLog) for guid in "abc")


async def test_all_machines_go_off_at_once_and_come_back() -> None:
    async with town() as found:
        await three(found)
        await put(found.databases["a"], "before")
        for guid in "abc":
            await found.lose(guid)
        found.unreachable.clear()
        async with trio.open_nursery() as nursery:
            for guid in "abc":
                nursery.start_soon(found.start, guid, guid)
        await put(found.databases["c"], "after")
        await found.databases["b"].catch_up()
        assert has(found.databases["b"], "before") and has(found.databases["b"], "after")


async def test_a_member_whose_data_are_gone_leaves_and_joins_anew() -> None:
    async with town() as found:
        await three(found)
        await found.lose("b")
        found.seats["b"].member.wipe()
        await found.start("b", "y")
        with trio.fail_after(40):
            while found.votes("a") == "abc":  # its row says that it leaves
                await trio.sleep(0.01)
        await found.until_votes("abc")
        await put(found.databases["b"], "after")


async def test_a_member_that_is_killed_starts_again() -> None:
    async with town() as found:
        await three(found)
        member = found.seats["a"].member
        before = member.pid
        assert before is not None
        os.kill(before, signal.SIGKILL)
        with trio.fail_after(10):
            while member.pid in (None, before):
                await trio.sleep(0.01)
        await put(found.databases["a"], "after")


@pytest.mark.timeout(150)
async def test_a_sixth_node_takes_over_the_vote_of_a_lost_one_and_any_two_of_five_may_be_lost_at_once() -> None:
    async with town() as found:
        for guid, zone in zip("abcdef", "xyzxyz", strict=True):
            await found.start(guid, zone)
        await found.until_votes("abcde")
        await found.lose("a")
        await put(found.databases["f"], "with four of five")
        await found.declare_dead("a", by="b")
        await found.until_votes("bcdef", seen_by="b")
        for lost in "bc":
            await found.lose(lost)
        await put(found.databases["f"], "with three of five")
        for lost in "bc":
            await found.declare_dead(lost, by="d")
        await found.until_votes("def", seen_by="d")
        await put(found.databases["d"], "with three of three")
        await found.databases["e"].catch_up()
        assert all(has(found.databases["e"], f"with {rest}") for rest in ("four of five", "three of five"))
