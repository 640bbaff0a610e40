"""Nodes of a newer version in an older cluster, and the other way round."""

from pathlib import Path

import msgspec
import pytest
import trio

from paasd.errors import BadRequest, Unavailable
from paasd.state import Gt, MemoryLog, Record, SchemaError, Tx, operation
from paasd.state.checking import contents
from paasd.state.lacking import NeedsUpgrade
from paasd.state.log.entries import Migration
from paasd.state.log.messages import ReadLog, decode, encode
from tests.state.replication.nodes import Cluster
from tests.state.things import MIGRATIONS, AddThing, Grow, Thing, add_thing, grow, open_things

NEWER = [
    *MIGRATIONS,
    Migration(
        2,
        "colors",
        """
        ALTER TABLE things ADD COLUMN color TEXT NOT NULL DEFAULT 'red';
        ALTER TABLE things ADD COLUMN note TEXT;
        CREATE INDEX things_color ON things (color);
        CREATE TABLE boxes (guid TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL) STRICT;
        """,
    ),
]


class NewThing(Record, table="things", label="Thing"):
    guid: str = ""
    created_at: str = ""
    updated_at: str = ""
    name: str
    owner: str | None = None
    size: int = 0
    color: str = "red"
    note: str | None = None


class Box(Record, table="boxes"):
    guid: str = ""
    name: str


class Paint(msgspec.Struct):
    name: str
    color: str = "red"
    size: int = 5


@operation("test.paint")
def paint(tx: Tx, arguments: Paint) -> NewThing:
    thing = tx.find(NewThing, name=arguments.name)
    if thing is None:
        return tx.insert(NewThing(name=arguments.name, color=arguments.color))
    return tx.update(thing, color=arguments.color, size=arguments.size)


@operation("test.repaint")
def repaint(tx: Tx, arguments: Paint) -> NewThing:
    """Changes only what an older schema lacks."""
    return tx.update(tx.all(NewThing)[0], color=arguments.color)


@operation("test.drop_red")
def drop_red(tx: Tx, arguments: Paint) -> int:
    return tx.delete_all(NewThing, Gt("size", 0), color="red")


@operation("test.box")
def box(tx: Tx, arguments: Paint) -> Box:
    return tx.insert(Box(name=arguments.name))


@operation("test.empty")
def empty(tx: Tx, arguments: Paint) -> int:
    return tx.delete_all(Box)


async def test_the_code_of_a_newer_version_works_on_the_older_schema(tmp_path: Path) -> None:
    options = {"migrations": NEWER, "allowed_schema": lambda tx: 1}
    async with open_things(tmp_path) as database:
        await database.write(add_thing, AddThing("a"))
    async with open_things(tmp_path, seed=1, **options) as database:
        assert database.schema == 1
        painted = await database.write(paint, Paint("b"))
        with database.read() as tx:
            assert [thing.color for thing in tx.all(NewThing, order=("-created_at",))] == ["red", "red"]
            assert tx.get(NewThing, painted.guid) == painted
            assert tx.find(NewThing, name="b", color="red", note=None) == painted
            assert tx.find(NewThing, color="green") is None
            assert tx.all(Box) == []
            assert tx.count(Box) == 0
        assert (await database.write(paint, Paint("a"))).size == 5
        assert (await database.write(repaint, Paint("a"))).color == "red"
        assert await database.write(empty, Paint("")) == 0
        for refused, arguments in ((paint, Paint("c", "green")), (paint, Paint("a", "green")), (box, Paint("box"))):
            with pytest.raises(NeedsUpgrade, match="every node of the cluster runs the newer paasd"):
                await database.write(refused, arguments)  # type: ignore[type-var]
        assert await database.write(drop_red, Paint("")) == 1
        with database.read() as tx:
            assert [thing.name for thing in tx.all(NewThing)] == ["b"]
    async with open_things(tmp_path, seed=2, migrations=NEWER) as database:
        assert database.schema == 2
        assert (await database.write(paint, Paint("b", "green"))).color == "green"
        with database.read() as tx:
            assert [thing.color for thing in tx.all(NewThing)] == ["green"]


