"""What operations and readers are given: `ReadTx` is one consistent snapshot, `Tx` may also change rows.

Both are synchronous and live for one `with` block or one run of an operation; nothing may be awaited meanwhile.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import apsw
import msgspec

from paasd.errors import Unprocessable
from paasd.state import query
from paasd.state.conditions import Condition
from paasd.state.lacking import Lacking
from paasd.state.records import Record, Table, table_of

T = TypeVar("T", bound=Record)

_UNIQUE = re.compile(r"UNIQUE constraint failed: (.*)")
_COLUMN = re.compile(r"(\w+)\.(\w+)")


class Duplicate(Unprocessable):
    """Another row has the same values in these columns of the table."""

    def __init__(self, table: str, columns: tuple[str, ...]) -> None:
        super().__init__(f"{table}: {' and '.join(columns) or 'this'} is taken")
        self.table = table
        self.columns = columns


class MissingReference(Unprocessable):
    """A row refers to a row that does not exist, or one that others refer to was to be deleted."""

    def __init__(self, table: str) -> None:
        super().__init__(f"{table}: a row that this one refers to is missing, or this one is still referred to")
        self.table = table


class ReadTx:
    """One consistent snapshot of the database."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._execute: Callable[..., apsw.Cursor] = connection.execute

    def get(self, cls: type[T], *key: Any) -> T | None:
        """The row with this primary key, or None."""
        for row in self._execute(query.select_by_key(cls), key):
            return _decode(cls, table_of(cls), row)
        return None

    def need(self, cls: type[T], *key: Any) -> T:
        """The row with this primary key. Raises NotFound."""
        found = self.get(cls, *key)
        if found is None:
            raise table_of(cls).missing()
        return found

    def find(self, cls: type[T], *conditions: Condition, **equals: Any) -> T | None:
        """A row that satisfies all of it, or None; meant for conditions that only one row can satisfy."""
        text, values = query.select(cls, conditions, equals, limit=1)
        for row in self._execute(text, values):
            return _decode(cls, table_of(cls), row)
        return None

    def all(
        self,
        cls: type[T],
        *conditions: Condition,
        order: tuple[str, ...] = (),
        limit: int | None = None,
        offset: int = 0,
        **equals: Any,
    ) -> list[T]:
        """Every row that satisfies all of it. `order` names columns, `-column` descending."""
        text, values = query.select(cls, conditions, equals, order, limit, offset)
        table = table_of(cls)
        return [_decode(cls, table, row) for row in self._execute(text, values)]

    def count(self, cls: type[T], *conditions: Condition, **equals: Any) -> int:
        text, values = query.count(cls, conditions, equals)
        return cast(int, self._execute(text, values).fetchall()[0][0])

    def total(self, cls: type[T], factors: tuple[str, ...], *conditions: Condition, **equals: Any) -> int:
        """The sum over all rows that satisfy all of it of the product of these columns; 0 without any."""
        text, values = query.total(cls, factors, conditions, equals)
        return cast(int, self._execute(text, values).fetchall()[0][0])

    def distinct(self, cls: type[T], names: tuple[str, ...], *conditions: Condition, **equals: Any) -> list[Any]:
        """The different tuples of these columns among all rows that satisfy all of it."""
        text, values = query.distinct(cls, names, conditions, equals)
        table = table_of(cls)
        decode = dict(table.decoders)
        kept = [decode.get(name, _as_it_is) for name in names]
        return [tuple(one(value) for one, value in zip(kept, row, strict=True)) for row in self._execute(text, values)]

    def exists(self, cls: type[T], *conditions: Condition, **equals: Any) -> bool:
        return self.find(cls, *conditions, **equals) is not None

    def close(self) -> None:
        """Make any later use an error, so that nobody keeps a snapshot that has moved on."""
        self._execute = _closed


