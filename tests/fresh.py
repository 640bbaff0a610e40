"""New databases without the work of making one: all migrations, most of what a short test does, run once in a process.

For tests of what stands above the state. Who gives migrations or counts on a seed, opens one as nodes do.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from paasd.state import Database, open_database
from paasd.state.engine.opening import FILE_NAME

_made: list[bytes] = []


@asynccontextmanager
async def open_fresh(directory: Path, *arguments: Any, **options: Any) -> AsyncIterator[Database]:
    """`open_database` without syncing. Where there is nothing yet it finds what the first one of this process made."""
    path = directory / FILE_NAME
    own = options.get("log") is None  # the entries of another one are those that its nodes have
    if own and _made and not path.exists():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(_made[0])
    async with open_database(directory, *arguments, sync=False, **options) as database:
        if own and not _made and database.index == database.schema:  # nothing but migrations
            _made.append(database._replica.connection.serialize("main"))
        yield database
