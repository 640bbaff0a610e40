import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlite_utils

import paasd
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
