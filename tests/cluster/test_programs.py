"""On real hosts the programs beside the daemon are killed, and a disk is full, while clients ask, write and push."""

import time
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.cluster.cluster import Member
from tests.cluster.scene import FAILED_LIMIT_S, WRITES_LIMIT_S, Scene, scene
from tests.disks import fill, small_disk_at
from tests.node.harness import HELLO

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

FULL_S = 20.0
SPACE_MB = 2500


async def kill(scene: Scene, program: str, *members: Member) -> float:
    """kill -9 of a program on these hosts; when that was."""
    began = time.monotonic()
    for member in members:
        assert await trio.to_thread.run_sync(partial(member.host.kill_program, program)) == 1
    return began


async def test_etcd_is_killed_again_and_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as found:
        for _ in range(2):
            for member in found.platform.members:
                began = await kill(found, "etcd", member)
                await found.register.until_written(began + WRITES_LIMIT_S)
                found.tell(f"etcd of {member.name} killed", began, found.platform.members)
                assert found.failures(began, found.platform.members) == []
                assert found.register.longest_gap_s(began) <= WRITES_LIMIT_S
                await found.all_well()
        began = await kill(found, "etcd", *found.platform.members)
        await found.register.until_written(began + WRITES_LIMIT_S)
        found.tell("every etcd killed at once", began, found.platform.members)
        assert found.failures(began, found.platform.members) == []
        found.note(f"well again after {await found.all_well():.2f} s")


async def test_envoy_is_killed_on_each_node(tmp_path: Path) -> None:
    async with scene(tmp_path) as found:
        for member in found.platform.members:
            rest = found.others(member)
            began = await kill(found, "envoy", member)
            await trio.sleep(3)
            found.tell(f"envoy of {member.name} killed, through the others", began, rest)
            found.tell("  through its own node", began, [member])
            assert found.last_failure_s(began, rest) <= FAILED_LIMIT_S
            assert found.last_failure_s(began, [member]) <= 2 * FAILED_LIMIT_S
            await found.all_well()
            await found.steady()


async def refused(member: Member) -> str:
    """What a push through a node says whose disk is full."""
    result = await member.push("late", HELLO)
    assert "no space left" in str(result), result
    return str(result["detail"])


async def told(through: Member, full: Member) -> bool:
    """Whether `paasd status` of a node names the full disk of another."""
    return f"the disk of node {full.name} has " in str((await through.status())["problems"])


async def test_the_disk_of_a_node_is_full(tmp_path: Path) -> None:
    directory = tmp_path / "hosts"
    directory.mkdir()
    with small_disk_at(directory / "node2", f"{SPACE_MB}m") as small:
        async with scene(tmp_path, kept=True) as found:
            member = found.platform.members[1]
            rest = found.others(member)
            began = time.monotonic()
            ballast = await trio.to_thread.run_sync(fill, small)
            found.note(f"a push through it: {await refused(member)}")
            await found.platform.until(partial(told, rest[0], member), limit_s=30, what="another node says so")
            await trio.sleep(max(0.0, began + FULL_S - time.monotonic()))
            found.tell(f"disk of {member.name} full for {FULL_S:.0f} s, through the others", began, rest)
            found.tell("  through its own node", began, [member])
            assert found.failures(began, rest) == []
            assert found.register.longest_gap_s(began) <= WRITES_LIMIT_S
            ballast.unlink()
            found.note(f"space again and all is well after {await found.all_well():.2f} s")
