"""Old events go from the beginning of the chain, which stays verifiable: it keeps number and hash of the last one gone.

Each round says in an event of its own how far it went. So somebody who takes events away from the beginning by hand
would have to put in an event, too, and change every hash after it.
"""

from typing import Final

from paasd.model.arguments import SYSTEM
from paasd.model.auditing.chain import PLATFORM
from paasd.model.events import record_event
from paasd.model.records import AuditChain, AuditEvent, Organization
from paasd.state import Gt, Lt, Tx

EXPIRED_EVENT: Final = "platform.audit.expire"


def trim(tx: Tx, before: str, limit: int) -> int:
    """Forget events of before that time, `limit` at most; how many went."""
    platform = tx.get(AuditChain, PLATFORM)
    if platform is None:
        return _delete(tx, tx.all(AuditEvent, Lt("created_at", before), limit=limit))
    former = _delete(tx, tx.all(AuditEvent, Lt("created_at", before), sequence=0, limit=limit))
    if former:
        tx.update(platform, former=platform.former - former)
        return former
    oldest = tx.all(AuditEvent, Gt("sequence", 0), order=("sequence",), limit=limit)
    gone = []
    for event in oldest:
        if event.created_at >= before:
            break
        gone.append(event)
    if not gone:
        return 0
    _delete(tx, gone)
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


def _delete(tx: Tx, events: list[AuditEvent]) -> int:
    for event in events:
        tx.delete(event)
    return len(events)
