"""`open_replication`: a database among others."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random, SystemRandom
from typing import Any, Final

import structlog
import trio

from paasd.config import StateConfig
from paasd.errors import PaasdError
from paasd.peer import Peer, Peers
from paasd.state.engine import Database, ThreadRunner
from paasd.state.engine.rescuing import Rescuer
from paasd.state.log import Runner, Voter
from paasd.state.replication.copying import Fetching, serve_snapshots
from paasd.state.replication.forwarding import Hint, OwnRows, PeerForwarder, Refusal, serve_operations
from paasd.state.replication.serving import serve_log
from paasd.state.replication.trimming import Progress, Trimmer
from paasd.state.transactions import ReadTx

ARGUMENT_BYTES: Final = 1024 * 1024
ADVANCE_S: Final = 10.0


def nothing_is_own(tx: ReadTx, name: str, version: int, arguments: Any) -> str | None:
    """For clusters without workers."""
    return None


async def _unheard(peer: Peer, name: str) -> None:
    await trio.lowlevel.checkpoint()


async def _advance_until(database: Database, random: Random) -> None:
    """Bring the schema up to date once every node can follow. All who can try, at different times: one is first."""
    while True:
        await trio.sleep(ADVANCE_S * (0.5 + random.random()))
        try:
            await database.advance_schema()
        except PaasdError as error:
            structlog.get_logger("paasd.state").warning("the schema stays as it is", reason=error.detail)


@asynccontextmanager
async def open_replication(
    database: Database,
    peers: Peers,
    config: StateConfig,
    *,
    voters: Callable[[], Sequence[Voter]],
    hint: Hint,
    zone: str = "",
    progress: Progress | None = None,
    own_rows: OwnRows = nothing_is_own,
    on_refused: Refusal = _unheard,
    run: Runner | None = None,
    random: Random | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[None]:
    """Serve the log and snapshots to other nodes, run their operations and send ours, until the block ends.

    `voters` are the nodes that have the log, `hint` is the one that should run operations now. `progress` says how far
    each live node is; without it a shared log is not shortened.
    """
    copier = run or ThreadRunner()
    serve_log(peers, database)
    serve_operations(peers, database, own_rows=own_rows, on_refused=on_refused, limit_bytes=ARGUMENT_BYTES)
    serve_snapshots(peers, database, copier, clock)
    fetching = Fetching(peers, voters, database.path.parent, copier, zone=zone)
    database.rescue_with(Rescuer(database, fetching.fetch))
    database.forwarder = PeerForwarder(peers, hint, config.forward_s)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_advance_until, database, random or SystemRandom())
        if progress is not None:
            trimmer = Trimmer(database, config, hint, peers.guid, progress, copier, clock)
            nursery.start_soon(trimmer.trim_until)
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()
            database.forwarder = None
            database.rescue_with(None)
