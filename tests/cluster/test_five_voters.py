"""Five votes over three zones on six hosts: any two may be lost at once, and a vote that is lost for good moves on."""

import time
from collections import Counter
from pathlib import Path

import pytest
import trio

from tests.cluster.cluster import Cluster, Member, cluster
from tests.cluster.scene import WRITES_LIMIT_S
from tests.cluster.writers import Register

pytestmark = [pytest.mark.root, pytest.mark.timeout(420)]
ZONES = ("dc/a", "dc/b", "dc/c", "dc/a", "dc/b", "dc/c")
SECTIONS = "[liveness]\nflap_grace_s = 1.0\nflap_grace_limit_s = 1.0\nbrake_window_s = 1.0\n"


async def voters(through: Member) -> list[str]:
    return sorted(one["name"] for one in await through.nodes() if one["voting"] == "VOTER")


async def until_voters(platform: Cluster, count: int, without: tuple[str, ...] = ()) -> tuple[list[str], float]:
    """Until so many of the living vote, and nobody else; who, and the seconds it took."""
    found: list[str] = []
    living = {member.name for member in platform.living}

    async def settled() -> bool:
        found[:] = await voters(platform.living[0])
        return len(found) == count and set(found) <= living - set(without)

    took_s = await platform.until(settled, limit_s=90, what=f"{count} votes", pause_s=0.2)
    return found.copy(), took_s


async def an_app(through: Member) -> str:
    """Something that has an annotation."""
    async with through.client() as client:
        (space,) = (await client.get("/v3/spaces", params={"names": "dev"})).raise_for_status().json()["resources"]
        body = {"name": "written", "relationships": {"space": {"data": {"guid": space["guid"]}}}}
        return str((await client.post("/v3/apps", json=body)).raise_for_status().json()["guid"])


@pytest.mark.slow
async def test_two_of_five_voters_are_lost_and_a_vote_that_is_lost_for_good_moves_on(tmp_path: Path) -> None:
    async with cluster(tmp_path / "hosts", ZONES, sections=SECTIONS) as platform:
        first, took_s = await until_voters(platform, 5)
        by_name = {member.name: member for member in platform.members}
        zones = Counter(by_name[name].zone for name in first)
        print(f"five votes after {took_s:.1f} s: {first}")
        assert sorted(zones.values()) == [1, 2, 2], "no zone has the majority, and each has a vote"
        register = Register(platform, await an_app(platform.members[0]))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(register.run)
            await register.until_written(time.monotonic())
            await lose(platform, register, [by_name[name] for name in one_of_each_of_two_zones(by_name, first)])
            await lose_for_good(platform, register, by_name)
            register.stop()
        register.check()


def one_of_each_of_two_zones(by_name: dict[str, Member], names: list[str]) -> list[str]:
    """Two voters, the first node among them if it votes."""
    one = names[0]
    return [one, next(name for name in names if by_name[name].zone != by_name[one].zone)]


async def lose(platform: Cluster, register: Register, lost: list[Member]) -> None:
    """Two at once: writes go on with three of five, and all five vote again when both are back."""
    began = time.monotonic()
    for member in lost:
        member.lose()
    await register.until_written(began + 5)
    gap_s = register.longest_gap_s(began)
    left, took_s = await until_voters(platform, 3)
    print(f"{[one.name for one in lost]} lost: longest pause of writes {gap_s:.2f} s; {left} vote after {took_s:.1f} s")
    assert gap_s <= WRITES_LIMIT_S
    for member in lost:
        member.host.power_on()
        member.start()
    for member in lost:
        await member.until_answering()
    names, took_s = await until_voters(platform, 5)
    print(f"both back: {names} vote after {took_s:.1f} s")


async def lose_for_good(platform: Cluster, register: Register, by_name: dict[str, Member]) -> None:
    """One voter stays away: the node that had no vote, or another, gets its."""
    before = await voters(platform.living[0])
    spare = next(name for name in by_name if name not in before)
    lost = next(name for name in before if by_name[name].zone == by_name[spare].zone)
    began = time.monotonic()
    by_name[lost].lose()
    names, took_s = await until_voters(platform, 5, without=(lost,))
    await register.until_written(time.monotonic())
    gap_s = register.longest_gap_s(began)
    print(f"{lost} lost for good: {names} vote after {took_s:.1f} s, longest pause of writes {gap_s:.2f} s")
    assert spare in names and gap_s <= WRITES_LIMIT_S
