"""The replicated database of a node: SQLite whose changesets go through an ordered log. It knows no table of the model.

`open_database()` gives a `Database`: `write` runs a registered operation, `read` gives a snapshot, `watch` wakes on change.
Records, conditions and operations are what the model is written in; a log decides the order of writes (`LocalLog` alone,
`MemoryLog` seeded for tests). Beside it: `sealing` for secrets at rest, `local` for node-local log lines, `snapshots`.
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
from paasd.state.operations import Operation, operation, registered_operations
from paasd.state.records import Record, table_of
from paasd.state.transactions import Duplicate, MissingReference, ReadTx, Tx

__all__ = [
    "And",
    "Condition",
    "Contains",
    "Duplicate",
    "Eq",
    "Ge",
    "Gt",
    "In",
    "InSelect",
    "IsNull",
    "Le",
    "Lt",
    "MissingReference",
    "Ne",
    "Not",
    "Operation",
    "Or",
    "ReadTx",
    "Record",
    "StartsWith",
    "Tx",
    "operation",
    "registered_operations",
    "table_of",
]
