"""What a state.db says about itself: which log it uses, and the engine's tables of this and the former version."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import apsw
import msgspec

from paasd.state.engine.connection import StateDamaged, explained, open_reader
from paasd.state.engine.schema import ENGINE_TABLES, ENGINE_VERSION
from paasd.state.guard import exclusive_access
from paasd.state.log.entries import NO_HASH
from paasd.state.transactions import ReadTx

LogKind = Literal["local", "etcd", "feed"]
"""local: this node is alone, or the only voter; etcd: it votes; feed: it follows voters."""

_PAGES: Final = 1000
_NEW_META: Final = "INSERT INTO state_meta VALUES (1, 0, ?, 0, ?, ?)"
_READ: Final = "SELECT l.kind, l.base, m.log_identity, m.position, m.schema FROM state_log l, state_meta m"
_READ_OLD: Final = "SELECT 'local', 0, log_identity, position, schema FROM state_meta"
_SET: Final = (
    "INSERT INTO state_log VALUES (1, ?, ?) ON CONFLICT DO UPDATE SET kind = excluded.kind, base = excluded.base"
)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a database stands: which log it uses, whether that still has to begin with entry `base`, and how far."""

    kind: LogKind
    base: int
    identity: str
    index: int
    schema: int


def read_standing(path: Path) -> Standing | None:
    """Of a state.db that may be closed; None when there is none yet. Raises StateDamaged."""
    if not path.exists():
        return None
    with explained(path):
        reader = open_reader(path)
        try:
            return standing_of(reader)
        except (apsw.SQLError, IndexError) as error:
            raise StateDamaged(f"{path} is no state.db of paasd: {error}") from error
        finally:
            reader.close()


def standing_of(connection: apsw.Connection) -> Standing:
    """Of an open database."""
    old = not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'state_log'").fetchall()
    row: Any = connection.execute(_READ_OLD if old else _READ).fetchall()[0]
    kind, base, identity, index, schema = row
    return Standing(kind=kind, base=base, identity=identity, index=index, schema=schema)


def make_engine_tables(connection: apsw.Connection, identity: str, kind: LogKind) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(ENGINE_TABLES).fetchall()
    connection.execute(_NEW_META, (NO_HASH, identity, ENGINE_VERSION))
    set_log(connection, kind)
    connection.execute("COMMIT")


def upgrade_engine_tables(connection: apsw.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(ENGINE_TABLES).fetchall()
    set_log(connection, "local")
    connection.execute("UPDATE state_meta SET engine = ?", (ENGINE_VERSION,))
    connection.execute("COMMIT")


def use_as_own(connection: apsw.Connection, kind: LogKind) -> None:
    """The copy of another node's database becomes one that uses a log of this kind, and has no local one."""
    upgrade_engine_tables(connection)
    connection.execute("BEGIN IMMEDIATE")
    set_log(connection, kind)
    connection.execute("DELETE FROM state_entries")
    connection.execute("COMMIT")


def stand_alone(path: Path) -> str:
    """Give the closed state.db a local log of its own under a new identity, which is returned: who has the former log
    can never take this one for it. Its rows stay. Blocking. Raises StateInUse, StateDamaged.
    """
    identity = str(uuid.uuid4())
    with exclusive_access(path), explained(path):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(ENGINE_TABLES).fetchall()
            connection.execute("UPDATE state_meta SET engine = ?, log_identity = ?", (ENGINE_VERSION, identity))
            set_log(connection, "local")
            connection.execute("DELETE FROM state_entries")
            connection.execute("COMMIT")
        finally:
            connection.close()
    return identity


@contextmanager
def read_closed(path: Path) -> Iterator[ReadTx]:
    """The rows of a state.db that nobody has open. Raises StateDamaged."""
    with explained(path):
        reader = open_reader(path)
        try:
            yield ReadTx(reader)
        finally:
            reader.close()


def set_log(connection: apsw.Connection, kind: LogKind, base: int = 0) -> None:
    connection.execute(_SET, (kind, base))


def copy_into(connection: apsw.Connection, file: Path) -> None:
    """Replace all that `connection` has open by what `file` holds, in one transaction."""
    source = open_reader(file)
    try:
        with connection.backup("main", source, "main") as copy:
            while not copy.done:
                copy.step(_PAGES)
    finally:
        source.close()
