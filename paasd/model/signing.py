"""Token-signing keys as rows: added ahead of use, taken away when their last token is dead."""

from typing import Any

from paasd.model.arguments import SYSTEM, Arguments
from paasd.model.events import record_event
from paasd.model.records import SigningKey
from paasd.state import Le, ReadTx, Tx, operation


class AddSigningKey(Arguments):
    """Arguments of `add_signing_key`; times in unix seconds. `after_kid` is the newest key that the caller knew."""

    kid: str
    sealed_private: str
    public_jwk: dict[str, Any]
    active_from: int
    expires_at: int
    after_kid: str | None


def signing_keys(tx: ReadTx) -> list[SigningKey]:
    """All published keys, oldest first."""
    return tx.all(SigningKey, order=("active_from", "kid"))


@operation("signing_key.add", version=1)
def add_signing_key(tx: Tx, args: AddSigningKey) -> bool:
    """Publish a key; False when another node has published one meanwhile, so that two at once make one key."""
    present = signing_keys(tx)
    newest = present[-1].kid if present else None
    if newest != args.after_kid:
        return False
    tx.insert(
        SigningKey(
            guid=tx.guid(),
            created_at=tx.now,
            kid=args.kid,
            sealed_private=args.sealed_private,
            public_jwk=args.public_jwk,
            active_from=args.active_from,
            expires_at=args.expires_at,
        )
    )
    _event(tx, "platform.signing_key.add", args.kid)
    return True


class DropSigningKeys(Arguments):
    """Arguments of `drop_signing_keys`; unix seconds."""

    expired_at: int


@operation("signing_key.drop", version=1)
def drop_signing_keys(tx: Tx, args: DropSigningKeys) -> int:
    """Forget keys that no living token can name; returns how many."""
    old = tx.all(SigningKey, Le("expires_at", args.expired_at))
    for key in old:
        tx.delete(key)
        _event(tx, "platform.signing_key.drop", key.kid)
    return len(old)


def _event(tx: Tx, event_type: str, kid: str) -> None:
    record_event(tx, event_type, SYSTEM, target_type="signing_key", target_guid=kid, target_name=kid)
