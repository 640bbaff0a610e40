"""Conditions of queries as data: `tx.all(App, In("space_guid", guids), Or(IsNull("stack"), Eq("stack", "host")))`.

Columns are named by the field of the record; values are what the field holds. They are turned into statements by
`query.py`, always with bound parameters.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from paasd.state.records import Record


class Condition:
    """Something that is true or false of a row."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Eq(Condition):
    """The column has this value; None matches only NULL."""

    column: str
    value: Any


@dataclass(frozen=True, slots=True)
class Ne(Condition):
    """The column has another value; NULL counts as another value."""

    column: str
    value: Any


@dataclass(frozen=True, slots=True)
class Lt(Condition):
    column: str
    value: Any


@dataclass(frozen=True, slots=True)
class Le(Condition):
    column: str
    value: Any


@dataclass(frozen=True, slots=True)
class Gt(Condition):
    column: str
    value: Any


@dataclass(frozen=True, slots=True)
class Ge(Condition):
    column: str
    value: Any


@dataclass(frozen=True, slots=True)
class Outgrows(Condition):
    """The column is greater than that of the same name in the row of `other` whose guid is in the column `key`."""

    column: str
    other: type[Record]
    key: str


@dataclass(frozen=True, slots=True)
class IsNull(Condition):
    column: str


@dataclass(frozen=True, slots=True, init=False)
class In(Condition):
    """The column has one of these values, any number of them (text or integers); an empty list matches nothing."""

    column: str
    values: tuple[Any, ...]

    def __init__(self, column: str, values: Iterable[Any]) -> None:
        object.__setattr__(self, "column", column)
        object.__setattr__(self, "values", tuple(values))


@dataclass(frozen=True, slots=True)
class Contains(Condition):
    """The JSON list in the column has this text or integer as an element."""

    column: str
    value: Any


@dataclass(frozen=True, slots=True)
class StartsWith(Condition):
    """The text in the column begins with these characters, case counted."""

    column: str
    prefix: str


@dataclass(frozen=True, slots=True)
class HasText(Condition):
    """The text in the column has these characters somewhere, whatever the case of those of ASCII."""

    column: str
    text: str


@dataclass(frozen=True, slots=True, init=False)
class And(Condition):
    """All of them; with none it is true."""

    conditions: tuple[Condition, ...]

    def __init__(self, *conditions: Condition) -> None:
        object.__setattr__(self, "conditions", conditions)


@dataclass(frozen=True, slots=True, init=False)
class Or(Condition):
    """At least one of them; with none it is false."""

    conditions: tuple[Condition, ...]

    def __init__(self, *conditions: Condition) -> None:
        object.__setattr__(self, "conditions", conditions)


@dataclass(frozen=True, slots=True)
class Not(Condition):
    condition: Condition


@dataclass(frozen=True, slots=True, init=False)
class InSelect(Condition):
    """The column is among the values of `other_column` in those rows of `other` that satisfy all the conditions."""

    column: str
    other: type[Record]
    other_column: str
    conditions: tuple[Condition, ...]

    def __init__(self, column: str, other: type[Record], other_column: str, *conditions: Condition) -> None:
        object.__setattr__(self, "column", column)
        object.__setattr__(self, "other", other)
        object.__setattr__(self, "other_column", other_column)
        object.__setattr__(self, "conditions", conditions)
