"""A node-local store of time-stamped lines by source, with cursors that move in the same transaction.

It knows nothing of what the lines mean. Appends come in batches from one thread at a time; reads use a connection of
their own and see whole transactions. WAL with synchronous=NORMAL: a killed process loses nothing, a power cut may lose
the newest transactions, lines and cursors together.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apsw

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sources (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS origins (
    id INTEGER PRIMARY KEY, source INTEGER NOT NULL, instance TEXT NOT NULL, kind TEXT NOT NULL, stream TEXT NOT NULL,
    UNIQUE (source, instance, kind, stream)
) STRICT;
CREATE TABLE IF NOT EXISTS lines (
    id INTEGER PRIMARY KEY, source INTEGER NOT NULL, at_ns INTEGER NOT NULL, origin INTEGER NOT NULL,
    payload BLOB NOT NULL, tags TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS lines_by_time ON lines (source, at_ns, id);
CREATE TABLE IF NOT EXISTS cursors (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
"""
_VERSION = 1
_ROWS_PER_STATEMENT = 200  # one step for many rows: each step gives the interpreter lock away and must get it back
_TRIM_ROWS = 4_000
_OLDEST = "SELECT id FROM lines ORDER BY id LIMIT ?"


class StoredLine(NamedTuple):
    source: str
    instance: str
    kind: str
    stream: str
    at_ns: int
    payload: bytes
    tags: dict[str, str]


