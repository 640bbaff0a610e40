"""What actions and workers work with, opened over an open database."""

from collections.abc import Callable
from functools import partial
from typing import Final

import structlog
import trio

from paasd.actions import Context
from paasd.blobs import open_blobs
from paasd.containment import contained
from paasd.errors import PaasdError
from paasd.logs import Line, Logs, open_logs
from paasd.membership import Membership, open_membership
from paasd.membership.rotation import find_root_key
from paasd.model.refusals import NoteRefusals, note_refusals
from paasd.node.routed import Routed
from paasd.node.start import Start
from paasd.peer import TlsPeers
from paasd.router import AccessEntry, rtr_line
from paasd.state import Database
from paasd.state.engine import load_migrations
from paasd.state.sealing import RootKeys, Sealer, root_id_of

PERIOD_S: Final = 3600.0


async def make_membership(
    start: Start, database: Database, peers: TlsPeers, sealer: Sealer | None, root_keys: RootKeys | None
) -> Membership:
    """This node as a member, or as one that may become the first."""
    membership = Membership(
        start.config.cluster,
        start.config.peer,
        start.directory,
        database,
        peers,
        start.book,
        sealer=sealer,
        root_keys=root_keys,
        domains=(start.config.domains.apps, start.config.domains.system),
        schema_limit=len(load_migrations()),
        clock=start.clock,
        refused=partial(start.refusals.add, "join"),
    )
    peers.on_turned_away = lambda address, why: start.refusals.add("join", address, "", why)
    opened: Membership = await start.enter(open_membership(membership))
    if start.is_member:
        await membership.start()
    return opened


async def own_root_keys(start: Start, database: Database, peers: TlsPeers) -> RootKeys:
    """Those in the data directory; and one that was changed while this node was away, from another control node."""
    keys = RootKeys(start.directory)
    counts = root_id_of(database)
    if counts is not None:
        if not keys.knows(counts) and start.is_member:
            await find_root_key(keys, counts, peers, start.book)
        keys.settle(counts)
    return keys


async def make_context(
    start: Start,
    database: Database,
    sealer: Sealer,
    membership: Membership,
    routed: Routed,
) -> Context:
    """Rows, files, facts and lines."""
    config, directory, clock = start.config, start.directory, start.clock
    return Context(
        config=config,
        database=database,
        sealer=sealer,
        blobs=await start.enter(open_blobs(directory / "blobs", config.blobs, clock=clock)),
        logs=await start.enter(open_logs(config.logs, directory / "logs", clock)),
        observed=start.observed,
        membership=membership,
        node_guid=start.guid,
        clock=clock,
        routed=routed.wait,
        busy_ports=routed.busy_ports,
        seen_heads=start.heads.seen,
    )


async def witness_refusals(start: Start, database: Database) -> None:
    """Write the head of this node's chain of refusals into the log, every hour in which it has grown. For ever."""
    written, chain = start.refusals.head, start.refusals

    async def witness() -> None:
        nonlocal written
        if chain.head == written:
            return
        await trio.to_thread.run_sync(chain.sync)
        head = chain.head
        try:
            await database.write(note_refusals, NoteRefusals(node_guid=start.guid, count=chain.count, head=head))
            written = head
        except PaasdError as error:
            structlog.get_logger(__name__).warning("refusals are not witnessed yet", reason=error.detail)

    while True:
        await trio.sleep(PERIOD_S)
        await contained("witness of refusals", witness)


def access_lines(logs: Logs) -> Callable[[list[AccessEntry]], None]:
    """Access entries into the log streams of the apps that they are about."""

    def write(entries: list[AccessEntry]) -> None:
        for entry in entries:
            if entry.app_guid is not None:
                index = "0" if entry.instance_index is None else str(entry.instance_index)
                logs.append(
                    Line(
                        source_id=entry.app_guid,
                        instance_id=index,
                        source_type="RTR",
                        stream="OUT",
                        timestamp_ns=entry.started_at_ns,
                        payload=rtr_line(entry).encode(),
                    )
                )

    return write
