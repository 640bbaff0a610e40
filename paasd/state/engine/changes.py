"""Which rows a changeset touched: the input of the watch feed."""

from typing import Any

import apsw

Key = Any  # the value of a single key column, or a tuple of several in the order of the columns
Touched = frozenset[tuple[str, Key]]


def touched_rows(changeset: bytes) -> Touched:
    """(table, key) of every row that was inserted, updated or deleted."""
    found = set()
    for change in apsw.Changeset.iter(changeset):
        row: Any = change.new if change.op == "INSERT" else change.old
        key = tuple(row[i] for i in sorted(change.pk_columns))
        found.add((change.name, key[0] if len(key) == 1 else key))
    return frozenset(found)
