"""A small model of its own for the engine's tests: the engine knows no table of the real one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Literal

import msgspec

from paasd.config import StateConfig
from paasd.errors import Unprocessable
from paasd.state import Database, InlineRunner, Log, Record, Runner, Tx, open_database, operation
from paasd.state.log.entries import Migration

SCRIPT = """
CREATE TABLE things (
    guid TEXT PRIMARY KEY NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    name TEXT NOT NULL UNIQUE, owner TEXT REFERENCES things (guid), size INTEGER NOT NULL
) STRICT;
CREATE TABLE marks (
    thing TEXT NOT NULL, number INTEGER NOT NULL, value REAL, data BLOB, flag INTEGER, color TEXT NOT NULL,
    tags TEXT NOT NULL, detail TEXT, PRIMARY KEY (thing, number)
) STRICT;
"""
MIGRATIONS = [Migration(1, "things", SCRIPT)]
QUIET = StateConfig(snapshot_interval_s=0)


class Thing(Record, table="things", label="Thing"):
    guid: str = ""
    created_at: str = ""
    updated_at: str = ""
    name: str
    owner: str | None = None
    size: int = 0


class Detail(msgspec.Struct, frozen=True):
    width: int
    words: list[str] = []


class Mark(Record, table="marks", key=("thing", "number")):
    thing: str
    number: int
    value: float | None = None
    data: bytes | None = None
    flag: bool | None = None
    color: Literal["red", "green"] = "red"
    tags: list[str] = []
    detail: Detail | None = None


class AddThing(msgspec.Struct):
    name: str
    size: int = 0


@operation("test.add_thing")
def add_thing(tx: Tx, arguments: AddThing) -> Thing:
    return tx.insert(Thing(name=arguments.name, size=arguments.size))


class Grow(msgspec.Struct):
    name: str
    by: int = 1


@operation("test.grow")
def grow(tx: Tx, arguments: Grow) -> int:
    """The size before: two runs that counted once give the same answer, which no order of writes allows."""
    thing = tx.find(Thing, name=arguments.name)
    if thing is None:
        raise Unprocessable("no such thing")
    tx.update(thing, size=thing.size + arguments.by)
    return thing.size


class Rename(msgspec.Struct):
    """Pairs of (guid, new name), done by way of a name that nobody has."""

    names: list[tuple[str, str]]


@operation("test.rename")
def rename(tx: Tx, arguments: Rename) -> None:
    for guid, _ in arguments.names:
        tx.update(tx.need(Thing, guid), name=f"between {guid}")
    for guid, name in arguments.names:
        tx.update(tx.need(Thing, guid), name=name)


class Remove(msgspec.Struct):
    name: str


@operation("test.remove")
def remove(tx: Tx, arguments: Remove) -> bool:
    thing = tx.find(Thing, name=arguments.name)
    if thing is None:
        return False
    tx.delete(thing)
    tx.delete_all(Mark, thing=thing.guid)
    return True


class SetMarks(msgspec.Struct):
    thing: str
    numbers: list[int]
    text: str


@operation("test.set_marks")
def set_marks(tx: Tx, arguments: SetMarks) -> int:
    """Replaces marks by delete and insert, so that one entry both deletes and inserts the same keys."""
    gone = tx.delete_all(Mark, thing=arguments.thing)
    for number in arguments.numbers:
        tx.insert(Mark(thing=arguments.thing, number=number, tags=[arguments.text], detail=Detail(number)))
    return gone


@operation("test.fill")
def fill(tx: Tx, arguments: Grow) -> int:
    """Write `by` rows of about a kilobyte."""
    for number in range(arguments.by):
        tx.insert(Mark(thing=arguments.name, number=number, data=bytes(1000)))
    return arguments.by


@operation("test.half_done")
def half_done(tx: Tx, arguments: AddThing) -> Thing:
    """Fails after it has written."""
    tx.insert(Thing(name=arguments.name))
    raise Unprocessable("changed my mind")


@asynccontextmanager
async def open_things(
    directory: Path,
    config: StateConfig = QUIET,
    *,
    log: Log | None = None,
    seed: int = 0,
    runner: Runner | None = None,
    **options: Any,
) -> AsyncIterator[Database]:
    """A database of things whose writer runs inline, without syncing."""
    options = {"migrations": MIGRATIONS, "sync": False, "node": directory.name, **options}
    runner = runner or InlineRunner()
    async with open_database(directory, config, log=log, random=Random(seed), runner=runner, **options) as database:
        yield database


@operation("test.spoil")
def spoil(tx: Tx, arguments: AddThing) -> Thing:
    """Wrong on purpose: changes its own arguments."""
    arguments.size += 1
    return tx.insert(Thing(name=arguments.name))


remembered: list[str] = []


@operation("test.remember")
def remember(tx: Tx, arguments: AddThing) -> int:
    """Wrong on purpose: depends on how often it ran, which the database does not know."""
    remembered.append(arguments.name)
    for number in range(len(remembered)):
        tx.insert(Thing(name=f"{arguments.name}{number}"))
    return 0
