"""A platform of three zones loses machines, daemons, zones and links while clients ask, write, scale and push."""

import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from tests.cluster.cluster import Member
from tests.cluster.scene import FAILED_LIMIT_S, REPLACED_LIMIT_S, WRITES_LIMIT_S, Scene, scene
from tests.node.harness import HELLO

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]


async def lose(scene: Scene, member: Member) -> None:
    """The machine is gone at once; the others replace what it ran and go on taking writes."""
    rest = scene.others(member)
    lost_at = time.monotonic()
    await trio.to_thread.run_sync(member.lose)
    replaced_s = await scene.replaced(lost_at, rest)
    await scene.register.until_written(lost_at + WRITES_LIMIT_S)
    scene.tell(f"{member.name} lost", lost_at, rest, replaced_s)
    assert scene.last_failure_s(lost_at, rest) <= FAILED_LIMIT_S
    assert replaced_s <= REPLACED_LIMIT_S
    assert scene.register.longest_gap_s(lost_at) <= WRITES_LIMIT_S


async def come_back(scene: Scene, member: Member) -> None:
    """The machine is switched on again and takes up its part."""
    member.host.power_on()
    member.start()
    await member.until_answering()
    await scene.all_well()


async def test_the_loss_of_the_first_node_is_survived(tmp_path: Path) -> None:
    async with scene(tmp_path, busy=False) as found:
        await lose(found, found.platform.members[0])


@pytest.mark.slow
async def test_the_loss_of_each_node_in_turn_is_survived(tmp_path: Path) -> None:
    async with scene(tmp_path) as found:
        for member in found.platform.members:
            await lose(found, member)
            rest = found.others(member)
            result = await rest[1].push(f"during{member.host.number}", HELLO)
            assert result["type"] == "result", result
            await come_back(found, member)


async def kill_daemons(scene: Scene) -> None:
    """kill -9 of each daemon: no request fails, nothing moves."""
    for member in scene.platform.members:
        began = time.monotonic()
        known = scene.guids_before(began)
        member.kill_daemon()
        await trio.sleep(0.5)
        member.start()
        await member.until_answering()
        took_s = time.monotonic() - began
        await scene.all_well()
        bad = scene.failures(began, scene.platform.members)
        scene.note(f"{member.name}: daemon lost for {took_s:.2f} s, {len(bad)} failed requests")
        assert bad == []
        assert scene.guids_before(time.monotonic()) == known, "an instance was moved or restarted"


UNDER_WAY_S = 0.5
"""Calls that were sent to a node before it falls silent have ended by then."""


async def cut_zone_off(scene: Scene) -> None:
    """A zone is cut off from the others and healed: clients of the rest notice nothing, writes go on there."""
    away = scene.platform.members[0]
    rest = scene.others(away)
    began = time.monotonic()
    scene.platform.fabric.separate([away.host])
    replaced_s = await scene.replaced(began, rest)
    await trio.sleep(max(0.0, began + 5 - time.monotonic()))
    served = [a for a in scene.load.answers() if a.began > began + 3 and a.address == away.host.address]
    refused = await away.push("nowhere", HELLO)
    scene.tell(f"zone of {away.name} cut off, {len(served)} requests served there", began, rest, replaced_s)
    assert scene.last_failure_s(began, rest) <= FAILED_LIMIT_S
    assert scene.register.longest_gap_s(began) <= WRITES_LIMIT_S
    assert served and {answer.outcome for answer in served} == {"200"}, "the cut-off node serves what it runs"
    assert refused["type"] == "error", refused
    scene.platform.fabric.heal()
    scene.note(f"healed and well again after {await scene.all_well():.2f} s")


async def cut_one_way(scene: Scene) -> None:
    """One node hears another and is not heard by it: nobody is declared dead by a lone witness."""
    one, two, three = scene.platform.members
    began = time.monotonic()
    scene.platform.fabric.cut(one.host, two.host)
    await trio.sleep(12)
    nodes = await three.nodes()
    scene.platform.fabric.heal()
    scene.tell(f"{one.name} not heard by {two.name} for 12 s", began, scene.platform.members)
    assert {one["state"] for one in nodes} == {"READY"}, nodes
    assert scene.last_failure_s(began, scene.platform.members) <= FAILED_LIMIT_S
    scene.note(f"healed and well again after {await scene.all_well():.2f} s")


async def cut_out_of_one(scene: Scene) -> None:
    """Nobody hears one node, which hears everybody: it is as if it were cut off, and does not flap back."""
    away = scene.holder(scene.platform.members[0])
    rest = scene.others(away)
    scene.register.silent = away
    await trio.sleep(UNDER_WAY_S)
    began = time.monotonic()
    for other in rest:
        scene.platform.fabric.cut(away.host, other.host)
    replaced_s = await scene.replaced(began, rest)
    await trio.sleep(max(0.0, began + 12 - time.monotonic()))
    states = {one["name"]: one["state"] for one in await rest[0].nodes()}
    scene.tell(f"{away.name} heard by nobody for 12 s", began, rest, replaced_s)
    assert states[away.name] == "DEAD", states
    assert scene.last_failure_s(began, rest) <= FAILED_LIMIT_S
    assert scene.register.longest_gap_s(began) <= WRITES_LIMIT_S
    scene.platform.fabric.heal()
    scene.register.silent = None
    scene.note(f"healed and well again after {await scene.all_well():.2f} s")


async def pause(scene: Scene) -> None:
    """A machine hangs for half a minute and goes on: it is replaced, and what it ran is stopped when it wakes."""
    member = scene.holder(scene.platform.members[0])
    rest = scene.others(member)
    scene.register.silent = member
    await trio.sleep(UNDER_WAY_S)
    began = time.monotonic()
    member.host.signal_all(signal.SIGSTOP)
    replaced_s = await scene.replaced(began, rest)
    await trio.sleep(max(0.0, 30 - (time.monotonic() - began)))
    member.host.signal_all(signal.SIGCONT)
    scene.register.silent = None
    scene.tell(f"{member.name} paused for 30 s", began, rest, replaced_s)
    assert scene.last_failure_s(began, rest) <= FAILED_LIMIT_S
    assert scene.register.longest_gap_s(began) <= WRITES_LIMIT_S
    scene.note(f"goes on and all is well after {await scene.all_well():.2f} s")


async def restart_everything(scene: Scene) -> None:
    """All machines lose their power at once and come back: everything acknowledged is there and serves."""
    for member in scene.platform.members:
        await trio.to_thread.run_sync(member.lose)
    began = time.monotonic()
    for member in scene.platform.members:
        member.host.power_on()
        member.start()
    for member in scene.platform.members:
        await member.until_answering()
    await scene.all_well()
    scene.note(f"all machines restarted: well again after {time.monotonic() - began:.2f} s")


@pytest.mark.slow
@pytest.mark.parametrize(
    "trouble", [kill_daemons, cut_zone_off, cut_one_way, cut_out_of_one, pause, restart_everything]
)
async def test_trouble_is_survived(tmp_path: Path, trouble: Callable[[Scene], Awaitable[None]]) -> None:
    async with scene(tmp_path) as found:
        await trouble(found)
