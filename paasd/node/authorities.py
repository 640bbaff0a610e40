"""The authorities of the platform as this node has them: what clients see, what others may rely on, who changes them.

Each ends after ten years and is followed by the next one in time (`paasd.membership.rotation`).
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import structlog
import trio

from paasd.containment import contained
from paasd.errors import PaasdError
from paasd.membership import Membership
from paasd.membership.rotation import RootKeeper, Rotation, open_rotation
from paasd.model.membership import authority_context
from paasd.model.rotation import PUBLIC, believed, shows
from paasd.model.voting import ETCD_AUTHORITY
from paasd.node.start import Start
from paasd.observed import NodeFact
from paasd.peer import TlsPeers
from paasd.router import Router
from paasd.router.certificates import Certificates, open_certificates
from paasd.scheduler import make_acts
from paasd.state import Database
from paasd.state.sealing import RootKeys, Sealer
from paasd.voting import Seat

PERIOD_S: Final = 3600.0
RETRY_S: Final = 60.0
Holds = Callable[[], tuple[str, ...]]


async def make_certificates(start: Start, database: Database, sealer: Sealer, membership: Membership) -> Certificates:
    """Those of the platform's domains: a control node issues its own, a worker asks for them."""
    certificates = open_certificates(
        start.directory / "certificates",
        start.config.domains.apps,
        start.config.domains.system,
        clock=lambda: datetime.fromtimestamp(start.clock(), UTC),
        authority=not start.is_worker,
    )
    try:
        follow_rows(database, sealer, certificates)
    except PaasdError as error:  # what is in the files serves as well, and is looked at again
        structlog.get_logger(__name__).error("the authority of the domains cannot be opened", reason=error.detail)
    if start.is_worker:
        await _ask(membership, certificates)
    else:
        certificates.renew()
        membership.public = lambda: certificates.authority
    return certificates


def follow_rows(database: Database, sealer: Sealer, certificates: Certificates) -> bool:
    """Believe, and on control nodes sign by, the authorities that the rows name; whether that was news.

    Raises PaasdError when the key cannot be opened. A node that was always alone has no rows, and its own files count.
    """
    with database.read() as tx:
        rows = believed(tx, PUBLIC)
    signing = next((row for row in rows if row.state == "SIGNING"), None)
    if signing is None:
        return False
    others = [row.certificate.encode() for row in rows if row is not signing]
    key = sealer.open(signing.sealed_key, authority_context(signing.guid)) if certificates.signs else None
    return certificates.believe([signing.certificate.encode(), *others], key)


async def keep_certificates(
    database: Database, sealer: Sealer, membership: Membership, certificates: Certificates, router: Router
) -> None:
    """Show what the rows and the calendar ask for. For ever."""
    pause_s = PERIOD_S

    async def look() -> None:
        nonlocal pause_s
        pause_s = RETRY_S
        try:
            changed = follow_rows(database, sealer, certificates)
            if not certificates.signs and await _ask(membership, certificates):
                router.show_certificates()
                # A control node that has not heard of the change yet signs as before.
                pause_s = RETRY_S if certificates.wanted() else PERIOD_S
                return
            if changed:
                router.renew_certificates()
            pause_s = PERIOD_S
        except PaasdError as error:
            structlog.get_logger(__name__).warning("certificates not renewed yet", reason=error.detail)

    async with database.watch("authorities") as changes:
        while True:
            await contained("certificates of the domains", look)
            with trio.move_on_after(pause_s):
                await changes.wait()
            changes.take()


async def _ask(membership: Membership, certificates: Certificates) -> bool:
    """On a worker: have certified what is wanted; whether there was anything. Raises PaasdError."""
    wanted = certificates.wanted()
    for name, domain in wanted.items():
        certificates.store(name, await membership.domain_certificate(domain))
    return bool(wanted)


def what_is_held(database: Database, membership: Membership, seat: Seat, certificates: Certificates) -> Holds:
    """What this node tells others of the authorities that it believes and shows, of every purpose."""

    def holds() -> tuple[str, ...]:
        with database.read() as tx:
            public, etcd = believed(tx, PUBLIC), believed(tx, ETCD_AUTHORITY)
        shown = [shows(row.guid) for row in public if certificates.shown(row.certificate.encode())]
        return (*membership.holds(), *seat.holds(etcd), *shown)

    return holds


async def start_rotation(
    start: Start,
    database: Database,
    sealer: Sealer,
    root_keys: RootKeys | None,
    membership: Membership,
    peers: TlsPeers,
    holds: Holds,
) -> None:
    """What changes keys, on a control node. One that is alone speaks for itself; among others gossip carries it."""
    if root_keys is None:
        return
    keeper = RootKeeper(database, root_keys, peers, start.book)
    acts = make_acts(database, start.observed.unreachable, start.guid)

    def facts() -> Mapping[str, NodeFact]:
        return {start.guid: NodeFact(node_guid=start.guid, boot=0, holds=holds()), **start.observed.nodes()}

    notice_s = start.config.ssh.host_key_notice_s
    rotation = Rotation(database, sealer, keeper, facts, acts, membership.public, start.clock, notice_s)
    membership.rotation = await start.enter(open_rotation(rotation))
