import hashlib
from pathlib import Path

import pytest
import trio
import trio.testing

from paasd.blobs import BlobDamaged, DiskFull, open_blobs
from paasd.copies.wire import GET, PUT, tell
from paasd.errors import NotFound, Unavailable
from paasd.peer import Peer, PeerStream
from tests.disks import small_disk_at

from .world import SIX, THREE, hang, open_world, some


async def test_what_is_stored_on_one_node_is_in_two_zones_when_the_commit_returns(tmp_path: Path) -> None:
    async with open_world(tmp_path, SIX) as world:
        data = some()
        sha256 = await world.store("a1", data)
        assert len(world.zones(sha256)) == 2 and len(world.holders(sha256)) == 2
        for guid in world.holders(sha256):
            assert world.blobs[guid].path(sha256).read_bytes() == data
        assert world.copies["a1"].short == {}


async def test_a_node_that_is_alone_makes_no_copies_and_asks_nobody(tmp_path: Path) -> None:
    async with open_world(tmp_path, {"a1": "a"}) as world:
        sha256 = await world.store("a1", some())
        assert world.holders(sha256) == ["a1"]
        assert world.copies["a1"].short == {}


async def test_in_one_zone_a_blob_is_on_two_nodes(tmp_path: Path) -> None:
    async with open_world(tmp_path, {"a1": "a", "a2": "a", "a3": "a"}) as world:
        assert len(world.holders(await world.store("a1", some()))) == 2


async def test_an_empty_blob_is_copied_too(tmp_path: Path) -> None:
    async with open_world(tmp_path, THREE) as world:
        sha256 = await world.store("a1", b"")
        assert len(world.zones(sha256)) == 2


async def test_storing_it_again_makes_sure_that_the_copy_is_there_and_sends_nothing(tmp_path: Path) -> None:
    async with open_world(tmp_path, {"a1": "a", "b1": "b"}) as world:
        data = some()
        sha256 = await world.store("a1", data)
        inode = world.blobs["b1"].path(sha256).stat().st_ino
        await world.store("a1", data)
        assert world.blobs["b1"].path(sha256).stat().st_ino == inode
        world.blobs["b1"].path(sha256).unlink()
        await world.store("a1", data)
        assert world.holders(sha256) == ["a1", "b1"]


async def test_with_no_other_zone_in_reach_a_push_goes_on_and_the_lack_is_remembered(tmp_path: Path) -> None:
    async with open_world(tmp_path, {"a1": "a", "b1": "b"}) as world:
        world.cut_off("b1")
        data = some()
        sha256 = await world.store("a1", data)
        assert world.holders(sha256) == ["a1"]
        assert "b1" in world.copies["a1"].short[sha256]
        world.network.heal("a1", "b1")
        world.network.heal("b1", "a1")
        await world.store("a1", data)
        assert world.copies["a1"].short == {} and world.holders(sha256) == ["a1", "b1"]


async def test_a_node_that_hangs_is_passed_over_for_another_zone(tmp_path: Path) -> None:
    async with open_world(tmp_path, THREE) as world:
        with world.stream_hook("b1", PUT, hang), trio.fail_after(10):
            for _ in range(4):
                sha256 = await world.store("a1", some(1000))
                assert world.holders(sha256) == ["a1", "c1"]


async def test_a_node_with_a_full_disk_refuses_and_keeps_nothing_half(tmp_path: Path) -> None:
    with small_disk_at(tmp_path / "small", "4m") as small:
        async with open_world(tmp_path, THREE, roots={"b1": small}) as world:
            for _ in range(4):
                sha256 = await world.store("a1", some(6_000_000))
                assert world.holders(sha256) == ["a1", "c1"]
            assert list((small / "incoming").iterdir()) == []


async def test_a_sender_that_breaks_off_leaves_nothing_behind(tmp_path: Path) -> None:
    async with open_world(tmp_path, {"a1": "a", "b1": "b"}) as world:
        sha256 = await world.store("a1", some(3_000_000), secure=False)
        with trio.move_on_after(0.0) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(world.copies["a1"].secure, world.blobs["a1"].stat(sha256))
                while not list((tmp_path / "b1" / "incoming").iterdir()):
                    await trio.lowlevel.checkpoint()
                    scope.deadline = trio.current_time() + 5
                scope.cancel()
        with trio.fail_after(5):
            while list((tmp_path / "b1" / "incoming").iterdir()):
                await trio.sleep(0.01)
        assert world.holders(sha256) == ["a1"]


