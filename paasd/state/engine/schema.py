"""The engine's own tables, the numbered migrations, and the rules that keep changesets faithful.

The session extension silently skips tables without a primary key and AUTOINCREMENT counters, and applies nothing for
columns that a replica lacks; triggers and ON DELETE actions would run twice. So none of that may be in the schema.
"""

import re
from collections.abc import Sequence
from importlib import resources
from typing import Final

import apsw

from paasd.errors import PaasdError
from paasd.state.log.entries import Migration

ENGINE_TABLES: Final = """
CREATE TABLE IF NOT EXISTS state_meta (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    position INTEGER NOT NULL,      -- index of the newest entry that is part of this file
    hash BLOB NOT NULL,             -- hash of that entry
    schema INTEGER NOT NULL,        -- number of the newest migration
    log_identity TEXT NOT NULL,
    engine INTEGER NOT NULL         -- version of these tables
) STRICT;
CREATE TABLE IF NOT EXISTS state_log (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    kind TEXT NOT NULL,             -- which log this node uses: local, etcd, feed
    base INTEGER NOT NULL           -- entry that the new log has to begin with, while that is not certain; else 0
) STRICT;
CREATE TABLE IF NOT EXISTS state_entries (position INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS state_requests (
    request_id TEXT PRIMARY KEY NOT NULL,
    at_s INTEGER NOT NULL,
    operation TEXT NOT NULL,
    result BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS state_requests_by_time ON state_requests (at_s);
CREATE TABLE IF NOT EXISTS data_keys (
    guid TEXT PRIMARY KEY NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    root_id TEXT NOT NULL,
    sealed TEXT NOT NULL,
    active INTEGER NOT NULL
) STRICT;
"""
ENGINE_VERSION: Final = 2  # 1 had no state_log: every log was a local one
NOT_REPLICATED: Final = frozenset({"state_meta", "state_entries", "state_log"})

_FILE = re.compile(r"(\d{4})_(\w+)\.sql")
_ACTIONS: Final = "SELECT m.name FROM sqlite_schema m, pragma_foreign_key_list(m.name) f WHERE m.type = 'table' AND "
_RULES: Final = (
    ("is not STRICT", "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND NOT strict"),
    (
        "has no rowid, by which equal times are ordered",
        "SELECT name FROM pragma_table_list WHERE wr AND schema = 'main'",
    ),
    (
        "has no PRIMARY KEY",
        "SELECT name FROM sqlite_schema m WHERE type = 'table' AND"
        " NOT EXISTS (SELECT 1 FROM pragma_table_info(m.name) WHERE pk)",
    ),
    ("uses AUTOINCREMENT", "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'"),
    ("is a trigger", "SELECT name FROM sqlite_schema WHERE type = 'trigger'"),
    (
        "is a virtual table",
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('virtual', 'shadow')",
    ),
    ("has an ON DELETE action", _ACTIONS + "f.on_delete <> 'NO ACTION'"),
    ("has an ON UPDATE action", _ACTIONS + "f.on_update <> 'NO ACTION'"),
    (
        "is a generated column",
        "SELECT m.name || '.' || c.name FROM sqlite_schema m, pragma_table_xinfo(m.name) c WHERE hidden",
    ),
)
_NOT_REPEATABLE = re.compile(
    r"\b(random|randomblob|datetime|julianday|strftime|unixepoch|current_\w+)\b", re.IGNORECASE
)


class SchemaError(PaasdError):
    """The migrations and the database do not fit together, or a migration breaks a rule."""


def load_migrations() -> tuple[Migration, ...]:
    """The migrations that come with paasd, numbered 1, 2, ... without gaps. Raises SchemaError."""
    found = []
    for file in resources.files("paasd.state.migrations").iterdir():
        match = _FILE.fullmatch(file.name)
        if match:
            found.append(Migration(int(match[1]), match[2], file.read_text()))
    return checked_migrations(found)


def checked_migrations(migrations: Sequence[Migration]) -> tuple[Migration, ...]:
    ordered = tuple(sorted(migrations, key=lambda m: m.number))
    if [m.number for m in ordered] != list(range(1, len(ordered) + 1)):
        raise SchemaError(f"migrations are numbered 1, 2, ... without gaps, not {[m.number for m in ordered]}")
    for migration in ordered:
        unrepeatable = _NOT_REPEATABLE.search(migration.script)
        if unrepeatable:
            raise SchemaError(f"migration {migration.name}: {unrepeatable[0]} would differ from node to node")
    return ordered


def broken_rules(connection: apsw.Connection) -> list[str]:
    """What in the schema would make replicas differ; empty when all is well."""
    return [f"{row[0]} {what}" for what, text in _RULES for row in connection.execute(text) if not _internal(row[0])]


def _internal(name: object) -> bool:
    return str(name).startswith("sqlite_")
