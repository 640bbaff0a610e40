"""Copies that are lost are made again, by whoever looks after the blob; nothing is deleted that somebody needs."""

import os
import time
from collections.abc import Collection
from pathlib import Path

import msgspec
import pytest
import trio

from paasd.copies import Repair, findings, kept_only_on
from paasd.copies.findings import serve_state
from paasd.copies.scrub import scrub
from paasd.copies.wire import GET, WANT
from paasd.errors import Unavailable
from paasd.model.ownership import owner_of
from paasd.peer import Peer
from tests.disks import small_disk_at

from .world import QUICK, SIX, THREE, World, hang, open_world, some

IMPATIENT = msgspec.structs.replace(QUICK, repair_patience_s=0)


def repairs(world: World, referenced: Collection[str]) -> dict[str, Repair]:
    return {guid: Repair(copies, lambda: referenced) for guid, copies in world.copies.items()}


async def look_everywhere(world: World, referenced: Collection[str], without: Collection[str] = ()) -> None:
    for guid, repair in repairs(world, referenced).items():
        if guid not in without:
            await repair.look()


async def test_after_the_loss_of_any_node_every_blob_is_in_two_zones_again(tmp_path: Path) -> None:
    for lost in SIX:
        async with open_world(tmp_path / lost, SIX, config=IMPATIENT) as world:
            blobs = [await world.store(guid, some(20_000)) for guid in SIX for _ in range(4)]
            world.network.remove(lost)
            del world.places[lost]
            await look_everywhere(world, blobs, without=[lost])
            for sha256 in blobs:
                left = {guid: zone for guid, zone in SIX.items() if guid != lost}
                assert len({left[guid] for guid in world.holders(sha256) if guid in left}) >= 2
            assert all(not copies.short for copies in world.copies.values())


async def test_the_loss_of_a_whole_zone_is_made_good_among_the_others(tmp_path: Path) -> None:
    async with open_world(tmp_path, SIX, config=IMPATIENT) as world:
        blobs = [await world.store(guid, some(20_000)) for guid in SIX for _ in range(4)]
        for lost in ("b1", "b2"):
            world.network.remove(lost)
            del world.places[lost]
        await look_everywhere(world, blobs, without=["b1", "b2"])
        for sha256 in blobs:
            assert {SIX[guid] for guid in world.holders(sha256)} >= {"a", "c"}


async def test_nothing_is_copied_while_all_is_well_or_a_node_may_come_back(tmp_path: Path) -> None:
    async with open_world(tmp_path, THREE) as world:
        blobs = [await world.store(guid, some(2000)) for guid in THREE for _ in range(4)]
        before = {sha256: world.holders(sha256) for sha256 in blobs}
        await look_everywhere(world, blobs)
        assert {sha256: world.holders(sha256) for sha256 in blobs} == before
        world.cut_off("b1")
        await look_everywhere(world, blobs)
        world.know("b1", reachable=False)
        await look_everywhere(world, blobs)
        assert {sha256: world.holders(sha256) for sha256 in blobs} == before


async def test_a_node_that_stays_away_without_being_given_up_is_replaced_after_the_patience(tmp_path: Path) -> None:
    config = msgspec.structs.replace(QUICK, repair_patience_s=0.4)
    async with open_world(tmp_path, THREE, config=config) as world:
        blobs = [await world.store("a1", some(2000)) for _ in range(8)]
        world.cut_off("b1")
        world.know("b1", reachable=False)
        looking = {guid: repair for guid, repair in repairs(world, blobs).items() if guid != "b1"}
        with trio.fail_after(10):
            while any(set(world.holders(sha256)) < {"a1", "c1"} for sha256 in blobs):
                for repair in looking.values():
                    await repair.look()
                await trio.sleep(0.05)