async def test_a_copy_that_is_not_what_was_promised_is_not_taken(tmp_path: Path) -> None:
    async with open_world(tmp_path, {"a1": "a", "b1": "b"}) as world:
        wrong = hashlib.sha256(b"something else").hexdigest()
        peers = world.network.peers["a1"]
        from paasd.copies.wire import Put, Told, encode, piece, read

        async with peers.stream("b1", PUT, encode(Put(sha256=wrong, size_bytes=4))) as stream:
            assert read(await stream.receive()) == Told(state="go")
            await stream.send(piece(b"lies"))
            await stream.finish()
            told = read(await stream.receive())
        assert isinstance(told, Told) and told.state == "refused" and "not blob" in told.detail
        assert world.holders(wrong) == [] and world.holders(hashlib.sha256(b"lies").hexdigest()) == []


async def test_damage_before_the_copy_was_made_fails_the_upload(tmp_path: Path) -> None:
    async with open_world(tmp_path, {"a1": "a", "b1": "b"}) as world:
        sha256 = await world.store("a1", some(), secure=False)
        world.spoil("a1", sha256)
        with pytest.raises(BlobDamaged):
            await world.copies["a1"].secure(world.blobs["a1"].stat(sha256))
        assert world.holders(sha256) == []


async def test_what_is_missing_here_is_fetched_from_whichever_node_has_it(tmp_path: Path) -> None:
    async with open_world(tmp_path, SIX) as world:
        for guid in SIX:
            data = some()
            sha256 = await world.store(guid, data, secure=False)
            for other in SIX:
                assert (await world.blobs[other].ensure(sha256)).read_bytes() == data
            assert world.holders(sha256) == sorted(SIX)


async def test_many_that_want_the_same_share_one_transfer(tmp_path: Path) -> None:
    async with open_world(tmp_path, THREE) as world:
        sha256 = await world.store("a1", some(), secure=False)
        given = 0
        before = world.network.peers["a1"]._stream_handlers[GET][0]

        async def count(peer: Peer, body: bytes, stream: PeerStream) -> None:
            nonlocal given
            given += 1
            await before(peer, body, stream)

        with world.stream_hook("a1", GET, count):
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(world.blobs["c1"].ensure, sha256)
        assert given == 1 and world.holders(sha256) == ["a1", "c1"]


async def test_who_gives_up_waiting_does_not_spoil_it_for_the_others(tmp_path: Path) -> None:
    async with open_world(tmp_path, THREE) as world:
        sha256 = await world.store("a1", some(4_000_000), secure=False)
        async with trio.open_nursery() as nursery:
            first = trio.CancelScope()

            async def impatient() -> None:
                with first:
                    await world.blobs["c1"].ensure(sha256)

            nursery.start_soon(impatient)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(world.blobs["c1"].ensure, sha256)
            await trio.lowlevel.checkpoint()
            first.cancel()
        assert world.holders(sha256) == ["a1", "c1"]


async def test_a_damaged_copy_elsewhere_is_put_aside_there_and_another_is_taken(tmp_path: Path) -> None:
    async with open_world(tmp_path, SIX) as world:
        data = some()
        sha256 = await world.store("a1", data, secure=False)
        for guid in ("a2", "b1", "b2", "c1"):
            await world.blobs[guid].ensure(sha256)
        for guid in ("a1", "a2", "b1", "b2"):
            world.spoil(guid, sha256)
        assert (await world.blobs["c2"].ensure(sha256)).read_bytes() == data
        assert set(world.holders(sha256)) >= {"c1", "c2"}
        for guid in set(SIX) - set(world.holders(sha256)):
            assert world.blobs[guid]._place(sha256).with_suffix(".damaged").exists()


