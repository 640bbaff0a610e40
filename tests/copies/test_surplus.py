"""Copies that are too many are given up, and never one that somebody relies on, whoever counts at the same time."""

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from pathlib import Path
from random import Random

import msgspec
import pytest
import trio

from paasd.copies import Place, Repair
from paasd.copies.places import spare
from paasd.copies.sparing import Sparing
from paasd.copies.wire import PLEDGE
from paasd.errors import Unavailable
from paasd.peer import Peer

from .world import QUICK, SIX, THREE, World, open_world, some

EAGER = msgspec.structs.replace(QUICK, repair_patience_s=0, spare_after_s=0)


async def copied_everywhere(world: World) -> str:
    """A blob that every node has, as after nodes were away in turn and came back."""
    sha256 = await world.store("a1", some(20_000))
    for blobs in world.blobs.values():
        await blobs.ensure(sha256)
    assert len(world.holders(sha256)) == len(world.places)
    return sha256


def looking(world: World, referenced: Collection[str]) -> list[Repair]:
    return [Repair(copies, lambda: referenced) for copies in world.copies.values()]


def test_who_keeps_a_copy_is_who_is_asked_for_it_first_one_in_each_wanted_zone() -> None:
    places = [Place(guid=guid, zone=zone) for guid, zone in SIX.items()]
    kept, too_many = spare("0" * 64, places, places)
    assert len(kept) == 2 and len({place.zone for place in kept}) == 2 and len(too_many) == 4
    assert spare("0" * 64, places, kept) == (kept, [])
    same_zone = [place for place in places if place.zone == kept[0].zone]
    assert spare("0" * 64, places, same_zone)[1] == [], "two in one zone are not enough, and neither is too many"
    away = [msgspec.structs.replace(place, taking=place not in kept) for place in places]
    again, _ = spare("0" * 64, away, away)
    assert len(again) == 2 and not {one.guid for one in again} & {one.guid for one in kept}


async def test_what_was_copied_while_a_node_was_away_is_given_up_when_it_is_back(tmp_path: Path) -> None:
    async with open_world(tmp_path, SIX, config=EAGER) as world:
        blobs = [await world.store(guid, some(20_000)) for guid in SIX for _ in range(3)]
        away = "b1"
        place = world.places.pop(away)
        repairs = [Repair(copies, lambda: blobs) for guid, copies in world.copies.items() if guid != away]
        for repair in repairs:
            await repair.look()
        world.places[away] = place
        assert any(len(world.holders(sha256)) > 2 for sha256 in blobs)
        for _ in range(2):
            for repair in looking(world, blobs):
                assert await repair.look()
        for sha256 in blobs:
            assert len(world.holders(sha256)) == 2 and len(world.zones(sha256)) == 2
        for guid in SIX:
            for sha256 in blobs:
                await world.blobs[guid].ensure(sha256)


async def test_a_copy_stays_while_it_was_used_or_is_needed_or_a_node_is_away(tmp_path: Path) -> None:
    config = msgspec.structs.replace(EAGER, spare_after_s=0.3)
    async with open_world(tmp_path, THREE, config=config) as world:
        sha256 = await copied_everywhere(world)
        repairs = looking(world, [sha256])
        for repair in repairs:
            await repair.look()
        assert len(world.holders(sha256)) == 3, "it was not too many for long enough"
        for copies in world.copies.values():
            copies.sparing.needed = lambda: [sha256]
        await trio.sleep(0.4)
        for repair in repairs:
            await repair.look()
        assert len(world.holders(sha256)) == 3, "what runs there is made of it"
        for copies in world.copies.values():
            copies.sparing.needed = frozenset
        world.know("c1", reachable=False)
        await trio.sleep(0.4)
        for repair in repairs:
            await repair.look()
        assert len(world.holders(sha256)) == 3, "nobody knows what the third has"
        world.know("c1", reachable=True)
        for _ in range(2):
            await trio.sleep(0.4)
            for repair in repairs:
                await repair.look()
        assert len(world.holders(sha256)) == 2


