"""The replicated database of a node: SQLite whose changesets go through an ordered log. It knows no table of the model.

`open_database()` gives a `Database`: `write` runs a registered operation, `read` gives a snapshot, `watch` wakes.
Records, conditions and operations are what the model is written in; a log decides the order of writes (`LocalLog`
alone, `MemoryLog` seeded for tests). Beside it: `sealing` for secrets at rest, `lines` for node-local log lines.
"""

from paasd.state.conditions import (
    And,
    Condition,
    Contains,
    Eq,
    Ge,
    Gt,
    In,
    InSelect,
    IsNull,
    Le,
    Lt,
    Ne,
    Not,
    Or,
    StartsWith,
)
from paasd.state.engine import (
    Changes,
    CommitFailed,
    Database,
    DiskFull,
    InlineRunner,
    Manifest,
    SchemaError,
    StateDamaged,
    ThreadRunner,
    list_snapshots,
    load_migrations,
    open_database,
    read_standing,
    restore_snapshot,
    take_snapshot,
)
from paasd.state.guard import StateInUse
from paasd.state.log import Faults, LocalLog, Log, LogTrimmed, LogUnavailable, MemoryLog, Runner
from paasd.state.operations import Operation, operation, registered_operations
from paasd.state.records import Record, table_of
from paasd.state.transactions import Duplicate, MissingReference, ReadTx, Tx

__all__ = [
    "And",
    "Changes",
    "CommitFailed",
    "Condition",
    "Contains",
    "Database",
    "DiskFull",
    "Duplicate",
    "Eq",
    "Faults",
    "Ge",
    "Gt",
    "In",
    "InSelect",
    "InlineRunner",
    "IsNull",
    "Le",
    "LocalLog",
    "Log",
    "LogTrimmed",
    "LogUnavailable",
    "Lt",
    "Manifest",
    "MemoryLog",
    "MissingReference",
    "Ne",
    "Not",
    "Operation",
    "Or",
    "ReadTx",
    "Record",
    "Runner",
    "SchemaError",
    "StartsWith",
    "StateDamaged",
    "StateInUse",
    "ThreadRunner",
    "Tx",
    "list_snapshots",
    "load_migrations",
    "open_database",
    "operation",
    "read_standing",
    "registered_operations",
    "restore_snapshot",
    "table_of",
    "take_snapshot",
]
