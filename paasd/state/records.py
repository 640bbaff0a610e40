"""Records: a row of a table as a frozen struct, declared without a word of SQL.

    class App(Record, table="apps"):
        guid: str = ""
        name: str
        features: dict[str, bool] = {}

Fields of type str, int, float, bytes, bool, Literal and Enum (each also `| None`) are stored as such; every other type
is stored as JSON text. `guid` and `created_at` left empty are filled in at insert, `updated_at` at every insert and
update.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from paasd.errors import NotFound


class RecordMeta(msgspec.StructMeta):
    """Takes the class keywords `table`, `key`, `label` and `secret`; without a table the class is a base for others."""

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        table: str | None = None,
        key: tuple[str, ...] = ("guid",),
        label: str | None = None,
        secret: tuple[str, ...] = (),
        **options: Any,
    ) -> RecordMeta:
        options = {"frozen": True, "kw_only": True, **options}
        cls = super().__new__(mcls, name, bases, namespace, **options)
        cls.__record_table__ = table  # type: ignore[attr-defined]
        cls.__record_key__ = key  # type: ignore[attr-defined]
        cls.__record_label__ = label or name  # type: ignore[attr-defined]
        cls.__record_secret__ = secret  # type: ignore[attr-defined]
        return cls


@typing.dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class Record(msgspec.Struct, metaclass=RecordMeta, frozen=True, kw_only=True):
    """A row. Class keywords: `table`, `key` (columns of the primary key), `label` (how people call it in errors),
    `secret` (columns whose values are shown to nobody, sealed or not; audit events name them and no more).
    """


Encode = Callable[[Any], Any]
Decode = Callable[[Any], Any]


class Column(NamedTuple):
    """How one field is stored. `encode` and `decode` are None when the value is stored as it is."""

    name: str
    kind: Literal["TEXT", "INTEGER", "REAL", "BLOB", "ANY"]
    nullable: bool
    json: bool
    encode: Encode | None
    decode: Decode | None

    def store(self, value: Any) -> Any:
        if value is None or self.encode is None:
            return value
        return self.encode(value)


class Table(NamedTuple):
    """What the engine knows about a record class."""

    name: str
    label: str
    key: tuple[str, ...]
    columns: dict[str, Column]
    decoders: tuple[tuple[str, Decode], ...]

    def column(self, name: str) -> Column:
        try:
            return self.columns[name]
        except KeyError:
            raise AttributeError(f"table {self.name} has no column {name!r}") from None

    def missing(self) -> NotFound:
        return NotFound(self.label)


_tables: dict[type, Table] = {}  # derived from the classes alone, so a cache and not state


def table_of(cls: type[Record]) -> Table:
    """The table of a record class. Raises TypeError for a class declared without one."""
    table = _tables.get(cls)
    if table is None:
        table = _tables[cls] = _describe(cls)
    return table


def secret_columns(cls: type[Record]) -> tuple[str, ...]:
    """The fields that are declared secret."""
    return getattr(cls, "__record_secret__", ())


def _describe(cls: type[Record]) -> Table:
    name: str | None = getattr(cls, "__record_table__", None)
    if name is None:
        raise TypeError(f"{cls.__name__} is declared without table=, so it has no rows")
    columns = {field.name: _column(field.name, field.type) for field in msgspec.structs.fields(cls)}
    key: tuple[str, ...] = getattr(cls, "__record_key__", ())
    for part in key:
        if part not in columns:
            raise TypeError(f"{cls.__name__}: key column {part!r} is not a field")
    decoders = tuple((c.name, c.decode) for c in columns.values() if c.decode is not None)
    return Table(name, getattr(cls, "__record_label__", cls.__name__), key, columns, decoders)


def _column(name: str, hint: Any) -> Column:
    hint, nullable = _without_none(hint)
    if typing.get_origin(hint) is Literal:
        kinds = {type(value) for value in typing.get_args(hint)}
        hint = kinds.pop() if len(kinds) == 1 else object
    if hint is bool:
        return Column(name, "INTEGER", nullable, False, int, _decode_bool)
    if hint is str:
        return Column(name, "TEXT", nullable, False, None, None)
    if hint is int:
        return Column(name, "INTEGER", nullable, False, None, None)
    if hint is float:
        return Column(name, "REAL", nullable, False, float, None)
    if hint is bytes:
        return Column(name, "BLOB", nullable, False, None, None)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        kind: Literal["TEXT", "INTEGER"] = "INTEGER" if issubclass(hint, int) else "TEXT"
        return Column(name, kind, nullable, False, _encode_enum, _optional(hint))
    decoder = msgspec.json.Decoder(hint)
    return Column(name, "TEXT", nullable, True, _encode_json, _optional(decoder.decode))


def _without_none(hint: Any) -> tuple[Any, bool]:
    while typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        nullable = len(members) < len(typing.get_args(hint))
        if len(members) == 1:
            return _without_none(members[0])[0], nullable
        return typing.Union[tuple(members)], nullable  # noqa: UP007 (built from a tuple)
    return hint, hint is type(None)


def _optional(decode: Decode) -> Decode:
    return lambda value: None if value is None else decode(value)


def _decode_bool(value: Any) -> bool | None:
    return None if value is None else value != 0


def _encode_enum(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value


_json = msgspec.json.Encoder(order="deterministic")


def _encode_json(value: Any) -> str:
    return _json.encode(value).decode()