async def test_no_copy_goes_for_one_that_is_damaged(tmp_path: Path) -> None:
    async with open_world(tmp_path, THREE, config=EAGER) as world:
        sha256 = await copied_everywhere(world)
        world.spoil("b1", sha256)
        with pytest.raises(Unavailable, match="node b1 does not pledge to keep it"):
            await world.copies["a1"].sparing.give_up(sha256, ["b1", "c1"])
        assert world.holders(sha256) == ["a1", "c1"], "the damaged one was put aside"


async def test_a_node_takes_nobodys_word_for_how_many_zones_are_enough(tmp_path: Path) -> None:
    async with open_world(tmp_path, SIX, config=EAGER) as world:
        sha256 = await copied_everywhere(world)
        for keepers in ([], ["b1"], ["b1", "b2"], ["a1", "b1"], ["nobody", "b1"]):
            with pytest.raises(Unavailable, match="in too few zones"):
                await world.copies["a1"].sparing.give_up(sha256, keepers)
        world.know("b1", taking=False)
        with pytest.raises(Unavailable, match="in too few zones"):
            await world.copies["a1"].sparing.give_up(sha256, ["b1", "c1"])
        await world.copies["a1"].sparing.give_up(sha256, ["b2", "c1"])
        assert "a1" not in world.holders(sha256)


async def test_two_that_would_rely_on_each_other_do_not_both_leave(tmp_path: Path) -> None:
    async with open_world(tmp_path, THREE, config=EAGER) as world:
        sha256 = await copied_everywhere(world)
        await all_at_once(world, sha256, {"a1": ["b1", "c1"], "b1": ["a1", "c1"], "c1": ["a1", "b1"]})
        assert len(world.holders(sha256)) >= 2


async def all_at_once(world: World, sha256: str, asked: dict[str, list[str]]) -> None:
    """Nobody hears of a pledge before everybody has got as many."""
    rounds = [trio.Event(), trio.Event()]
    given = 0

    async def give_up(guid: str) -> None:
        with suppress(Unavailable):
            await world.copies[guid].sparing.give_up(sha256, asked[guid])

    def held_up(sparing: Sparing) -> Callable[[Peer, bytes], Awaitable[bytes]]:
        async def answer(peer: Peer, body: bytes) -> bytes:
            nonlocal given
            answered = await sparing._answer_pledge(peer, body)
            mine, given = given // len(asked), given + 1
            if given % len(asked) == 0:
                rounds[mine].set()
            with trio.move_on_after(1):
                await rounds[mine].wait()
            return answered

        return answer

    for guid, copies in world.copies.items():
        world.network.peers[guid].serve(PLEDGE, held_up(copies.sparing))
    async with trio.open_nursery() as nursery:
        for guid in asked:
            nursery.start_soon(give_up, guid)


@pytest.mark.parametrize("seed", range(12))
async def test_never_fewer_than_wanted_whoever_counts_and_restarts(tmp_path: Path, seed: int) -> None:
    """Nodes are told at random by random counters who is to keep what, all at once, and forget pledges by restarts."""
    random = Random(seed)
    async with open_world(tmp_path, SIX, config=EAGER) as world:
        sha256 = await copied_everywhere(world)
        enough = True

        def look() -> None:
            nonlocal enough
            enough &= len(world.zones(sha256)) >= 2

        async def counts() -> None:
            for _ in range(12):
                await trio.sleep(random.random() * 0.01)
                guid, other = random.sample(sorted(SIX), 2)
                keepers = random.sample(sorted(SIX), random.randint(2, 4))
                try:
                    await world.copies[guid].sparing.give_up(sha256, [*keepers, other])
                except Unavailable:
                    pass
                look()

        async def restarts() -> None:
            for _ in range(20):
                await trio.sleep(random.random() * 0.01)
                restart(world, random.choice(sorted(SIX)))

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(counts)
            nursery.start_soon(restarts)
        assert enough
        for guid in SIX:
            restart(world, guid)
        for repair in looking(world, [sha256]):
            await repair.look()
        assert len(world.holders(sha256)) == 2


def restart(world: World, guid: str) -> None:
    """What a daemon remembers of pledges is gone."""
    world.copies[guid].sparing._pledged.clear()