async def test_a_newer_node_joins_an_older_cluster_and_the_schema_follows_when_the_last_is_upgraded(
    tmp_path: Path, autojump_clock: object
) -> None:
    cluster, log = Cluster(tmp_path), MemoryLog(1)
    limits = {"n0": 1, "n1": 1, "n2": 2}
    newer = {"migrations": NEWER, "allowed_schema": lambda tx: min(limits.values())}
    older = {"allowed_schema": lambda tx: min(limits.values())}
    async with cluster.node("n0", log.client(), **older) as first:
        cluster.hint = "n0"
        await first.write(add_thing, AddThing("a"))
        async with cluster.node("n2", **newer) as third:
            async with cluster.node("n1", log.client(), **older) as second:
                assert third.schema == 1
                await third.write(grow, Grow("a"))
                cluster.hints["n2"] = "n2"  # as for an operation that the older nodes do not know
                assert (await third.write(paint, Paint("b"))).color == "red", (
                    "what the older does not know is done here"
                )
                with pytest.raises(Unavailable):
                    await third.write(paint, Paint("a", "green"))
                await second.catch_up()
                with second.read() as tx:
                    assert {thing.name: thing.size for thing in tx.all(Thing)} == {"a": 1, "b": 0}
                await trio.sleep(60)
                assert third.schema == 1
            limits["n1"] = 2
            async with cluster.node("n1", log.client(), **newer) as second:
                await trio.sleep(60)
                assert {first.schema, second.schema, third.schema} == {1}, "one of the former version is left"
                limits["n0"] = 2
                await trio.sleep(60)
                assert {second.schema, third.schema} == {2}
                assert (await third.write(paint, Paint("a", "green"))).color == "green"
                await first.catch_up()
                assert first.schema == 2, "who runs on learns it from the log"
                await first.write(grow, Grow("a"))
                for database in (second, third):
                    await database.catch_up()
                    assert contents(database.path) == contents(first.path)
    with pytest.raises(SchemaError, match="upgrade paasd"):
        async with open_things(tmp_path / "n0", log=log.client()):
            pass


def test_messages_may_grow_and_versions_are_told_apart() -> None:
    class Longer(ReadLog, frozen=True, array_like=True, kw_only=True):
        more: str = "x"

    sent = encode(Longer(identity="log", after=3, limit=5, more="y"))
    assert decode(sent, ReadLog) == ReadLog(identity="log", after=3, limit=5)
    assert decode(encode(ReadLog(identity="log", after=3, limit=5)), Longer).more == "x"
    with pytest.raises(BadRequest, match="version 9 and this one 1; upgrade the older one"):
        decode(encode(ReadLog(version=9, identity="log", after=3, limit=5)), ReadLog)
    for garbage in (b"", b"\x90", b"\xc1", b"\x91\x01", msgspec.msgpack.encode({"a": 1})):
        with pytest.raises(BadRequest):
            decode(garbage, ReadLog)


async def test_a_node_whose_words_the_voters_do_not_know_is_refused_and_lives_on(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_tomorrow(message: ReadLog) -> bytes:
        return encode(msgspec.structs.replace(message, version=99))

    cluster, log = Cluster(tmp_path), MemoryLog(1)
    async with cluster.node("n0", log.client()) as first:
        await first.write(add_thing, AddThing("a"))
        async with cluster.node("n1") as second:
            await second.catch_up()
            with monkeypatch.context() as patched:
                patched.setattr("paasd.state.log.feed.encode", of_tomorrow)
                with pytest.raises(Unavailable):
                    await second.write(add_thing, AddThing("b"), timeout_s=5)
                await trio.sleep(30)
            await second.write(add_thing, AddThing("c"))
            with second.read() as tx:
                assert {thing.name for thing in tx.all(Thing)} == {"a", "c"}
