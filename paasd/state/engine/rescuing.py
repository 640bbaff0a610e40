"""What happens when a database and its log no longer fit together: the state of another node takes its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
import trio

from paasd.errors import PaasdError, Unavailable
from paasd.state.log import LogTrimmed

if TYPE_CHECKING:
    from paasd.state.engine.database import Database

PAUSE_S: Final = 2.0

Fetch = Callable[[int], AbstractAsyncContextManager[Path]]
"""Gives the verified state.db of another node for the time of a block, of this entry at least. Raises Unavailable."""


class Rescuer:
    """Runs in the writer's task, so nothing is written or applied meanwhile; reads go on. When the log was merely
    trimmed, what is here is old; otherwise it may be wrong, and doors answer 503 until it is replaced.
    """

    def __init__(self, database: Database, fetch: Fetch) -> None:
        self._database = database
        self._fetch = fetch
        self._log = structlog.get_logger("paasd.state")

    async def __call__(self, error: PaasdError) -> None:
        self._database.suspect = not isinstance(error, LogTrimmed)
        self._log.warning("loading the state of another node", reason=error.detail)
        # Who gives its state may have been away as well: an older one than the log begins with leads back to here.
        at_least = error.first - 1 if isinstance(error, LogTrimmed) else 0
        while True:
            try:
                async with self._fetch(at_least) as file:
                    await self._database.load_now(file)
            except Unavailable as failure:
                self._log.warning("there is no state to load yet", reason=failure.detail)
                await trio.sleep(PAUSE_S)
            else:
                break
        self._database.suspect = False
        self._log.warning("loaded the state of another node", entry=self._database.index)


async def place_snapshot(fetch: Fetch, path: Path) -> None:
    """Make another node's state the state.db at `path`, which is not open. What is there is kept as *.damaged."""
    async with fetch(0) as file:
        _put_in_place(file, path)


def _put_in_place(file: Path, path: Path) -> None:
    if path.exists():
        path.rename(path.with_name(f"{path.name}.damaged"))
    for suffix in ("-wal", "-shm"):  # of the former file: SQLite would write it into the new one
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    file.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
