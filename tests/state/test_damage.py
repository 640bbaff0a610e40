"""A file that is damaged or not ours, and commits that fail: an error that says what to do, and nothing lost."""

from pathlib import Path

import apsw
import pytest

from paasd.errors import OutcomeUnknown, Unavailable
from paasd.state import (
    CommitFailed,
    MemoryLog,
    StateDamaged,
)
from tests.state.things import (
    AddThing,
    Thing,
    add_thing,
    open_things,
)


async def test_a_commit_that_fails_after_the_log_accepted_ends_the_process_and_is_replayed(tmp_path: Path) -> None:
    log = MemoryLog(1)
    with pytest.RaisesGroup(CommitFailed, OutcomeUnknown):
        async with open_things(tmp_path, log=log.client()) as database:
            database._replica._move = _fail  # type: ignore[method-assign, assignment]
            await database.write(add_thing, AddThing("a"), request_id="r")
    async with open_things(tmp_path, log=log.client()) as database:
        with database.read() as tx:
            assert [t.name for t in tx.all(Thing)] == ["a"]
        assert (await database.write(add_thing, AddThing("a"), request_id="r")).name == "a"


def _fail(*_: object) -> None:
    raise apsw.IOError("planted")


async def test_a_commit_that_fails_on_the_local_log_changed_nothing(tmp_path: Path) -> None:
    async with open_things(tmp_path) as database:
        move = database._replica._move
        database._replica._move = _fail  # type: ignore[method-assign, assignment]
        with pytest.raises(Unavailable, match="planted"):
            await database.write(add_thing, AddThing("a"))
        database._replica._move = move  # type: ignore[method-assign]
        assert (await database.write(add_thing, AddThing("a"))).name == "a"


@pytest.mark.parametrize("damage", ["header", "page", "text", "empty meta"])
async def test_a_damaged_file_is_an_error_that_names_the_fix(tmp_path: Path, damage: str) -> None:
    async with open_things(tmp_path) as database:
        for number in range(200):
            await database.write(add_thing, AddThing(f"n{number}"))
        path = database.path
    if damage == "empty meta":
        connection = apsw.Connection(str(path))
        connection.execute("DELETE FROM state_meta").fetchall()
        connection.close()
    elif damage == "text":
        path.write_bytes(b"This is not a database. " * 500)
    else:
        with path.open("r+b") as file:
            file.seek(0 if damage == "header" else 4096 * 3)
            file.write(b"\xa5" * 4096)
    with pytest.raises(StateDamaged, match="snapshots"):
        async with open_things(tmp_path):
            pass


async def test_damage_that_shows_while_running_is_named_too(tmp_path: Path) -> None:
    async with open_things(tmp_path) as database:
        with pytest.raises(StateDamaged, match="snapshots"), database.read():
            raise apsw.CorruptError("planted")
        with database.read() as tx:
            assert tx.count(Thing) == 0


async def test_a_database_of_another_log_is_refused(tmp_path: Path) -> None:
    async with open_things(tmp_path, log=MemoryLog(1, identity="one").client()):
        pass
    with pytest.raises(StateDamaged, match="belongs to log one, not two"):
        async with open_things(tmp_path, log=MemoryLog(1, identity="two").client()):
            pass
