"""Passcodes: a code that one who is signed in carries to a client. Rows, so that none counts twice on whatever node."""

from typing import Final

from paasd.model.arguments import Arguments
from paasd.model.events import record_user_event
from paasd.model.records import Passcode, User
from paasd.state import Le, Tx, operation

OPEN_LIMIT: Final = 5
"""Of one user; the oldest go."""


class CreatePasscode(Arguments):
    """Arguments of `create_passcode`; `expires_at` in unix seconds."""

    code_hash: str
    user_guid: str
    with_factor: bool = False
    expires_at: int


@operation("passcode.create", version=1)
def create_passcode(tx: Tx, args: CreatePasscode) -> Passcode:
    """Forgets expired ones, and the oldest of a user with many. Raises NotFound."""
    user = tx.need(User, args.user_guid)
    tx.delete_all(Passcode, Le("expires_at", int(tx.now_s)))
    mine = tx.all(Passcode, user_guid=user.guid, order=("expires_at",))
    for old in mine[: max(0, len(mine) - OPEN_LIMIT + 1)]:
        tx.delete(old)
    return tx.insert(
        Passcode(
            code_hash=args.code_hash, user_guid=user.guid, with_factor=args.with_factor, expires_at=args.expires_at
        )
    )


class UsePasscode(Arguments):
    """Arguments of `use_passcode`; `address` that it came from."""

    code_hash: str
    address: str = ""


@operation("passcode.use", version=1)
def use_passcode(tx: Tx, args: UsePasscode) -> Passcode | None:
    """Take the code: None when it never was, was taken, or has expired. Recorded as a sign-in."""
    found = tx.get(Passcode, args.code_hash)
    if found is None:
        return None
    tx.delete(found)
    user = tx.get(User, found.user_guid)
    if found.expires_at <= tx.now_s or user is None:
        return None
    record_user_event(tx, "audit.user.sign_in", None, user, {"by": "passcode", "address": args.address})
    return found
