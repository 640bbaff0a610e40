"""Old events go from the beginning of the chain, which stays verifiable: it keeps number and hash of the last one gone.

Each round says in an event of its own how far it went. So somebody who takes events away from the beginning by hand
would have to put in an event, too, and change every hash after it.
"""

from itertools import takewhile
from typing import Final

from paasd.model.arguments import SYSTEM
from paasd.model.auditing.chain import PLATFORM
from paasd.model.events import record_event
from paasd.model.records import AuditChain, AuditEvent, Organization
from paasd.state import ROWS, Gt, Lt, Portion, Tx

EXPIRED_EVENT: Final = "platform.audit.expire"


def trim(tx: Tx, before: str) -> int:
    """Forget a portion of the events of before that time; how many went."""
    platform, portion = tx.get(AuditChain, PLATFORM), Portion(tx)
    if platform is None:
        return len(portion.take(tx.all(AuditEvent, Lt("created_at", before), limit=ROWS)))
    former = len(portion.take(tx.all(AuditEvent, Lt("created_at", before), sequence=0, limit=ROWS)))
    if former:
        tx.update(platform, former=platform.former - former)
        return former
    oldest = tx.all(AuditEvent, Gt("sequence", 0), order=("sequence",), limit=ROWS)
    gone = portion.take(takewhile(lambda event: event.created_at < before, oldest))
    if not gone:
        return 0
    last = gone[-1]
    tx.update(platform, trimmed_sequence=last.sequence, trimmed_hash=last.hash)
    _trim_organizations(tx, gone)
    record_event(
        tx,
        EXPIRED_EVENT,
        SYSTEM,
        target_type="platform",
        target_guid=PLATFORM,
        target_name="audit events",
        data={"before": before, "sequence": last.sequence, "hash": last.hash},
    )
    return len(gone)


def _trim_organizations(tx: Tx, gone: list[AuditEvent]) -> None:
    newest = {event.organization_guid: event for event in gone if event.organization_sequence}
    for guid, event in newest.items():
        chain = tx.get(AuditChain, guid)
        if chain is None:
            continue
        if chain.sequence == event.organization_sequence and tx.get(Organization, guid) is None:
            tx.delete(chain)
            continue
        tx.update(chain, trimmed_sequence=event.organization_sequence, trimmed_hash=event.organization_hash)
