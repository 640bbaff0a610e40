"""What actions and workers work with, opened over an open database."""

from collections.abc import Awaitable, Callable

import structlog

from paasd.actions import Context
from paasd.blobs import open_blobs
from paasd.logs import Line, Logs, open_logs
from paasd.membership import Membership, open_membership
from paasd.node.start import Start
from paasd.peer import TlsPeers
from paasd.router import AccessEntry, rtr_line
from paasd.router.certificates import Certificates
from paasd.state import Database
from paasd.state.engine import load_migrations
from paasd.state.sealing import Sealer


async def make_membership(
    start: Start, database: Database, peers: TlsPeers, sealer: Sealer, certificates: Certificates
) -> Membership:
    """This node as a member, or as one that may become the first."""
    refusals = structlog.get_logger("paasd.membership")
    membership = Membership(
        start.config.cluster,
        start.config.peer,
        start.directory,
        database,
        peers,
        start.book,
        sealer=sealer,
        public=lambda: certificates.authority,
        schema_limit=len(load_migrations()),
        clock=start.clock,
        refused=lambda address, token, why: refusals.warning("stranger refused", address=address, token=token, why=why),
    )
    opened: Membership = await start.enter(open_membership(membership))
    if start.is_member:
        await membership.start()
    return opened


async def make_context(
    start: Start,
    database: Database,
    sealer: Sealer,
    membership: Membership,
    routed: Callable[[str], Awaitable[None]],
) -> Context:
    """Rows, files, facts and lines. `routed` returns when the router serves an app as it is."""
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
        routed=routed,
    )


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
