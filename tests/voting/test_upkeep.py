"""Disk that etcd gives back, alarms that it takes back, and the times that all members run with."""

import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

import paasd.etcd.command
from paasd import pki
from paasd.errors import Unavailable
from paasd.etcd import MemberSpec, member_url
from paasd.model.settings import PutSetting, put_setting
from paasd.state import LogUnavailable
from paasd.voting import Seat, open_seat, upkeep
from paasd.voting.upkeep import TIMES, Upkeep, better_times, is_wasteful
from tests.etcd.members import free_port
from tests.state.things import open_things
from tests.voting.cluster import town

MB = 1024 * 1024


@asynccontextmanager
async def own_seat() -> AsyncIterator[Seat]:
    """A member alone, and a log in it that begins with entry 0."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    client, peer = free_port(), free_port()
    spec = MemberSpec(
        name="a",
        log_id="one",
        address="127.0.0.1",
        listen="127.0.0.1",
        client_port=client,
        peer_port=peer,
        cluster={"a": member_url("127.0.0.1", peer)},
        state="new",
    )
    try:
        async with open_seat(folder, "a", outlive=False, clock=time.time) as seat:
            authority = pki.make_authority("etcd", datetime.now(UTC))
            seat.certify(authority, authority.certificate, spec)
            await seat.start(spec, 0)
            with trio.fail_after(20):
                while True:
                    try:
                        await seat.start_log("one", 0, b"")
                        break
                    except Unavailable:
                        await trio.sleep(0.05)
            yield seat
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def test_a_full_etcd_takes_writes_again_once_the_log_was_shortened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paasd.etcd.command, "QUOTA_BYTES", 16 * MB)
    monkeypatch.setattr(upkeep, "QUOTA_BYTES", 16 * MB)
    monkeypatch.setattr(upkeep, "WASTE_BYTES", MB)
    async with own_seat() as seat, open_things(tmp_path) as database:
        log, index = await seat.log("one"), 0
        keeper = Upkeep(seat, database, lambda: True, lambda: None)
        with pytest.raises(LogUnavailable, match=r"takes no writes: etcd: .*space exceeded; nothing was changed"):
            while index < 40:
                await log.append(index + 1, bytes(MB))
                index += 1
        await keeper.tend()
        assert keeper.full
        assert await log.newest() == index
        await log.trim(index)
        before = (await (await seat.client()).status()).dbSize
        await keeper.tend()
        assert not keeper.full
        assert (await (await seat.client()).status()).dbSize < before / 4
        assert await log.append(index + 1, b"again") is None


async def test_all_members_run_with_the_times_that_were_set_and_restart_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("paasd.voting.following.TURN_S", 1.0)
    async with town() as found:
        for guid in "abc":
            await found.start(guid, guid)
        await found.until_votes("abc")
        await found.databases["a"].write(put_setting, PutSetting(name=TIMES, value="150,1500"))
        writes, pids = 0, {guid: found.seats[guid].member.pid for guid in "abc"}
        with trio.fail_after(30):
            while any(seat.runs is None or seat.runs.times_ms != (150, 1500) for seat in found.seats.values()):
                await found.databases["b"].write(put_setting, PutSetting(name="n", value=f"{writes}"), timeout_s=10)
                writes += 1
                await trio.sleep(0.02)
        assert writes > 20
        command = Path(f"/proc/{found.seats['c'].member.pid}/cmdline").read_bytes()
        assert b"--election-timeout=1500" in command
        assert not set(pids.values()) & {seat.member.pid for seat in found.seats.values()}


def test_disk_is_given_back_only_where_there_is_much_of_it() -> None:
    assert is_wasteful(200 * MB, 20 * MB)
    assert not is_wasteful(200 * MB, 150 * MB)
    assert not is_wasteful(60 * MB, MB)


def test_times_change_only_when_the_network_asks_for_very_different_ones() -> None:
    assert better_times((100, 1000), 0.001) == (100, 1000)
    assert better_times((100, 1000), 0.09) == (100, 1000)
    assert better_times((100, 1000), 0.2) == (300, 3000)
    assert better_times((300, 3000), 0.001) == (100, 1000)
