import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from paasd.config import StateConfig
from paasd.state import (
    DiskFull,
    MemoryLog,
    StateDamaged,
    ThreadRunner,
    list_snapshots,
    restore_snapshot,
    take_snapshot,
)
from paasd.state.checking import contents
from paasd.state.engine.snapshots import read_manifest
from tests.disks import small_disk_at
from tests.state.things import AddThing, Thing, add_thing, open_things


async def test_a_snapshot_holds_everything_up_to_its_entry_and_goes_on_from_there(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "snapshots"
    async with open_things(tmp_path / "data") as database:
        for number in range(20):
            await database.write(add_thing, AddThing(f"n{number}"))
        manifest = take_snapshot(database.path, folder, 1234.5)
        assert (manifest.position, manifest.schema, manifest.taken_at_s) == (database.index, 1, 1234.5)
        assert manifest.log_identity == database.log_identity
        held = contents(database.path)
        await database.write(add_thing, AddThing("later"))
    [snapshot] = list_snapshots(folder)
    assert read_manifest(snapshot) == manifest
    restore_snapshot(snapshot, tmp_path / "new")
    async with open_things(tmp_path / "new", seed=1) as database:
        assert contents(database.path) == held
        assert database.index == manifest.position
        assert database.log_identity != manifest.log_identity, "a restored database is another one"
        await database.write(add_thing, AddThing("goes on"))
        assert database.index == manifest.position + 1


async def test_a_damaged_database_is_repaired_the_way_its_error_says(tmp_path: Path) -> None:
    async with open_things(tmp_path) as database:
        await database.write(add_thing, AddThing("kept"))
        take_snapshot(database.path, tmp_path / "snapshots", 0)
        path = database.path
    path.write_bytes(b"damage" * 1000)
    with pytest.raises(StateDamaged, match=str(tmp_path / "snapshots")):
        async with open_things(tmp_path):
            pass
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        path.with_name(name).unlink(missing_ok=True)
    path.write_bytes((list_snapshots(tmp_path / "snapshots")[-1] / "state.db").read_bytes())
    async with open_things(tmp_path, seed=1) as database:
        with database.read() as tx:
            assert [t.name for t in tx.all(Thing)] == ["kept"]
        await database.write(add_thing, AddThing("goes on"))


async def test_a_node_behind_a_trimmed_log_joins_from_a_snapshot(tmp_path: Path) -> None:
    log = MemoryLog(1)
    async with open_things(tmp_path / "one", log=log.client()) as one:
        for number in range(5):
            await one.write(add_thing, AddThing(f"n{number}"))
        take_snapshot(one.path, tmp_path / "snapshots", 0)
        await log.client().trim(one.index)
        await one.write(add_thing, AddThing("after"))
        [snapshot] = list_snapshots(tmp_path / "snapshots")
        restore_snapshot(snapshot, tmp_path / "two", new_log=False)
        async with open_things(tmp_path / "two", log=log.client(), seed=1) as two:
            assert contents(two.path) == contents(one.path)


async def test_a_snapshot_taken_under_writes_is_whole(tmp_path: Path) -> None:
    async with open_things(tmp_path, runner=ThreadRunner()) as database, trio.open_nursery() as nursery:

        async def write(client: int) -> None:
            for number in range(10**6):
                await database.write(add_thing, AddThing(f"{client}/{number}"))

        for client in range(4):
            nursery.start_soon(write, client)
        for turn in range(5):
            manifest = await trio.to_thread.run_sync(take_snapshot, database.path, tmp_path / "snapshots", 0)
            folder = tmp_path / f"restored-{turn}"
            restore_snapshot(tmp_path / "snapshots" / f"{manifest.position:016d}", folder)
            held = contents(folder / "state.db")
            assert len(held["things"]) == len(held["state_requests"]) >= manifest.position - 1
        nursery.cancel_scope.cancel()


async def test_snapshots_are_taken_by_themselves_and_the_newest_are_kept(
    tmp_path: Path, autojump_clock: object
) -> None:
    config = StateConfig(snapshot_interval_s=3600, snapshots=2)
    async with open_things(tmp_path, config, clock=trio.current_time) as database:
        for number in range(5):
            await database.write(add_thing, AddThing(f"n{number}"))
            await trio.sleep(3600)
        kept = [read_manifest(snapshot) for snapshot in list_snapshots(tmp_path / "snapshots")]
        assert [manifest.position for manifest in kept] == [database.index - 1, database.index]
        assert kept[1].taken_at_s - kept[0].taken_at_s == pytest.approx(3600, abs=2)


async def test_a_snapshot_that_is_not_what_it_says_is_refused(tmp_path: Path) -> None:
    async with open_things(tmp_path / "data") as database:
        await database.write(add_thing, AddThing("a"))
        take_snapshot(database.path, tmp_path / "snapshots", 0)
    [snapshot] = list_snapshots(tmp_path / "snapshots")
    with (snapshot / "state.db").open("r+b") as file:
        file.seek(-10, os.SEEK_END)
        file.write(b"x")
    with pytest.raises(StateDamaged, match="not what its manifest says"):
        restore_snapshot(snapshot, tmp_path / "new")
    assert not any((tmp_path / "new").iterdir())
    (snapshot / "manifest.json").write_text(json.dumps({"position": 1}))
    with pytest.raises(StateDamaged, match="no readable manifest"):
        restore_snapshot(snapshot, tmp_path / "new")


async def test_a_snapshot_is_never_put_over_a_database(tmp_path: Path) -> None:
    async with open_things(tmp_path / "data") as database:
        take_snapshot(database.path, tmp_path / "snapshots", 0)
        held = contents(database.path)
    with pytest.raises(FileExistsError, match="move it"):
        restore_snapshot(list_snapshots(tmp_path / "snapshots")[0], tmp_path / "data")
    assert contents(tmp_path / "data" / "state.db") == held


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk_at(tmp_path / "small", "64k") as mount:
        yield mount


@pytest.mark.root
async def test_a_snapshot_without_space_is_an_error_and_leaves_nothing(tmp_path: Path, small_disk: Path) -> None:
    async with open_things(tmp_path / "data") as database:
        for number in range(300):
            await database.write(add_thing, AddThing(f"n{number}"))
        with pytest.raises(DiskFull, match="no space left"):
            take_snapshot(database.path, small_disk / "snapshots", 0)
        assert list((small_disk / "snapshots").iterdir()) == []
        assert take_snapshot(database.path, tmp_path / "snapshots", 0).position == database.index
