import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlite_utils
import trio

import paasd
from paasd.state import StateInUse
from tests.state.things import AddThing, add_thing, open_things


async def test_nothing_but_apsw_opens_the_database_while_it_is_open(tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    (tmp_path / "folder").symlink_to(tmp_path / "data")
    async with open_things(tmp_path / "data") as database:
        link.symlink_to(database.path)
        hard = tmp_path / "hard.db"
        hard.hardlink_to(database.path)
        names = [
            database.path,
            link,
            hard,
            tmp_path / "folder" / "state.db",
            tmp_path / "data" / ".." / "data" / "state.db",
        ]
        for name in names:
            with pytest.raises(RuntimeError, match="drop its locks"):
                sqlite3.connect(name)
            with pytest.raises(RuntimeError, match="drop its locks"):
                sqlite_utils.Database(str(name))
        with pytest.raises(RuntimeError, match="drop its locks"):
            sqlite3.connect(f"file:{database.path}?mode=ro", uri=True)
        with pytest.raises(RuntimeError, match="drop its locks"):
            database.path.read_bytes()
        other = sqlite3.connect(tmp_path / "other.db")
        other.close()
        sqlite3.connect(":memory:").close()
        await database.write(add_thing, AddThing("a"))
        path = database.path
    opened = sqlite3.connect(path)
    assert opened.execute("SELECT name FROM things").fetchall() == [("a",)]
    opened.close()


async def test_another_process_cannot_write_while_a_write_is_under_way(tmp_path: Path) -> None:
    """What the guard is for: our lock on the file holds."""
    script = (
        "import apsw, sys\nc = apsw.Connection(sys.argv[1])\n"
        "try:\n    c.execute('BEGIN IMMEDIATE')\n    print('written')\nexcept apsw.BusyError:\n    print('busy')\n"
    )
    async with open_things(tmp_path) as database:
        connection = database._replica._connection

        def attempt() -> str:
            command = [sys.executable, "-c", script, str(database.path)]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

        assert attempt() == "written"
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(RuntimeError, match="drop its locks"):
            sqlite3.connect(database.path)
        assert attempt() == "busy"
        connection.execute("ROLLBACK")


OPEN = """
import sys, trio
from pathlib import Path
from tests.state.things import open_things

async def main():
    async with open_things(Path(sys.argv[1])) as database:
        print("open", flush=True)
        sys.stdin.read()

trio.run(main)
"""


async def test_one_database_is_opened_by_one_node_at_a_time(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPEN, str(tmp_path / "data")]
    root = Path(__file__).parents[2]
    async with open_things(tmp_path / "data") as database:
        with pytest.raises(StateInUse, match="another data directory"):
            async with open_things(tmp_path / "data"):
                pass
        await database.write(add_thing, AddThing("a"))
        refused = await trio.run_process(command, check=False, capture_stdout=True, capture_stderr=True, cwd=root)
        assert b"is in use by another paasd" in refused.stderr
        assert refused.stdout == b""
    opened = await trio.run_process(command, capture_stdout=True, cwd=root)
    assert opened.stdout == b"open\n"


async def test_a_child_that_outlives_the_daemon_does_not_keep_the_database(tmp_path: Path) -> None:
    """Instances and their shims do: a restarted daemon has to get in."""
    script = OPEN.replace(
        "sys.stdin.read()",
        "import os, signal\n        child = os.fork()\n"
        "        if child == 0:\n            signal.pause()\n"
        "        print(child, flush=True)\n        os.kill(os.getpid(), signal.SIGKILL)",
    )
    command = [sys.executable, "-c", script, str(tmp_path / "data")]
    with (tmp_path / "output").open("wb") as output:
        await trio.run_process(command, check=False, stdout=output, cwd=Path(__file__).parents[2])
    child = int((tmp_path / "output").read_text().split()[1])
    try:
        os.kill(child, 0)
        async with open_things(tmp_path / "data") as database:
            await database.write(add_thing, AddThing("a"))
    finally:
        os.kill(child, signal.SIGKILL)


async def test_only_the_owner_can_read_the_database(tmp_path: Path) -> None:
    async with open_things(tmp_path / "data") as database:
        await database.write(add_thing, AddThing("a"))
        modes = {path.name: path.stat().st_mode & 0o777 for path in database.path.parent.iterdir()}
        assert modes.keys() >= {"state.db", "state.db-wal", "state.db-shm"}
        assert set(modes.values()) == {0o600}


SQL = re.compile(
    r"""["'](?:\s*)(SELECT\s+.+\sFROM\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|"""
    r"""CREATE\s+(TABLE|INDEX)\s|ALTER\s+TABLE\s|PRAGMA\s)""",
    re.DOTALL,
)


def test_the_text_of_sql_stands_in_the_state_folder_only() -> None:
    root = Path(paasd.__file__).parent
    found = {path.relative_to(root).as_posix() for path in root.rglob("*.py") if SQL.search(path.read_text())}
    assert [name for name in sorted(found) if not name.startswith("state/")] == []
    assert "state/engine/replica.py" in found, "the pattern finds SQL where it is"
