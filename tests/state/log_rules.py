"""What the engine relies on in every log, seen through a database that uses it; run for each kind of log there is."""

from pathlib import Path

import pytest

from paasd.state import Log, LogTrimmed
from paasd.state.log.entries import NO_HASH, decode_entry, entry_hash
from tests.state.things import AddThing, add_thing, open_things


async def numbered_without_gaps_and_chained(log: Log, folder: Path) -> None:
    """Also which operations are part of an entry."""
    async with open_things(folder, log=log) as database:
        for number in range(5):
            await database.write(add_thing, AddThing(f"n{number}"), request_id=f"r{number}")
        data = await log.read(0, 100)
        assert await log.newest() == database.index == len(data)
    entries = [decode_entry(each) for each in data]
    assert [entry.index for entry in entries] == list(range(1, len(data) + 1))
    assert [entry.previous for entry in entries] == [NO_HASH, *(entry_hash(each) for each in data[:-1])]
    assert entries[0].kind == "ddl"
    ours = [entry for entry in entries[1:] if entry.origin == folder.name]
    assert [(o.request_id, o.name, o.version) for e in ours for o in e.operations] == [
        (f"r{number}", "test.add_thing", 1) for number in range(5)
    ]
    assert {(entry.version, entry.kind, entry.schema) for entry in ours} == {(1, "data", 1)}


async def read_from_an_entry_on_up_to_a_limit(log: Log, folder: Path) -> None:
    """Nothing when there is nothing newer."""
    async with open_things(folder, log=log) as database:
        for number in range(8):
            await database.write(add_thing, AddThing(f"n{number}"))
        assert [decode_entry(data).index for data in await log.read(3, 2)] == [4, 5]
        assert await log.read(database.index, 10) == []


async def trimmed_with_a_name_and_the_newest_stays(log: Log, folder: Path) -> None:
    """Whatever is asked to be trimmed."""
    async with open_things(folder, log=log) as database:
        for number in range(8):
            await database.write(add_thing, AddThing(f"n{number}"))
        await log.trim(4)
        with pytest.raises(LogTrimmed, match="begins at entry 4, entry 3 is gone"):
            await log.read(2, 10)
        assert decode_entry((await log.read(3, 1))[0]).index == 4
        await log.trim(10**9)
        newest = database.index
        assert [decode_entry(data).index for data in await log.read(newest - 1, 10)] == [newest]
        await database.write(add_thing, AddThing("after"))
        assert database.index > newest
