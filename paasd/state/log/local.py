"""The log of a node that is alone: each entry is a row written in the same transaction as what it describes.

It is durable at COMMIT and cannot be refused. Its table is outside the session, so it is not part of any changeset.
"""

from collections.abc import Sequence
from typing import Final

import apsw
import trio

from paasd.state.log.interface import LogTrimmed, Refused, Runner

_INSERT: Final = "INSERT INTO state_entries (position, data) VALUES (?, ?)"
_READ: Final = "SELECT position, data FROM state_entries WHERE position > ? AND position <= ? ORDER BY position LIMIT ?"
_FIRST: Final = "SELECT min(position) FROM state_entries"
_NEWEST: Final = "SELECT position FROM state_meta"
_TRIM: Final = "DELETE FROM state_entries WHERE position < ?"


class LocalLog:
    """The ordered log inside the database itself, for one node."""

    identity: str | None = None
    external = False

    def __init__(self) -> None:
        self._connection: apsw.Connection | None = None
        self._run: Runner | None = None

    def attach(self, connection: apsw.Connection, run: Runner) -> None:
        if self._connection is not None:
            raise RuntimeError("a LocalLog belongs to one database; make another")
        self._connection, self._run = connection, run

    def stage(self, index: int, data: bytes) -> None:
        self._writer.execute(_INSERT, (index, data))

    async def append(self, index: int, data: bytes) -> Refused | None:
        """The staged row is the append; it counts from COMMIT on."""
        return None

    async def read(self, after: int, limit: int) -> Sequence[bytes]:
        return await self._runner(self._read, after, limit)

    async def newest(self) -> int:
        return await self._runner(self._newest)

    async def wait_newer(self, after: int) -> None:
        """Nobody else writes."""
        await trio.sleep_forever()

    async def trim(self, before: int) -> None:
        await self._runner(self._trim, before)

    @property
    def _writer(self) -> apsw.Connection:
        assert self._connection is not None, "attach() comes first"
        return self._connection

    @property
    def _runner(self) -> Runner:
        assert self._run is not None, "attach() comes first"
        return self._run

    def _newest(self) -> int:
        return int(self._writer.execute(_NEWEST).fetchall()[0][0])  # type: ignore[arg-type]

    def _read(self, after: int, limit: int) -> Sequence[bytes]:
        newest = self._newest()
        rows = self._writer.execute(_READ, (after, newest, limit)).fetchall()
        if after < newest and (not rows or rows[0][0] != after + 1):
            first = self._writer.execute(_FIRST).fetchall()[0][0]
            raise LogTrimmed(after + 1, int(first) if first is not None else newest + 1)
        return [bytes(row[1]) for row in rows]  # type: ignore[arg-type]

    def _trim(self, before: int) -> None:
        self._writer.execute(_TRIM, (min(before, self._newest()),))
