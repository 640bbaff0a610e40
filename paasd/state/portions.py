"""A part of a large deletion that fits into one operation.

A deleted row travels in the log with all that it held, so what bounds an operation is not the number of rows alone: a
few hundred wide ones would be refused as too large, and again each time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec

from paasd.state.conditions import Condition
from paasd.state.records import Record
from paasd.state.transactions import Tx

ROWS: Final = 200
BYTES: Final = 256 * 1024
R = TypeVar("R", bound=Record)


class Portion:
    """Room for so many rows and bytes. The first row always fits, so that every portion gets on."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._begun = False
        self._rows = ROWS
        self._bytes = BYTES

    @property
    def full(self) -> bool:
        return self._rows <= 0 or self._bytes <= 0

    def delete(self, row: Record) -> bool:
        """Delete the row if there is room; whether there was."""
        size = len(msgspec.msgpack.encode(row))
        if not self._begun or (self._rows > 0 and size <= self._bytes):
            self._tx.delete(row)
            self._begun = True
            self._rows -= 1
            self._bytes -= size
            return True
        self._rows = 0  # what follows waits for the next portion, too
        return False

    def take(self, rows: Iterable[R]) -> list[R]:
        """Delete as many as there is room for, in their order; those that went."""
        return [row for row in rows if self.delete(row)]

    def clear(self, kind: type[Record], *conditions: Condition, **equals: Any) -> bool:
        """Delete all that satisfy this, as far as there is room; whether none is left."""
        while rows := self._tx.all(kind, *conditions, limit=max(1, self._rows), **equals):
            if len(self.take(rows)) < len(rows):
                return False
        return True
