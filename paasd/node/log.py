"""Which log a node's database uses when it starts: its own, that of the voters, or the one that they share."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from paasd.config import Config
from paasd.membership import Book, MemberFiles
from paasd.model.ownership import owner_of
from paasd.peer import Peers
from paasd.state import Database, LocalLog, Log, ThreadRunner, open_database
from paasd.state.engine import read_standing
from paasd.state.engine.database import FILE_NAME
from paasd.state.log import Voter, open_feed_log
from paasd.state.replication import Fetching, open_replication

Enter = Callable[[Any], Awaitable[Any]]


def voters_of(book: Book) -> Callable[[], Sequence[Voter]]:
    """Those that have the log, as replication wants them."""
    return lambda: [Voter(place.guid, place.zone) for place in book.voters()]


async def open_replica(
    enter: Enter,
    config: Config,
    directory: Path,
    peers: Peers,
    book: Book,
    files: MemberFiles,
    *,
    unreachable: Callable[[], frozenset[str]],
    clock: Callable[[], float],
    log: Log | None = None,
    sync: bool = True,
) -> Database:
    """The database with the log that it needs, in step with the other nodes if there are any."""
    standing = read_standing(directory / FILE_NAME)
    follows = files.exists and (standing is None or standing.kind == "feed")
    voters = voters_of(book)
    fetch = Fetching(peers, voters, directory, ThreadRunner()).fetch if files.exists else None
    if log is None:
        log = await enter(open_feed_log(peers, voters)) if follows else LocalLog()
    database: Database = await enter(
        open_database(directory, config.state, node=book.guid, clock=clock, log=log, fetch=fetch, sync=sync)
    )
    book.attach(database)

    def hint() -> str | None:
        gone = unreachable()
        known = [place.guid for place in book.voters()]
        return owner_of("writes", [guid for guid in known if guid not in gone] or known)

    await enter(open_replication(database, peers, config.state, voters=voters, hint=hint, clock=clock))
    return database