async def test_who_gives_a_damaged_copy_puts_it_aside_and_the_other_side_takes_nothing(tmp_path: Path) -> None:
    async with open_world(tmp_path, THREE) as world:
        sha256 = await world.store("a1", some(), secure=False)
        world.spoil("a1", sha256)
        with pytest.raises(Unavailable, match="damaged"):
            await world.blobs["b1"].ensure(sha256)
        assert world.holders(sha256) == []


async def test_a_damaged_copy_here_is_replaced_when_it_is_read_whole(tmp_path: Path) -> None:
    async with open_world(tmp_path, {"a1": "a", "b1": "b"}) as world:
        data = some()
        sha256 = await world.store("a1", data)
        world.spoil("a1", sha256)
        assert (await world.blobs["a1"].ensure(sha256, whole=True)).read_bytes() == data


async def test_without_others_damage_is_told_and_not_hidden(tmp_path: Path) -> None:
    async with open_blobs(tmp_path / "alone") as blobs:
        async with blobs.writer(100) as writer:
            await writer.write(b"content")
            sha256 = (await writer.commit()).sha256
        path = blobs.path(sha256)
        path.chmod(0o600)
        path.write_bytes(b"CONTENT")
        with pytest.raises(BlobDamaged):
            await blobs.ensure(sha256, whole=True)
        with pytest.raises(NotFound):
            await blobs.ensure(sha256)


async def test_a_holder_that_is_lost_in_the_middle_is_left_for_the_next(tmp_path: Path) -> None:
    async with open_world(tmp_path, THREE) as world:
        data = some(2_000_000)
        sha256 = await world.store("a1", data, secure=False)
        await world.blobs["b1"].ensure(sha256)

        async def half(_peer: Peer, _body: bytes, stream: PeerStream) -> None:
            await stream.send(tell("go", size_bytes=len(data)))
            await stream.send(b"P" + data[:1000])
            await trio.sleep_forever()

        with world.stream_hook("a1", GET, half), trio.fail_after(10):
            assert (await world.blobs["c1"].ensure(sha256)).read_bytes() == data
        assert list((tmp_path / "c1" / "incoming").iterdir()) == []


async def test_what_nobody_has_is_not_found_but_may_be_there_while_a_node_is_away(tmp_path: Path) -> None:
    async with open_world(tmp_path, THREE) as world:
        missing = hashlib.sha256(b"nowhere").hexdigest()
        with pytest.raises(NotFound, match="on no node"):
            await world.blobs["a1"].ensure(missing)
        world.cut_off("c1")
        with pytest.raises(Unavailable, match="c1"):
            await world.blobs["a1"].ensure(missing)
        world.know("c1", reachable=False)
        with pytest.raises(Unavailable, match="c1 cannot be reached"):
            await world.blobs["a1"].ensure(missing)


async def test_all_who_wait_are_told_of_a_failure(tmp_path: Path) -> None:
    async with open_world(tmp_path, THREE) as world:
        missing, told = hashlib.sha256(b"nowhere").hexdigest(), 0

        async def want() -> None:
            nonlocal told
            with pytest.raises(NotFound):
                await world.blobs["a1"].ensure(missing)
            told += 1

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(want)
        assert told == 5


async def test_a_full_disk_here_is_said_and_no_other_node_is_tried_for_it(tmp_path: Path) -> None:
    with small_disk_at(tmp_path / "small", "4m") as small:
        async with open_world(tmp_path, THREE, roots={"b1": small}) as world:
            sha256 = await world.store("a1", some(6_000_000), secure=False)
            await world.blobs["c1"].ensure(sha256)
            with pytest.raises(DiskFull):
                await world.blobs["b1"].ensure(sha256)
            assert list((small / "incoming").iterdir()) == []


async def test_a_claim_elsewhere_keeps_what_no_row_of_that_node_refers_to_yet(tmp_path: Path) -> None:
    async with open_world(tmp_path, THREE) as world:
        sha256 = await world.store("a1", some(), secure=False)
        import os

        os.utime(world.blobs["a1"].path(sha256), (0, 0))
        world.blobs["a1"]._fresh.clear()
        assert await world.blobs["b1"].exists(sha256)
        assert not await world.blobs["b1"].exists(hashlib.sha256(b"nowhere").hexdigest())
        assert await world.blobs["a1"].collect(set()) == []
