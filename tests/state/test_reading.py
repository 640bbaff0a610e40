"""A block of reads shows one snapshot and cannot write."""

from pathlib import Path

import apsw
import pytest

from paasd.config import StateConfig
from tests.state.things import (
    AddThing,
    Thing,
    add_thing,
    open_things,
)


async def test_reading_shows_one_snapshot_and_ends_with_its_block(tmp_path: Path) -> None:
    async with open_things(tmp_path) as database:
        await database.write(add_thing, AddThing("a"))
        with database.read() as tx:
            assert tx.count(Thing) == 1
            await database.write(add_thing, AddThing("b"))
            assert tx.count(Thing) == 1, "a snapshot does not move"
            with database.read() as inner:
                assert inner.count(Thing) == 2
        with pytest.raises(RuntimeError, match="ended"):
            tx.count(Thing)


async def test_reads_that_are_never_ended_are_a_named_error(tmp_path: Path) -> None:
    config = StateConfig(readers=2, snapshot_interval_s=0)
    async with open_things(tmp_path, config) as database:
        with database.read(), database.read(), pytest.raises(RuntimeError, match="awaits inside"):
            database.read().__enter__()
        with database.read() as tx:
            assert tx.count(Thing) == 0


async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    async with open_things(tmp_path) as database:
        with database.read() as tx, pytest.raises(apsw.ReadOnlyError):
            tx._execute("UPDATE things SET size = 1")
