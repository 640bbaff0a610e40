"""Turns records and conditions into statements; the one place where the text of a query is made.

Every statement is made once per shape (class, columns, order) and kept, so that SQLite's statement cache finds it by
its text. Values are always bound, and every name comes from a record class.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec

from paasd.state import conditions as c
from paasd.state.records import Column, Record, Table, table_of

_SELECT: Final = "select"
_COUNT: Final = "count"
_DELETE: Final = "delete"
_COMPARISONS: Final[dict[type, str]] = {
    c.Eq: "IS",
    c.Ne: "IS NOT",
    c.Lt: "<",
    c.Le: "<=",
    c.Gt: ">",
    c.Ge: ">=",
}


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@lru_cache(maxsize=4096)
def select_by_key(cls: type[Record]) -> str:
    table = table_of(cls)
    return f"{_select(table)} WHERE {all_equal(table.key)}"


@lru_cache(maxsize=4096)
def insert(cls: type[Record]) -> str:
    table = table_of(cls)
    names = ", ".join(map(quote, table.columns))
    return f"INSERT INTO {quote(table.name)} ({names}) VALUES ({', '.join('?' * len(table.columns))})"


@lru_cache(maxsize=4096)
def update(cls: type[Record], changed: tuple[str, ...]) -> str:
    table = table_of(cls)
    assignments = ", ".join(f"{quote(name)} = ?" for name in changed)
    return f"UPDATE {quote(table.name)} SET {assignments} WHERE {all_equal(table.key)}"


@lru_cache(maxsize=4096)
def delete(cls: type[Record]) -> str:
    table = table_of(cls)
    return f"DELETE FROM {quote(table.name)} WHERE {all_equal(table.key)}"


def select(
    cls: type[Record],
    where: Sequence[c.Condition],
    equals: dict[str, Any],
    order: tuple[str, ...] = (),
    limit: int | None = None,
    offset: int = 0,
) -> tuple[str, list[Any]]:
    text, values = _filtered(cls, _SELECT, where, equals)
    text += _order_by(cls, order)
    if limit is not None or offset:
        text += " LIMIT ? OFFSET ?"
        values += [-1 if limit is None else limit, offset]
    return text, values


def count(cls: type[Record], where: Sequence[c.Condition], equals: dict[str, Any]) -> tuple[str, list[Any]]:
    return _filtered(cls, _COUNT, where, equals)


def total(
    cls: type[Record], factors: tuple[str, ...], where: Sequence[c.Condition], equals: dict[str, Any]
) -> tuple[str, list[Any]]:
    text, values = _filtered(cls, _COUNT, where, equals)
    product = " * ".join(quote(table_of(cls).column(name).name) for name in factors)
    return text.replace("count(*)", f"coalesce(sum({product}), 0)", 1), values


def distinct(
    cls: type[Record], names: tuple[str, ...], where: Sequence[c.Condition], equals: dict[str, Any]
) -> tuple[str, list[Any]]:
    text, values = _filtered(cls, _COUNT, where, equals)
    columns = ", ".join(quote(table_of(cls).column(name).name) for name in names)
    return text.replace("count(*)", f"DISTINCT {columns}", 1), values


def delete_where(cls: type[Record], where: Sequence[c.Condition], equals: dict[str, Any]) -> tuple[str, list[Any]]:
    return _filtered(cls, _DELETE, where, equals)


def _filtered(
    cls: type[Record], verb: str, where: Sequence[c.Condition], equals: dict[str, Any]
) -> tuple[str, list[Any]]:
    table = table_of(cls)
    text = _equality(cls, verb, tuple(equals))
    values = [table.columns[name].store(value) for name, value in equals.items()]
    if where:
        text += (" AND " if equals else " WHERE ") + " AND ".join(_compile(w, table, values) for w in where)
    return text, values


@lru_cache(maxsize=4096)
def _equality(cls: type[Record], verb: str, names: tuple[str, ...]) -> str:
    table = table_of(cls)
    for name in names:
        table.column(name)
    start = {
        _SELECT: _select(table),
        _COUNT: f"SELECT count(*) FROM {quote(table.name)}",
        _DELETE: f"DELETE FROM {quote(table.name)}",
    }[verb]
    return f"{start} WHERE {all_equal(names)}" if names else start


@lru_cache(maxsize=4096)
def _order_by(cls: type[Record], order: tuple[str, ...]) -> str:
    if not order:
        return ""
    table = table_of(cls)
    parts = []
    for name in order:
        column = table.column(name.removeprefix("-"))
        parts.append(quote(column.name) + (" DESC" if name.startswith("-") else ""))
    # Times are whole seconds: rows of one second stay in the order in which they were written.
    parts.append("rowid DESC" if order[-1].startswith("-") else "rowid")
    return " ORDER BY " + ", ".join(parts)


def _select(table: Table) -> str:
    return f"SELECT {', '.join(map(quote, table.columns))} FROM {quote(table.name)}"


def all_equal(names: tuple[str, ...]) -> str:
    """IS and not =, because a value may be None; SQLite uses indexes for both."""
    return " AND ".join(f"{quote(name)} IS ?" for name in names)


def _compile(condition: c.Condition, table: Table, values: list[Any]) -> str:
    """The text of a condition; what it binds is added to `values`."""
    comparison = _COMPARISONS.get(type(condition))
    if comparison is not None:
        column = table.column(condition.column)  # type: ignore[attr-defined]
        values.append(column.store(condition.value))  # type: ignore[attr-defined]
        return f"{quote(column.name)} {comparison} ?"
    match condition:
        case c.IsNull(name):
            return f"{quote(table.column(name).name)} IS NULL"
        case c.In(name, wanted):
            column = table.column(name)
            values.append(_json_list(column, wanted))
            return f"{quote(column.name)} IN (SELECT value FROM json_each(?))"
        case c.Contains(name, value):
            values.append(value)
            return f"EXISTS (SELECT 1 FROM json_each({quote(table.column(name).name)}) WHERE value = ?)"
        case c.StartsWith(name, prefix):
            values += [prefix, prefix]
            return f"substr({quote(table.column(name).name)}, 1, length(?)) = ?"
        case c.HasText(name, piece):
            values.append(piece)
            return f"instr(lower({quote(table.column(name).name)}), lower(?)) > 0"
        case c.And(parts):
            return "(" + (" AND ".join(_compile(part, table, values) for part in parts) or "1") + ")"
        case c.Or(parts):
            return "(" + (" OR ".join(_compile(part, table, values) for part in parts) or "0") + ")"
        case c.Not(part):
            return "((" + _compile(part, table, values) + ") IS NOT 1)"
        case c.Outgrows(name, other, key):
            theirs, link = table_of(other), f"{quote(table.name)}.{quote(table.column(key).name)}"
            size, guid = quote(theirs.column(name).name), quote(theirs.column("guid").name)
            text = f"SELECT o.{size} FROM {quote(theirs.name)} o WHERE o.{guid} = {link}"
            return f"{quote(table.column(name).name)} > ({text})"
        case c.InSelect(name, other, other_column, parts):
            inner = table_of(other)
            text = f"SELECT {quote(inner.column(other_column).name)} FROM {quote(inner.name)}"
            if parts:
                text += " WHERE " + " AND ".join(_compile(part, inner, values) for part in parts)
            return f"{quote(table.column(name).name)} IN ({text})"
    raise TypeError(f"{type(condition).__name__} is not a condition that can be compiled")


def _json_list(column: Column, wanted: tuple[Any, ...]) -> str:
    """One bound value for any number of wanted ones, so that the text stays the same."""
    if column.kind == "BLOB":
        raise TypeError(f"In({column.name!r}) is for text and numbers, not for bytes")
    return msgspec.json.encode([column.store(value) for value in wanted if value is not None]).decode()
