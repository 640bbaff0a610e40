"""Which log a node's database uses when it starts: its own, that of the voters, or the one that they share."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog
import trio

from paasd.membership import Book
from paasd.model import Node
from paasd.model.nodes import LIVE_STATES
from paasd.model.ownership import owner_of
from paasd.model.worker_rights import owner_of_rows
from paasd.node.start import Start
from paasd.peer import Peer, Peers
from paasd.state import Database, In, LocalLog, Log, ReadTx, ThreadRunner, open_database
from paasd.state.engine import read_standing
from paasd.state.engine.opening import FILE_NAME
from paasd.state.log import Voter, open_feed_log
from paasd.state.replication import Fetching, open_replication
from paasd.voting import Seat, open_seat

NO_LIMIT: Final = sys.maxsize


def voters_of(book: Book) -> Callable[[], Sequence[Voter]]:
    """Those that have the log, as replication wants them."""
    return lambda: [Voter(place.guid, place.zone) for place in book.voters()]


def allowed_schema(tx: ReadTx) -> int:
    """The newest migration that every live node knows; a node that is alone waits for nobody."""
    live = tx.all(Node, In("state", LIVE_STATES))
    return min(node.schema_limit for node in live) if len(live) > 1 else NO_LIMIT


async def open_replica(start: Start, peers: Peers, cgroups: Sequence[Path]) -> tuple[Database, Seat]:
    """The database with the log that it needs, in step with the other nodes if there are any; and this node's seat,
    should it vote. `cgroups` are where etcd lives.
    """
    seat: Seat = await start.enter(
        open_seat(start.directory / "etcd", start.guid, cgroups=cgroups, outlive=start.outlive, clock=start.clock)
    )
    book, voters = start.book, voters_of(start.book)
    fetch = Fetching(peers, voters, start.directory, ThreadRunner()).fetch if start.is_member else None
    database: Database = await start.enter(
        open_database(
            start.directory,
            start.config.state,
            node=start.guid,
            clock=start.clock,
            log=await _log(start, peers, voters, seat),
            start=seat.start_log,
            fetch=fetch,
            allowed_schema=allowed_schema,
            sync=start.substitutes.sync,
            runner=start.substitutes.runner,
        )
    )
    book.attach(database)

    def hint() -> str | None:
        if start.substitutes.log is not None:
            return None  # It is shared by all.
        gone = start.observed.unreachable()
        known = [place.guid for place in book.voters()]
        return owner_of("writes", [guid for guid in known if guid not in gone] or known)

    def progress() -> Mapping[str, int | None]:
        with database.read() as tx:
            live = [node.guid for node in tx.all(Node, In("state", LIVE_STATES))]
        told = start.observed.nodes()
        return {guid: told[guid].applied_index if guid in told else None for guid in live if guid != start.guid}

    await start.enter(
        open_replication(
            database,
            peers,
            start.config.state,
            voters=voters,
            hint=hint,
            progress=progress,
            own_rows=owner_of_rows,
            on_refused=_refused,
            clock=start.clock,
        )
    )
    return database, seat


async def _refused(peer: Peer, operation: str) -> None:
    structlog.get_logger(__name__).warning("a worker may not write this", node=peer.guid, operation=operation)
    await trio.lowlevel.checkpoint()


async def _log(start: Start, peers: Peers, voters: Callable[[], Sequence[Voter]], seat: Seat) -> Log:
    if start.substitutes.log is not None:
        return start.substitutes.log
    standing = read_standing(start.directory / FILE_NAME)
    if standing is not None and standing.kind == "etcd":
        await seat.resume()
        return await seat.log(standing.identity)
    if start.is_member and (standing is None or standing.kind == "feed"):
        log: Log = await start.enter(open_feed_log(peers, voters))
        return log
    return LocalLog()
