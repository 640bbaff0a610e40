"""How an event is linked to the one before it: `hash = sha256(previous hash, number, digest of the row)`.

There is a chain of the whole platform and one of each organization, so that what an organization exports can be checked
without anything of the others. The digest covers every field but those of the chains. Fields that are empty are left
out, so that a later release may add some without changing what is there.

Who can write to the database can also make a chain anew. What finds that is a head that was kept elsewhere, such as in
a `ChainedFile` of each node.
"""

import hashlib
from typing import Any, Final

import msgspec

from paasd.model.records import AuditChain, AuditEvent
from paasd.state import Tx

PLATFORM: Final = "platform"
LINKS: Final = ("sequence", "hash", "organization_sequence", "organization_hash")
WITHOUT_CHAIN: Final = ("address", "client", "request_id")

_encoder = msgspec.json.Encoder(order="sorted")


def content(event: AuditEvent) -> dict[str, Any]:
    """What the digest is made of: the fields of the event that are not empty."""
    fields = msgspec.structs.asdict(event)
    return {name: value for name, value in fields.items() if name not in LINKS and value not in (None, "", {})}


def digest(content: dict[str, Any]) -> str:
    """Of the content of an event."""
    return hashlib.sha256(_encoder.encode(content)).hexdigest()


def link(previous: str, sequence: int, digest: str) -> str:
    """The hash of event `sequence`, which has this digest and follows an event with the hash `previous`."""
    return hashlib.sha256(f"{previous} {sequence} {digest}".encode()).hexdigest()


def append(tx: Tx, event: AuditEvent) -> AuditEvent:
    """Insert the event, complete but for its links, at the end of its chains.

    While nodes of an older release keep the tables at a version without chains it goes in as that release did it.
    """
    platform = tx.get(AuditChain, PLATFORM)
    if platform is None:
        return tx.insert(msgspec.structs.replace(event, **dict.fromkeys(WITHOUT_CHAIN, "")))
    made = digest(content(event))
    links: dict[str, Any] = {}
    links["sequence"], links["hash"] = _extend(tx, platform, made)
    if event.organization_guid is not None:
        own = tx.get(AuditChain, event.organization_guid) or tx.insert(AuditChain(scope=event.organization_guid))
        links["organization_sequence"], links["organization_hash"] = _extend(tx, own, made)
    return tx.insert(msgspec.structs.replace(event, **links))


def _extend(tx: Tx, chain: AuditChain, digest: str) -> tuple[int, str]:
    sequence = chain.sequence + 1
    hash = link(chain.hash, sequence, digest)
    tx.update(chain, sequence=sequence, hash=hash)
    return sequence, hash
