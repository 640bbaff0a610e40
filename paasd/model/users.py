"""Users. Passwords arrive as hashes; a changed one moves `not_before`, which ends every session at once."""

from typing import Final

from paasd.errors import NotFound, Unprocessable
from paasd.model.arguments import Actor, Arguments, unix_seconds
from paasd.model.auditing import difference
from paasd.model.deploy_tokens import end_token
from paasd.model.events import record_user_event
from paasd.model.last_holders import check_not_last_anywhere
from paasd.model.metadata import drop_metadata
from paasd.model.records import DeployToken, ExternalIdentity, Passcode, SecondFactor, SshCode, User
from paasd.model.roles import end_roles
from paasd.state import Duplicate, ReadTx, Tx, operation

BECAUSE: Final = "the user is deleted"
"""In the events of what goes with a user."""


class CreateUser(Arguments):
    """Arguments of `create_user`; `guid` is given when the caller must know it before."""

    username: str
    guid: str = ""
    origin: str = "uaa"
    email: str = ""
    password_hash: str | None = None
    scopes: list[str] = []
    registered: bool = False
    invited_by: str = ""
    actor: Actor


@operation("user.create", version=1)
def create_user(tx: Tx, args: CreateUser) -> User:
    """Raises Unprocessable when the name is taken in its origin, or the guid."""
    try:
        user = tx.insert(
            User(
                guid=args.guid,
                username=args.username,
                origin=args.origin,
                email=args.email,
                password_hash=args.password_hash,
                scopes=args.scopes,
                registered=args.registered,
            )
        )
    except Duplicate as error:
        if "guid" in error.columns:
            raise Unprocessable(f"User with guid '{args.guid}' already exists.") from error
        raise Unprocessable(
            f"User with username '{args.username}' and origin '{args.origin}' already exists."
        ) from error
    data = {"invited_by": args.invited_by} if args.invited_by else None
    record_user_event(tx, "audit.user.create", args.actor, user, data)
    return user


class UpdateUser(Arguments):
    """Arguments of `update_user`; None leaves a field as it is."""

    user_guid: str
    email: str | None = None
    scopes: list[str] | None = None
    registered: bool | None = None
    actor: Actor


@operation("user.update", version=1)
def update_user(tx: Tx, args: UpdateUser) -> User:
    """Raises NotFound."""
    user = tx.need(User, args.user_guid)
    changes = {
        name: value
        for name, value in (("email", args.email), ("scopes", args.scopes), ("registered", args.registered))
        if value is not None
    }
    changed = tx.update(user, **changes)
    record_user_event(tx, "audit.user.update", args.actor, changed, difference(user, changed))
    return changed


class SetPassword(Arguments):
    """Arguments of `set_password`."""

    user_guid: str
    password_hash: str
    actor: Actor


@operation("user.set_password", version=1)
def set_password(tx: Tx, args: SetPassword) -> User:
    """Replace the hash and end every session of the user. Raises NotFound."""
    user = tx.need(User, args.user_guid)
    user = end_sessions(tx, tx.update(user, password_hash=args.password_hash))
    record_user_event(tx, "audit.user.password_changed", args.actor, user)
    return user


class EndSessions(Arguments):
    """Arguments of `sign_out`."""

    user_guid: str
    actor: Actor


@operation("user.sign_out", version=1)
def sign_out(tx: Tx, args: EndSessions) -> User:
    """End every session of the user, on whatever machine. Raises NotFound."""
    user = end_sessions(tx, tx.need(User, args.user_guid))
    record_user_event(tx, "audit.user.sign_out_everywhere", args.actor, user)
    return user


class NoteSignIn(Arguments):
    """Arguments of `note_sign_in`: an administrator came in by password, from this address."""

    user_guid: str
    address: str


@operation("user.note_sign_in", version=1)
def note_sign_in(tx: Tx, args: NoteSignIn) -> bool:
    """False when the user is gone."""
    user = tx.get(User, args.user_guid)
    if user is None:
        return False
    record_user_event(tx, "audit.user.sign_in", None, user, {"by": "password", "address": args.address})
    return True


def end_sessions(tx: Tx, user: User) -> User:
    """Tokens made until now count no more. Moves on even twice in a second: tokens are tied to the value itself."""
    for codes in (Passcode, SshCode):
        tx.delete_all(codes, user_guid=user.guid)
    return tx.update(user, not_before=max(int(unix_seconds(tx.now)), user.not_before + 1))


def _forget_ways_in(tx: Tx, actor: Actor, user: User) -> None:
    """What a user that goes signs in with, and the deploy tokens that stand on the user's rights."""
    for way in (Passcode, SshCode, SecondFactor, ExternalIdentity):
        tx.delete_all(way, user_guid=user.guid)
    tx.delete_all(DeployToken, guid=user.guid)  # of a token, which is a user: the other row follows
    for token in tx.all(DeployToken, maker_guid=user.guid):
        end_token(tx, actor, token, BECAUSE)


class DeleteUser(Arguments):
    """Arguments of `delete_user`; `strictly` and `origins` as `check_not_last` has them."""

    user_guid: str
    strictly: bool = False
    origins: list[str] | None = None
    actor: Actor


@operation("user.delete", version=1)
def delete_user(tx: Tx, args: DeleteUser) -> None:
    """Delete the user and what `take_rights` has left. Raises NotFound, Unprocessable for the last manager."""
    user = tx.need(User, args.user_guid)
    check_not_last_anywhere(tx, user, strictly=args.strictly, origins=args.origins)
    end_roles(tx, args.actor, BECAUSE, user_guid=user.guid)
    _forget_ways_in(tx, args.actor, user)
    drop_metadata(tx, user.guid)
    tx.delete(user)
    record_user_event(tx, "audit.user.delete", args.actor, user)


@operation("user.forget_roles", version=1)
def forget_roles(tx: Tx, args: DeleteUser) -> None:
    """The Cloud Controller side of a user goes; the account stays. Raises as `delete_user`."""
    user = tx.need(User, args.user_guid)
    check_not_last_anywhere(tx, user, strictly=args.strictly, origins=args.origins)
    end_roles(tx, args.actor, BECAUSE, user_guid=user.guid)
    drop_metadata(tx, user.guid)
    forgotten = tx.update(user, registered=False)
    record_user_event(tx, "audit.user.delete", args.actor, user, difference(user, forgotten))


def find_user(tx: ReadTx, username: str, origin: str | None = None) -> User:
    """The user of this name; without `origin` it must be the only one. Raises Unprocessable, NotFound."""
    named = tx.all(User, username=username) if origin is None else tx.all(User, username=username, origin=origin)
    if len(named) > 1:
        origins = ", ".join(sorted(user.origin for user in named))
        raise Unprocessable(
            f"Ambiguous user. User with username '{username}' exists in the following origins: {origins}. "
            "Specify an origin to disambiguate."
        )
    if not named:
        where = "" if origin is None else f" and origin '{origin}'"
        raise NotFound("User", f"No user exists with the username '{username}'{where}.")
    return named[0]
