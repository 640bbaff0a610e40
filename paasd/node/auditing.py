"""Each node writes down the head of the audit chain, hour by hour, beside its database and in its own log.

Whoever makes the chain anew on one node would have to do so in these files of all nodes, and where the log went.
"""

import structlog
import trio

from paasd.actions.audit import HEADS
from paasd.chain import Chain
from paasd.model import AuditChain
from paasd.model.auditing import PLATFORM
from paasd.model.auditing.following import Head
from paasd.node.engines import witness_refusals
from paasd.node.start import Start
from paasd.state import Database

PERIOD_S = 3600.0


async def witness(start: Start, database: Database) -> None:
    """Both chains, each in the other's keeping: refusals in the log, the head of the log's events on this disk."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(witness_refusals, start, database)
        nursery.start_soon(keep_heads, start, database)


async def keep_heads(start: Start, database: Database) -> None:
    """At the start and every hour in which it moved, for ever."""
    chain = Chain(start.directory / HEADS, start.clock)
    written = 0
    while True:
        with database.read() as tx:
            found = tx.get(AuditChain, PLATFORM)
        if found is not None and found.sequence != written:
            head = Head(sequence=found.sequence, hash=found.hash)
            await trio.to_thread.run_sync(chain.add, "audit", "", str(head), "")
            structlog.get_logger(__name__).info("audit head", head=str(head))
            written = found.sequence
        await trio.sleep(PERIOD_S)