async def test_a_push_with_too_few_zones_is_repaired_when_another_comes_up(tmp_path: Path) -> None:
    async with open_world(tmp_path, {"a1": "a", "b1": "b"}, config=IMPATIENT) as world:
        world.cut_off("b1")
        sha256 = await world.store("a1", some())
        assert sha256 in world.copies["a1"].short
        assert any("fewer zones" in one for one in await findings(world.copies["a1"]))
        world.network.heal("a1", "b1")
        world.network.heal("b1", "a1")
        await look_everywhere(world, [sha256])
        await look_everywhere(world, [sha256])
        assert world.holders(sha256) == ["a1", "b1"]
        assert world.copies["a1"].short == {} and await findings(world.copies["a1"]) == []


async def test_who_stored_a_blob_with_too_few_copies_hears_that_another_node_has_made_them(tmp_path: Path) -> None:
    async with open_world(tmp_path, THREE, config=IMPATIENT) as world:
        sha256 = ""
        while not sha256 or owner_of(sha256, THREE) == "a1":
            sha256 = await world.store("a1", some(1000), secure=False)
        world.copies["a1"].short[sha256] = "no zone was in reach"
        looking = repairs(world, [sha256])
        assert await looking[owner_of(sha256, THREE) or ""].look()
        assert len(world.holders(sha256)) == 2
        assert await looking["a1"].look()
        assert world.copies["a1"].short == {}
        assert len(world.holders(sha256)) == 2


async def test_two_that_repair_the_same_at_once_do_no_harm(tmp_path: Path) -> None:
    async with open_world(tmp_path, SIX, config=IMPATIENT) as world:
        data = some()
        sha256 = await world.store("a1", data, secure=False)
        for copies in world.copies.values():
            copies.short[sha256] = "as if each of them had stored it"
        async with trio.open_nursery() as nursery:
            for repair in repairs(world, [sha256]).values():
                nursery.start_soon(repair.look)
        assert len(world.zones(sha256)) >= 2 and len(world.holders(sha256)) <= 3
        for guid in world.holders(sha256):
            assert world.blobs[guid].path(sha256).read_bytes() == data
        assert all(not copies.short for copies in world.copies.values())


async def test_a_node_that_cannot_take_a_copy_is_passed_over(tmp_path: Path) -> None:
    with small_disk_at(tmp_path / "small", "4m") as small:
        async with open_world(tmp_path, THREE, config=IMPATIENT, roots={"b1": small}) as world:
            blobs = [await world.store("a1", some(5_000_000), secure=False) for _ in range(3)]
            await look_everywhere(world, blobs)
            for sha256 in blobs:
                assert world.holders(sha256) == ["a1", "c1"]


async def test_a_lost_blob_is_named_and_forgotten_when_nothing_needs_it(tmp_path: Path) -> None:
    async with open_world(tmp_path, THREE, config=IMPATIENT) as world:
        for copies in world.copies.values():
            serve_state(copies)
        sha256 = await world.store("b1", some(), secure=False)
        world.blobs["b1"].path(sha256).unlink()
        await look_everywhere(world, [sha256])
        (found,) = await findings(world.copies["a1"])
        assert sha256[:12] in found and "push these apps again" in found
        await look_everywhere(world, [])
        assert await findings(world.copies["a1"]) == []


async def test_copies_on_a_node_that_leaves_do_not_count_and_it_knows_when_it_may_go(tmp_path: Path) -> None:
    async with open_world(tmp_path, THREE, config=IMPATIENT) as world:
        blobs = [await world.store("a1", some(2000)) for _ in range(6)]
        world.know("a1", taking=False)
        assert await kept_only_on(world.copies["b1"], "a1", blobs) == sorted(blobs)
        await look_everywhere(world, blobs)
        assert await kept_only_on(world.copies["b1"], "a1", blobs) == []
        for sha256 in blobs:
            assert set(world.holders(sha256)) == set(THREE)


async def test_repair_takes_no_more_than_its_share_of_the_network(tmp_path: Path) -> None:
    config = msgspec.structs.replace(IMPATIENT, repair_bytes_per_s=2_000_000)
    async with open_world(tmp_path, {"a1": "a", "b1": "b"}, config=config) as world:
        sha256 = await world.store("a1", some(2_000_000), secure=False)
        began = trio.current_time()
        await look_everywhere(world, [sha256])
        assert 0.8 < trio.current_time() - began < 5
        assert world.holders(sha256) == ["a1", "b1"]


