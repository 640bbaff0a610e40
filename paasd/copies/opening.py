"""Puts the parts together."""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager

from paasd.blobs import Blobs
from paasd.config import CopiesConfig
from paasd.copies.copies import Copies
from paasd.copies.members import places_of
from paasd.peer import Peers
from paasd.state import Database


@asynccontextmanager
async def open_copies(
    config: CopiesConfig,
    blobs: Blobs,
    peers: Peers,
    database: Database,
    *,
    unreachable: Callable[[], Collection[str]] = frozenset,
) -> AsyncIterator[Copies]:
    """Make `blobs` one of many while open. `unreachable` names the nodes that gossip says cannot be reached."""
    copies = Copies(config, blobs, peers, places_of(database, peers.guid, unreachable))
    copies.serve()
    blobs.elsewhere = copies
    try:
        yield copies
    finally:
        blobs.elsewhere = None
