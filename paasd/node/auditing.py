"""Each node writes down the head of the audit chain, minute by minute, beside its database and in its own log.

Whoever makes the chain anew on one node would have to do so in these files of all nodes, and where the log went.
"""

import structlog
import trio

from paasd.actions.audit_heads import platform_head
from paasd.containment import contained
from paasd.node.engines import witness_refusals
from paasd.node.start import Start
from paasd.state import Database

PERIOD_S = 60.0


async def witness(start: Start, database: Database) -> None:
    """Both chains, each in the other's keeping: refusals in the log, the head of the log's events on this disk."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(witness_refusals, start, database)
        nursery.start_soon(keep_heads, start, database)


async def keep_heads(start: Start, database: Database) -> None:
    """At the start and every minute in which it moved, for ever."""

    async def keep() -> None:
        with database.read() as tx:
            head = platform_head(tx)
        if head is not None and await trio.to_thread.run_sync(start.heads.keep, head):
            structlog.get_logger(__name__).info("audit head", head=str(head))

    while True:
        await contained("audit heads", keep)
        await trio.sleep(PERIOD_S)