class Tx(ReadTx):
    """The transaction of one run of an operation."""

    def __init__(
        self,
        connection: apsw.Connection,
        now_s: float,
        random_bits: Callable[[int], int],
        lacking: Lacking | None = None,
    ) -> None:
        super().__init__(connection)
        self._changes = connection.changes
        self._lacking = lacking or Lacking()
        self._random_bits = random_bits
        self.now = datetime.fromtimestamp(int(now_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.now_s = now_s

    def guid(self) -> str:
        """A fresh random guid, in version 4 form."""
        return str(uuid.UUID(int=self._random_bits(128), version=4))

    def has_table(self, cls: type[Record]) -> bool:
        """Whether rows of this class can be written; while nodes of a former version take part, some cannot."""
        name = table_of(cls).name
        return self._lacking.tables.get(name, {}) is not None

    def insert(self, record: T) -> T:
        """Add the row and return it with guid and time stamps filled in. Raises Duplicate, MissingReference."""
        table = table_of(type(record))
        fill = {name: self.now for name in ("created_at", "updated_at") if getattr(record, name, None) == ""}
        if getattr(record, "guid", None) == "":
            fill["guid"] = self.guid()
        if fill:
            record = msgspec.structs.replace(record, **fill)
        values = [column.store(getattr(record, column.name)) for column in table.columns.values()]
        text = query.insert(type(record))
        if table.name in self._lacking.tables:
            text, values = self._lacking.insert(type(record), dict(zip(table.columns, values, strict=True)))
        self._change(table, text, values)
        return record

    def update(self, record: T, **changes: Any) -> T:
        """Change these columns of the row and return the new record; `updated_at` follows by itself.

        Raises NotFound when the row is gone, Duplicate, MissingReference.
        """
        table = table_of(type(record))
        if not changes.keys().isdisjoint(table.key):
            raise ValueError(f"{table.name}: the key of a row cannot be changed")
        if "updated_at" in table.columns:
            changes.setdefault("updated_at", self.now)
        if not changes:
            return record
        changed = msgspec.structs.replace(record, **changes)
        stored = {name: table.column(name).store(value) for name, value in changes.items()}
        key = {name: table.columns[name].store(getattr(record, name)) for name in table.key}
        text, values = query.update(type(record), tuple(changes)), [*stored.values(), *key.values()]
        if table.name in self._lacking.tables:
            text, values = self._lacking.update(type(record), stored, key)
        self._change(table, text, values)
        if self._changes() == 0:
            raise table.missing()
        return changed

    def delete(self, record: Record) -> None:
        """Delete the row. Raises NotFound when it is gone, MissingReference while others refer to it."""
        table = table_of(type(record))
        key = {name: table.columns[name].store(getattr(record, name)) for name in table.key}
        text, values = query.delete(type(record)), list(key.values())
        if table.name in self._lacking.tables:
            text, values = self._lacking.delete(type(record), key)
        self._change(table, text, values)
        if self._changes() == 0:
            raise table.missing()

    def delete_all(self, cls: type[T], *conditions: Condition, **equals: Any) -> int:
        """Delete every row that satisfies all of it and return how many there were. Raises MissingReference."""
        if table_of(cls).name in self._lacking.tables:
            statement = self._lacking.delete_where(cls, conditions, equals)
            if statement is None:
                return 0
        else:
            statement = query.delete_where(cls, conditions, equals)
        self._change(table_of(cls), *statement)
        return self._changes()

    def close(self) -> None:
        super().close()
        self._changes = _closed

    def _change(self, table: Table, text: str, values: list[Any]) -> None:
        try:
            self._execute(text, values)
        except apsw.ConstraintError as error:
            raise _translated(table, error) from error


def _decode(cls: type[T], table: Table, row: tuple[Any, ...]) -> T:
    fields = dict(zip(table.columns, row, strict=True))
    for name, decode in table.decoders:
        fields[name] = decode(fields[name])
    return cls(**fields)


def _as_it_is(value: Any) -> Any:
    return value


def _translated(table: Table, error: apsw.ConstraintError) -> Exception:
    code: int = getattr(error, "extendedresult", 0)  # the type stubs of apsw leave it out
    if code in (apsw.SQLITE_CONSTRAINT_UNIQUE, apsw.SQLITE_CONSTRAINT_PRIMARYKEY):
        match = _UNIQUE.search(str(error))
        columns = tuple(column for _, column in _COLUMN.findall(match[1])) if match else ()
        return Duplicate(table.name, columns)
    if code == apsw.SQLITE_CONSTRAINT_FOREIGNKEY:
        return MissingReference(table.name)
    return ValueError(f"{table.name}: {error}")


def _closed(*_: Any) -> Any:
    raise RuntimeError("this transaction has ended; read again in a new one")