def _connect(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(5_000)
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "temp_store=MEMORY", "cache_size=-4000"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def _insert(rows: int) -> str:
    return "INSERT INTO lines (source, at_ns, origin, payload, tags) VALUES " + ",".join(["(?,?,?,?,?)"] * rows)


class LineStore:
    """Opens or makes the file. One that cannot be read is put aside as `<name>.damaged`: lines are not worth a node."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.was_damaged = False
        try:
            self._open()
        except (apsw.NotADBError, apsw.CorruptError):
            self.was_damaged = True
            path.replace(path.with_name(path.name + ".damaged"))
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            self._open()

    def _open(self) -> None:
        self._writer = _connect(self.path)
        try:
            self._writer.execute(_SCHEMA).fetchall()
            self._writer.execute(f"PRAGMA user_version={_VERSION}").fetchall()
            self._sources: dict[str, int] = {
                name: key for key, name in self._writer.execute("SELECT id, name FROM sources")
            }
            self._origins: dict[tuple[int, str, str, str], int] = {
                (source, instance, kind, stream): key
                for key, source, instance, kind, stream in self._writer.execute("SELECT * FROM origins")
            }
            self._reader = _connect(self.path)
        except apsw.Error:
            self._writer.close()
            raise
        self._touched: set[int] = set(self._sources.values())

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    def append(self, lines: Sequence[StoredLine], cursors: dict[str, bytes]) -> None:
        """Store all of it or, on an error (a full disk, say), nothing: apsw.Error."""
        try:
            with self._writer:
                self._append(lines, cursors)
        except BaseException:
            # Sources and origins that were new in it are not in the file.
            self._forget_unsaved()
            raise

    def _append(self, lines: Sequence[StoredLine], cursors: dict[str, bytes]) -> None:
        values: list[Any] = []
        tags: dict[str, str] = {}
        text: str | None = None
        for line in lines:
            if line.tags is not tags:  # lines of one instance share theirs
                tags, text = line.tags, json.dumps(line.tags, separators=(",", ":")) if line.tags else None
            source = self._source(line.source)
            values += (
                source,
                line.at_ns,
                self._origin((source, line.instance, line.kind, line.stream)),
                line.payload,
                text,
            )
        step = _ROWS_PER_STATEMENT * 5
        for begin in range(0, len(values), step):
            part = values[begin : begin + step]
            self._writer.execute(_insert(len(part) // 5), part).fetchall()
        for name, value in cursors.items():
            self._writer.execute("INSERT OR REPLACE INTO cursors VALUES (?,?)", (name, value)).fetchall()

    def _source(self, name: str) -> int:
        key = self._sources.get(name)
        if key is None:
            self._writer.execute("INSERT INTO sources (name) VALUES (?)", (name,)).fetchall()
            key = self._sources[name] = self._writer.last_insert_rowid()
        self._touched.add(key)
        return key

    def _origin(self, origin: tuple[int, str, str, str]) -> int:
        key = self._origins.get(origin)
        if key is None:
            self._writer.execute(
                "INSERT INTO origins (source, instance, kind, stream) VALUES (?,?,?,?)", origin
            ).fetchall()
            key = self._origins[origin] = self._writer.last_insert_rowid()
        return key

    def _forget_unsaved(self) -> None:
        saved = {key for (key,) in self._writer.execute("SELECT id FROM sources")}
        self._sources = {name: key for name, key in self._sources.items() if key in saved}
        saved = {key for (key,) in self._writer.execute("SELECT id FROM origins")}
        self._origins = {origin: key for origin, key in self._origins.items() if key in saved}

    def cursor(self, name: str) -> bytes | None:
        row = self._reader.execute("SELECT value FROM cursors WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]

    def forget_cursor(self, name: str) -> None:
        self._writer.execute("DELETE FROM cursors WHERE name = ?", (name,)).fetchall()

    def read(
        self,
        source: str,
        start_ns: int,
        end_ns: int,
        limit: int,
        *,
        descending: bool = False,
        kinds: Sequence[str] = (),
        skip: int = 0,
    ) -> list[StoredLine]:
        """Lines with start <= time < end, the first `skip` left out.

        `kinds` match whole, or up to a slash: APP matches APP/PROC/WEB.
        """
        row = self._reader.execute("SELECT id FROM sources WHERE name = ?", (source,)).fetchone()
        if row is None:
            return []
        direction = "DESC" if descending else "ASC"
        wanted = " OR ".join(["o.kind = ? OR o.kind LIKE ? || '/%'"] * len(kinds))
        query = (
            "SELECT o.instance, o.kind, o.stream, l.at_ns, l.payload, l.tags"
            " FROM lines l JOIN origins o ON o.id = l.origin"
            f" WHERE l.source = ? AND l.at_ns >= ? AND l.at_ns < ? {f'AND ({wanted})' if kinds else ''}"
            f" ORDER BY l.at_ns {direction}, l.id {direction} LIMIT ? OFFSET ?"
        )
        doubled = [value for kind in kinds for value in (kind, kind)]
        rows = self._reader.execute(query, (row[0], start_ns, end_ns, *doubled, limit, skip))
        return [
            StoredLine(source, instance, kind, stream, at_ns, payload, json.loads(tags) if tags else {})
            for instance, kind, stream, at_ns, payload, tags in rows
        ]

    def trim(self, *, size_limit_bytes: int, lines_per_source: int, before_ns: int) -> bool:
        """Remove a bounded number of lines that are above a limit, oldest first; whether there is more to remove."""
        more = False
        for source in sorted(self._touched):
            if self._trim_source(source, lines_per_source):
                more = True
            else:
                self._touched.discard(source)
        aged = self._delete(_OLDEST, (_TRIM_ROWS, before_ns), " AND at_ns < ?")
        if self.used_bytes() > size_limit_bytes:
            # A smaller step than for the other limits: what it takes too much is lost before its time.
            removed = self._delete(_OLDEST, (_TRIM_ROWS // 8,))
            more = more or removed > 0
        return more or aged == _TRIM_ROWS

    def _trim_source(self, source: int, keep: int) -> bool:
        newest_to_go = self._writer.execute(
            "SELECT at_ns FROM lines WHERE source = ? ORDER BY at_ns DESC LIMIT 1 OFFSET ?", (source, keep)
        ).fetchone()
        if newest_to_go is None:
            return False
        oldest = "SELECT id FROM lines WHERE source = ? AND at_ns <= ? ORDER BY at_ns LIMIT ?"
        return self._delete(oldest, (source, newest_to_go[0], _TRIM_ROWS)) == _TRIM_ROWS

    def _delete(self, chosen: str, values: tuple[Any, ...], condition: str = "") -> int:
        self._writer.execute(f"DELETE FROM lines WHERE id IN ({chosen}){condition}", values).fetchall()
        return self._writer.changes()

    def used_bytes(self) -> int:
        """Bytes of pages that hold something. Freed pages are used again before the file grows."""
        pages, free, size = (self._number(name) for name in ("page_count", "freelist_count", "page_size"))
        return (pages - free) * size

    def _number(self, pragma: str) -> int:
        ((value,),) = self._writer.execute(f"PRAGMA {pragma}").fetchall()
        return int(str(value))
