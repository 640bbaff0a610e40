"""Writing to a schema that is older than this paasd, which is so while some nodes run the former version.

Migrations only add. So a record may have columns, each with a default, and tables that are not there yet. A write
leaves them out when they have their defaults; otherwise it has to wait until every node is upgraded.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from paasd.errors import Unavailable
from paasd.state import query
from paasd.state.conditions import Condition
from paasd.state.query import quote
from paasd.state.records import Record, Table, table_of


class NeedsUpgrade(Unavailable):
    """What was asked for needs a part of the schema that nodes of the former version do not know."""

    def __init__(self, table: str) -> None:
        super().__init__(f"{table}: this works once every node of the cluster runs the newer paasd; upgrade the others")


Statement = tuple[str, list[Any]]


class Lacking(msgspec.Struct, frozen=True):
    """What is not there yet: columns by table with their defaults as stored; None for a whole table."""

    tables: Mapping[str, Mapping[str, Any] | None] = {}

    def insert(self, cls: type[Record], values: Mapping[str, Any]) -> Statement:
        """Raises NeedsUpgrade."""
        kept = self._kept(table_of(cls), values)
        names = ", ".join(map(quote, kept))
        text = f"INSERT INTO {_main(table_of(cls))} ({names}) VALUES ({', '.join('?' * len(kept))})"
        return text, list(kept.values())

    def update(self, cls: type[Record], changes: Mapping[str, Any], key: Mapping[str, Any]) -> Statement:
        """Raises NeedsUpgrade."""
        kept = self._kept(table_of(cls), changes) or dict(key)
        assignments = ", ".join(f"{quote(name)} = ?" for name in kept)
        text = f"UPDATE {_main(table_of(cls))} SET {assignments} WHERE {query.all_equal(tuple(key))}"
        return text, [*kept.values(), *key.values()]

    def delete(self, cls: type[Record], key: Mapping[str, Any]) -> Statement:
        """Raises NotFound when there is no such table."""
        table = table_of(cls)
        if self.tables[table.name] is None:
            raise table.missing()
        return f"DELETE FROM {_main(table)} WHERE {query.all_equal(tuple(key))}", list(key.values())

    def delete_where(
        self, cls: type[Record], conditions: tuple[Condition, ...], equals: dict[str, Any]
    ) -> Statement | None:
        """None when there is no such table. The conditions see the columns that are not there."""
        table = table_of(cls)
        if self.tables[table.name] is None:
            return None
        text, values = query.delete_where(cls, conditions, equals)
        chosen = text.removeprefix(f"DELETE FROM {quote(table.name)}")
        return f"DELETE FROM {_main(table)} WHERE rowid IN (SELECT rowid FROM {quote(table.name)}{chosen})", values

    def _kept(self, table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
        defaults = self.tables[table.name]
        if defaults is None or any(values[name] != value for name, value in defaults.items() if name in values):
            raise NeedsUpgrade(table.name)
        return {name: value for name, value in values.items() if name not in defaults}


def _main(table: Table) -> str:
    """The table itself, where a temporary view of its name shows what it lacks."""
    return f"main.{quote(table.name)}"