async def test_a_node_that_hangs_as_holder_or_as_target_does_not_hold_up_repair_for_ever(tmp_path: Path) -> None:
    async with open_world(tmp_path, SIX, config=IMPATIENT) as world:
        sha256 = await world.store("a1", some(), secure=False)
        await world.blobs["a2"].ensure(sha256)
        with world.stream_hook("a1", GET, hang), trio.fail_after(20):
            await look_everywhere(world, [sha256])
        assert len(world.zones(sha256)) == 2


async def test_repair_goes_on_when_the_node_that_makes_a_copy_is_lost(tmp_path: Path) -> None:
    async with open_world(tmp_path, THREE, config=IMPATIENT) as world:
        # So many that b1 is asked for some of them: which node makes a copy is by chance.
        blobs = [await world.store("a1", some(1000), secure=False) for _ in range(30)]

        async def lost(_peer: Peer, _body: bytes) -> bytes:
            world.know("b1", reachable=False)
            await trio.sleep_forever()
            raise AssertionError

        world.network.peers["b1"].serve(WANT, lost)
        with trio.fail_after(30):
            await look_everywhere(world, blobs, without=["b1"])
            await look_everywhere(world, blobs, without=["b1"])
        for sha256 in blobs:
            assert world.holders(sha256) == ["a1", "c1"]


async def test_scrubbing_finds_damage_and_brings_the_blob_anew(tmp_path: Path) -> None:
    async with open_world(tmp_path, {"a1": "a", "b1": "b"}) as world:
        data = some()
        sha256 = await world.store("a1", data)
        found: list[str] = []
        await scrub(world.blobs["a1"], sha256, found.append)
        assert found == []
        world.spoil("a1", sha256)
        await scrub(world.blobs["a1"], sha256, found.append)
        assert found == [sha256]
        assert world.blobs["a1"].path(sha256).read_bytes() == data
        world.spoil("a1", sha256)
        world.cut_off("b1")
        await scrub(world.blobs["a1"], sha256, found.append)
        assert not world.blobs["a1"].has(sha256)
        with pytest.raises(Unavailable):
            await world.blobs["a1"].ensure(sha256)


async def test_want_answers_only_when_the_copy_is_on_disk(tmp_path: Path) -> None:
    async with open_world(tmp_path, THREE) as world:
        sha256 = await world.store("a1", some(), secure=False)
        from paasd.copies.wire import Want, encode

        await world.network.peers["c1"].call("b1", WANT, encode(Want(sha256=sha256)))
        assert world.holders(sha256) == ["a1", "b1"]

        async def absent(_peer: Peer, _body: bytes) -> bytes:
            raise AssertionError("asked again")

        world.network.peers["a1"].serve("blob.have", absent)
        await world.network.peers["c1"].call("b1", WANT, encode(Want(sha256=sha256)))


async def test_a_copy_made_for_a_row_that_is_not_here_yet_is_not_collected(tmp_path: Path) -> None:
    """The row is written on another node and may take its time to come, or this node may have been cut off."""
    async with open_world(tmp_path, {"a1": "a", "b1": "b"}) as world:
        data = some()
        sha256 = await world.store("a1", data)
        for guid in ("a1", "b1"):
            # Both copies are old: unreferenced for days, and about to be collected.
            os.utime(world.blobs[guid].path(sha256), (0, 0))
            world.blobs[guid]._fresh.clear()
        assert await world.store("a1", data) == sha256  # a push refers to it again
        assert await world.blobs["b1"].collect(set()) == []
        assert await world.blobs["a1"].collect(set()) == []


async def test_what_a_build_in_progress_made_is_not_collected_though_the_clock_is_set(tmp_path: Path) -> None:
    async with open_world(tmp_path, {"a1": "a", "b1": "b"}) as world:
        sha256 = await world.store("a1", some())
        for guid in ("a1", "b1"):
            world.blobs[guid]._clock = lambda: time.time() + 30 * 86_400
            assert await world.blobs[guid].collect(set()) == []
            assert await world.blobs[guid].collect(set(), older_than_s=0) == [sha256]
