"""Puts the parts together."""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from random import Random

import trio

from paasd.blobs import Blobs
from paasd.config import CopiesConfig
from paasd.copies.copies import Copies
from paasd.copies.findings import serve_state
from paasd.copies.members import places_of
from paasd.copies.repair import Repair
from paasd.copies.scrub import scrub_forever
from paasd.model.retention import blobs_of_node, referenced_blobs
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
    copies.sparing.needed = lambda: _needed(database, peers.guid)
    copies.serve()
    serve_state(copies)

    def referenced() -> set[str]:
        with database.read() as tx:
            return referenced_blobs(tx)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_repair_forever, Repair(copies, referenced), copies, database)
        if config.scrub_interval_s:
            nursery.start_soon(scrub_forever, blobs, config.scrub_interval_s, copies.damaged.add, Random())
        blobs.elsewhere = copies
        try:
            yield copies
        finally:
            blobs.elsewhere = None
            nursery.cancel_scope.cancel()


def _needed(database: Database, node_guid: str) -> set[str]:
    with database.read() as tx:
        return blobs_of_node(tx, node_guid)


async def _repair_forever(repair: Repair, copies: Copies, database: Database) -> None:
    """Look once in a while, soon again while something is missing, and as soon as a node's row says that it is gone."""
    async with database.watch("nodes") as changes:
        while True:
            changes.take()
            well = len(copies.places()) == 1 or await repair.look()
            with trio.move_on_after(copies.config.repair_interval_s if well else copies.config.repair_again_s):
                await changes.wait()
