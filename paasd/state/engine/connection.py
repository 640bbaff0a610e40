"""Opens connections to state.db and turns SQLite's failures into errors that name the fix."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import apsw

from paasd.errors import PaasdError, Unavailable

STATEMENT_CACHE: Final = 512


class StateDamaged(PaasdError):
    """state.db, or what it says about itself, is not what this node left there."""


class DiskFull(Unavailable):
    """There was no space for the write; nothing was changed."""


def open_writer(path: Path, *, external: bool, sync: bool) -> apsw.Connection:
    """The one connection that writes. With an external log a lost tail is replayed, so it need not sync each commit."""
    with explained(path):
        connection = apsw.Connection(str(path), statementcachesize=STATEMENT_CACHE)
        try:
            path.chmod(0o600)  # SQLite gives -wal and -shm the same mode
            _configure(connection, "OFF" if not sync else "NORMAL" if external else "FULL")
            _check(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def _configure(connection: apsw.Connection, synchronous: str) -> None:
    connection.set_busy_timeout(5_000)
    for pragma in (
        "journal_mode=WAL",
        f"synchronous={synchronous}",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "journal_size_limit=67108864",
        "trusted_schema=OFF",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()


def set_external(connection: apsw.Connection, external: bool) -> None:
    """A connection that went over to another kind of log; one that does not sync at all stays so."""
    if connection.execute("PRAGMA synchronous").fetchall() != [(0,)]:
        connection.execute(f"PRAGMA synchronous={'NORMAL' if external else 'FULL'}").fetchall()


def open_reader(path: Path) -> apsw.Connection:
    """A connection that cannot write; it sees what is committed."""
    with explained(path):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, statementcachesize=STATEMENT_CACHE)
        connection.set_busy_timeout(5_000)
        connection.execute("PRAGMA query_only=ON").fetchall()
        return connection


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Damage and a full disk become StateDamaged and DiskFull; every other error passes."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise damaged(path, str(error)) from error
    except apsw.CantOpenError as error:
        raise StateDamaged(f"{path} cannot be opened: {error}; check that it is a file of the user of paasd") from error
    except apsw.FullError as error:
        raise disk_full(path) from error


def damaged(path: Path, what: str) -> StateDamaged:
    return StateDamaged(
        f"{path} is damaged ({what}). Stop paasd, move {path.name}, {path.name}-wal and {path.name}-shm away, put the "
        f"state.db of the newest folder in {path.parent / 'snapshots'} in their place and start paasd"
    )


def disk_full(path: Path) -> DiskFull:
    return DiskFull(f"no space left for {path}; nothing was changed. Free space on that disk and try again")


def _check(connection: apsw.Connection, path: Path) -> None:
    problems = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
    if problems != ["ok"]:
        raise damaged(path, problems[0].splitlines()[-1])


class Guard:
    """An authorizer: inside the transaction of an operation neither the schema nor the engine's own tables change."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.mode: Literal["engine", "operation"] = "engine"
        connection.authorizer = self._authorize

    def _authorize(self, code: int, first: Any, second: Any, database: Any, trigger: Any) -> int:
        if self.mode == "engine" or code in _ALLOWED:
            return apsw.SQLITE_OK
        if code in _CHANGES and first not in _ENGINE_TABLES and not str(first).startswith("sqlite_"):
            return apsw.SQLITE_OK
        if code == apsw.SQLITE_PRAGMA and first in _SESSION_PRAGMAS:
            return apsw.SQLITE_OK
        return apsw.SQLITE_DENY


_ENGINE_TABLES: Final = ("state_meta", "state_entries", "state_log")
_SESSION_PRAGMAS: Final = ("table_info", "table_xinfo")  # asked by the session itself when it first sees a table
_CHANGES: Final = (apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE, apsw.SQLITE_DELETE)
_ALLOWED: Final = (
    apsw.SQLITE_SELECT,
    apsw.SQLITE_READ,
    apsw.SQLITE_FUNCTION,
    apsw.SQLITE_RECURSIVE,
    apsw.SQLITE_SAVEPOINT,
    apsw.SQLITE_TRANSACTION,
)
