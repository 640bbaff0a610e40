"""A node that cannot go on by the log goes on by another node's state, whole or not at all."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import msgspec
import pytest
import trio

from paasd.errors import Unavailable
from paasd.peer import MemoryNetwork
from paasd.state import InlineRunner
from paasd.state.checking import contents
from paasd.state.engine import Manifest, read_standing
from paasd.state.log import Voter
from paasd.state.log.messages import decode, encode
from paasd.state.replication.copying import CHUNK_BYTES, KIND, Fetching, SnapshotHead, serve_snapshots
from tests.state.replication.nodes import one_voter, three_voters
from tests.state.things import AddThing, Grow, Thing, add_thing, fill, grow, open_things


async def agree(databases: list) -> None:  # type: ignore[type-arg]
    for database in databases:
        await database.catch_up()
    held = [contents(database.path) for database in databases]
    assert all(one == held[0] for one in held)


async def test_a_node_that_was_away_past_the_trimmed_log_loads_the_state_and_goes_on(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with three_voters(tmp_path, followers=1) as (cluster, databases, log):
        await databases[3].write(add_thing, AddThing("a"))
        cluster.isolate("n3")
        for _ in range(50):
            await databases[0].write(grow, Grow("a"))
        for database in databases[:3]:
            database._writer.recent = None  # what they have in memory would do
        await databases[0].log.trim(log.newest)
        async with databases[3].watch("things") as changes:
            changes.take()
            cluster.heal()
            await changes.wait()
            while databases[3].index < log.newest:
                await trio.sleep(0.1)
            assert changes.resync, "whoever watches reads everything anew"
        await agree(databases)
        assert await databases[3].write(grow, Grow("a")) == 50
        standing = read_standing(databases[3].path)
        assert standing is not None
        assert standing.kind == "feed", "it did not become what it copied"


async def test_a_node_whose_rows_do_not_fit_serves_nothing_until_it_has_loaded_the_state(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with three_voters(tmp_path) as (cluster, databases, _):
        await databases[0].write(add_thing, AddThing("a"))
        await agree(databases)
        third = databases[2]
        third._replica.connection.execute("UPDATE things SET size = 77")
        cluster.isolate("n2")  # it reaches the log, but nobody who could give it a state
        await databases[0].write(grow, Grow("a"))
        await trio.sleep(1)
        with pytest.raises(Unavailable, match="loading its state"):
            await third.fresh()
        cluster.heal()
        await trio.sleep(5)
        assert await third.fresh()
        await agree(databases)
        with third.read() as tx:
            assert tx.all(Thing)[0].size == 1


async def test_a_node_that_starts_behind_the_trimmed_log_or_with_a_damaged_file_loads_the_state(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with three_voters(tmp_path) as (cluster, databases, log):
        await databases[0].write(add_thing, AddThing("a"))
        async with cluster.node("n3") as late:
            path = late.path
        for _ in range(5):
            await databases[0].write(grow, Grow("a"))
        await databases[0].log.trim(log.newest)
        async with cluster.node("n3") as late:
            await agree([*databases, late])
        path.write_bytes(b"damage" * 2000)
        async with cluster.node("n3") as late:
            await agree([*databases, late])
        assert path.with_name("state.db.damaged").read_bytes().startswith(b"damage")


def cut_short(messages: list[bytes]) -> list[bytes]:
    return messages[:-1]


def torn(messages: list[bytes]) -> list[bytes]:
    return [*messages[:-1], messages[-1][:-100]]


def changed(messages: list[bytes]) -> list[bytes]:
    return [*messages[:-1], messages[-1][:-100] + b"x" + messages[-1][-99:]]


def longer(messages: list[bytes]) -> list[bytes]:
    return [*messages[:-1], messages[-1] + b"more"]


def of_another_entry(messages: list[bytes]) -> list[bytes]:
    """The bytes are what the manifest says, and yet it is not the database that it describes."""
    manifest = msgspec.json.decode(decode(messages[0], SnapshotHead).manifest, type=Manifest)
    false = msgspec.structs.replace(manifest, position=manifest.position + 5)
    return [encode(SnapshotHead(kind="manifest", manifest=msgspec.json.encode(false))), *messages[1:]]


async def spoil_and_join(tmp_path: Path, spoil: Callable[[list[bytes]], list[bytes]]) -> None:
    async with one_voter(tmp_path, followers=0) as (cluster, [first]):
        for number in range(5):
            await first.write(fill, Grow(f"t{number}", by=500))
        send = cluster.nodes["n0"].peers._stream_handlers[KIND][0]

        class Spoiling:
            def __init__(self) -> None:
                self.messages: list[bytes] = []

            async def send(self, message: bytes) -> None:
                self.messages.append(message)

            async def receive(self) -> bytes | None:
                return None

            async def finish(self) -> None:
                pass

        async def spoiled(peer, body, stream) -> None:  # type: ignore[no-untyped-def]
            kept = Spoiling()
            await send(peer, body, kept)
            assert len(kept.messages) > 2 + first.path.stat().st_size // CHUNK_BYTES // 2
            for message in spoil(kept.messages):
                await stream.send(message)
            await stream.finish()

        cluster.nodes["n0"].peers._stream_handlers[KIND] = spoiled, ("control",)
        with pytest.RaisesGroup(Unavailable, flatten_subgroups=True):
            async with cluster.node("n1"):
                pass
        assert [path.name for path in (tmp_path / "n1").iterdir() if "lock" not in path.name] == []
        cluster.nodes["n0"].peers._stream_handlers[KIND] = send, ("control",)
        async with cluster.node("n1") as second:
            assert contents(second.path) == contents(first.path)


async def test_a_snapshot_that_was_changed_is_never_put_in_place(tmp_path: Path, autojump_clock: object) -> None:
    await spoil_and_join(tmp_path, changed)


@pytest.mark.parametrize("spoil", [cut_short, torn, longer, of_another_entry])
async def test_a_snapshot_that_is_not_whole_is_never_put_in_place(
    tmp_path: Path, spoil: Callable[[list[bytes]], list[bytes]], autojump_clock: object
) -> None:
    await spoil_and_join(tmp_path, spoil)


async def test_a_snapshot_of_some_size_comes_in_pieces(tmp_path: Path, autojump_clock: object) -> None:
    async with one_voter(tmp_path, followers=0) as (cluster, [first]):
        for number in range(30):
            await first.write(fill, Grow(f"t{number}", by=200))
        async with cluster.node("n1") as second:
            assert second.path.stat().st_size > 5 * CHUNK_BYTES
            assert contents(second.path) == contents(first.path)


@pytest.mark.parametrize("entries", [{"n0": 2, "n1": 30}, {"n0": 30, "n1": 2}], ids=["first", "last"])
async def test_the_state_of_a_node_that_is_behind_the_log_as_well_is_not_taken(
    tmp_path: Path, autojump_clock: object, entries: dict[str, int]
) -> None:
    network = MemoryNetwork(Random(1))
    async with AsyncExitStack() as stack:
        for guid, count in entries.items():
            database = await stack.enter_async_context(open_things(tmp_path / guid))
            await database.write(add_thing, AddThing("a"))
            for _ in range(count):
                await database.write(grow, Grow("a"))
            serve_snapshots(network.add(guid), database, InlineRunner(), trio.current_time)
        sources = [Voter(guid) for guid in entries]
        fetching = Fetching(network.add("n2"), lambda: sources, tmp_path / "n2", InlineRunner())
        async with fetching.fetch(10) as file:
            assert [row[5] for row in contents(file)["things"]] == [30]
        with pytest.raises(Unavailable, match="before the log begins"):
            async with fetching.fetch(1000):
                pass
