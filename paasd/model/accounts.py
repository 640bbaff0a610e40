"""Accounts change: name, address, and whether they are on. One that is off signs in nowhere and keeps what it has."""

from paasd.errors import Unprocessable
from paasd.model.arguments import Actor, Arguments
from paasd.model.auditing import difference
from paasd.model.events import record_user_event
from paasd.model.records import User
from paasd.model.users import end_sessions
from paasd.state import Duplicate, Tx, operation


class ChangeAccount(Arguments):
    """Arguments of `change_account`; None leaves a field as it is. `version` is what it was when the caller looked."""

    user_guid: str
    version: int | None = None
    username: str | None = None
    email: str | None = None
    active: bool | None = None
    actor: Actor


class StaleAccount(Unprocessable):
    """Somebody else has changed the account meanwhile."""


class NameTaken(Unprocessable):
    """Another account of the origin has this name."""


@operation("user.change_account", version=1)
def change_account(tx: Tx, args: ChangeAccount) -> User:
    """Switched off, every session of the user ends, for good. Raises NotFound, StaleAccount, NameTaken."""
    user = tx.need(User, args.user_guid)
    if args.version is not None and args.version != user.version:
        raise StaleAccount(f"The account was changed meanwhile: it is version {user.version}; read it again")
    asked = {"username": args.username, "email": args.email, "active": args.active}
    changes = {name: value for name, value in asked.items() if value is not None and value != getattr(user, name)}
    if not changes:
        return user
    try:
        changed = tx.update(user, version=user.version + 1, **changes)
    except Duplicate as error:
        raise NameTaken(f"Username already in use: {args.username}") from error
    if changes.get("active") is False:
        changed = end_sessions(tx, changed)
    record_user_event(tx, "audit.user.update", args.actor, changed, difference(user, changed))
    return changed
