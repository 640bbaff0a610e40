"""The log in a real etcd: the conditions of an append, what is read, followed and trimmed, and through a database."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trio

from paasd import pki
from paasd.errors import TooLarge
from paasd.etcd import Lost, Unreachable, open_client
from paasd.etcd import Refused as EtcdRefused
from paasd.etcd import messages as m
from paasd.state import Log, LogTrimmed, LogUnavailable
from paasd.state.log.entries import decode_entry
from paasd.state.log.etcd import ENTRY_LIMIT_BYTES, LOOK_S, EtcdLog
from paasd.state.log.interface import NoAnswer, Refused
from tests.etcd.members import MakeLog, log_of, village
from tests.state import log_rules
from tests.state.things import AddThing, add_thing, open_things


@pytest.mark.parametrize(
    "rule",
    [
        log_rules.numbered_without_gaps_and_chained,
        log_rules.read_from_an_entry_on_up_to_a_limit,
        log_rules.trimmed_with_a_name_and_the_newest_stays,
    ],
)
async def test_it_keeps_the_rules_of_every_log(tmp_path: Path, rule: Callable[[Log, Path], Awaitable[None]]) -> None:
    async with village() as found, log_of(found) as log:
        await rule(log, tmp_path)


async def test_an_append_takes_the_next_place_and_no_other() -> None:
    async with village() as found, log_of(found) as log:
        assert await log.append(1, b"a") is None
        assert await log.append(2, b"b") is None
        assert await log.append(2, b"late") == Refused((b"b",))
        assert await log.append(1, b"later") == Refused((b"a", b"b"))
        assert await log.append(4, b"too early") == Refused(())
        assert await log.newest() == 2
        assert await log.read(0, 10) == [b"a", b"b"]
        assert await log.read(1, 10) == [b"b"]
        assert await log.read(2, 10) == []


async def test_a_node_behind_a_trimmed_log_cannot_write_over_history(make: MakeLog = EtcdLog) -> None:
    """The slot of the lagging node is empty, which by itself proves nothing."""
    async with village() as found, log_of(found) as log, log_of(found, base=False, make=make) as lagging:
        for index in range(1, 6):
            await log.append(index, str(index).encode())
        await log.trim(5)
        assert await lagging.append(3, b"over history") == Refused(())
        assert await log.read(4, 10) == [b"5"]
        async with log_of(found, base=False) as late:  # the other one may have heard of what is gone now
            with pytest.raises(LogTrimmed):
                await late.read(2, 10)
        assert await log.append(6, b"6") is None


async def test_the_newest_index_is_right_at_any_lag(make: MakeLog = EtcdLog) -> None:
    async with village() as found, log_of(found) as log, log_of(found, base=False, make=make) as fresh:
        for index in range(1, 1201):
            await log.append(index, b"x")
        assert await fresh.newest() == 1200
        await log.trim(700)
        async with log_of(found, base=False, make=make) as later:
            assert await later.newest() == 1200


async def test_followers_hear_of_entries_at_once() -> None:
    async with village() as found, log_of(found) as log, log_of(found, base=False) as follower:
        heard: list[int] = []

        async def follow() -> None:
            index = 0
            while True:
                await follower.wait_newer(index)
                for data in await follower.read(index, 100):
                    index += 1
                    assert data == str(index).encode()
                heard.append(index)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            with trio.fail_after(20 * LOOK_S / 2):  # by asking once in a while it would take twice as long
                for index in range(1, 21):
                    await log.append(index, str(index).encode())
                    while not heard or heard[-1] < index:
                        await trio.sleep(0.001)
            nursery.cancel_scope.cancel()


async def test_a_log_begins_once_and_at_its_base() -> None:
    async with village() as found, log_of(found, base=False) as log:
        await log.start_at(41, b"base")
        await log.start_at(41, b"base")
        assert await log.newest() == 41
        assert await log.append(42, b"next") is None
        await log.start_at(41, b"another")
        assert await log.read(40, 10) == [b"base", b"next"]


async def test_an_entry_that_is_too_large_is_refused_before_it_is_sent() -> None:
    async with village() as found, log_of(found) as log:
        assert await log.append(1, bytes(ENTRY_LIMIT_BYTES)) is None
        with pytest.raises(TooLarge):
            await log.append(2, bytes(ENTRY_LIMIT_BYTES + 1))
        assert await log.append(2, b"small") is None


async def test_what_a_full_etcd_says_to_have_refused_is_looked_up() -> None:
    """It carries out what it found room for when it was asked, and may say then that there is none."""
    async with village() as found, log_of(found) as log:
        txn = log._client.txn

        async def carried_out(request: Any) -> Any:
            await txn(request)
            raise EtcdRefused(8, "etcdserver: mvcc: database space exceeded")

        async def refused(request: Any) -> Any:
            raise EtcdRefused(8, "etcdserver: mvcc: database space exceeded")

        log._client.txn = carried_out  # type: ignore[assignment]
        assert await log.append(1, b"a") is None
        log._client.txn = refused  # type: ignore[assignment]
        with pytest.raises(LogUnavailable, match="space exceeded; nothing was changed"):
            await log.append(2, b"b")
        await found.stop()
        with pytest.raises(NoAnswer):
            await log.append(2, b"b")


async def test_who_has_no_certificate_of_the_voters_authority_gets_nothing() -> None:
    async with village() as found:
        strangers = pki.make_authority("strangers", datetime.now(UTC))
        stranger = found.member("stranger", strangers)
        request = m.RangeRequest(key=b"a")
        async with open_client(lambda: found.through, stranger.client_context) as client:
            with pytest.raises((Lost, Unreachable)):
                await client.range(request)
        async with open_client(lambda: found.through, found.members[0].client_context) as client:
            assert (await client.range(request)).count == 0


async def test_without_any_member_nothing_was_changed() -> None:
    async with village() as found, log_of(found) as log:
        await log.append(1, b"a")
        await found.stop()
        with trio.fail_after(10), pytest.raises(LogUnavailable):
            await log.newest()
        await trio.sleep(2.6)
        with trio.fail_after(10), pytest.raises(LogUnavailable):
            await log.append(2, b"b")
        await found.start()
        with trio.fail_after(20):
            while True:
                try:
                    assert await log.append(2, b"b") is None
                    return
                except LogUnavailable:
                    await trio.sleep(0.1)


async def test_two_databases_share_it(tmp_path: Path) -> None:
    async with (
        village() as found,
        log_of(found) as first,
        log_of(found, base=False) as second,
        open_things(tmp_path / "one", log=first) as one,
        open_things(tmp_path / "two", log=second, seed=2) as two,
    ):
        async with trio.open_nursery() as nursery:
            for number in range(20):
                database = (one, two)[number % 2]
                nursery.start_soon(database.write, add_thing, AddThing(f"n{number}"))
        await one.catch_up()
        await two.catch_up()
        assert one.index == two.index
        entries = [decode_entry(data) for data in await first.read(0, 100)]
        assert [entry.index for entry in entries] == list(range(1, one.index + 1))


async def test_large_entries_are_read_in_batches_that_arrive_in_time() -> None:
    async with village() as found, log_of(found) as log, log_of(found, base=False) as behind:
        for index in range(1, 41):
            await log.append(index, bytes([index]) * 1_000_000)
        behind._client.attempt_s = 0.02
        read: list[bytes] = []
        with trio.fail_after(20):
            while len(read) < 40:
                try:
                    read += await behind.read(len(read), 1000)
                except LogUnavailable:
                    await trio.sleep(0.01)
        assert [data[0] for data in read] == list(range(1, 41))


async def test_trimming_again_or_by_another_changes_nothing() -> None:
    async with village() as found, log_of(found) as log, log_of(found, base=False) as other:
        for index in range(1, 10):
            await log.append(index, b"x")
        await log.trim(5)
        await other.trim(5)
        await other.trim(3)
        await log.trim(10**9)
        assert await log.read(8, 10) == [b"x"]
        async with log_of(found, base=False) as fresh:
            with pytest.raises(LogTrimmed, match="begins at entry 9"):
                await fresh.read(7, 10)
        assert await other.append(10, b"y") is None
