"""People whom another provider vouches for. They are known by its name for them, which it never gives to another."""

from typing import Final

from paasd.errors import Unprocessable
from paasd.model.arguments import Arguments
from paasd.model.auditing import difference
from paasd.model.events import record_user_event
from paasd.model.records import ExternalIdentity, User
from paasd.state import Tx, operation

OFF: Final = "The account is switched off; an administrator can switch it on again"


class SignInExternally(Arguments):
    """Arguments of `sign_in_externally`: what the provider `origin` says of somebody. `address` that they came from."""

    origin: str
    subject: str
    username: str
    email: str = ""
    may_register: bool = True
    address: str = ""


@operation("user.sign_in_externally", version=1)
def sign_in_externally(tx: Tx, args: SignInExternally) -> User:
    """The user behind an identity: known, or new, or an account of this origin and name that nobody has signed in to.

    Never an account of another origin, whatever name or address they share. Raises Unprocessable.
    """
    identity = tx.get(ExternalIdentity, args.origin, args.subject)
    user = None if identity is None else tx.get(User, identity.user_guid)
    if user is not None and not user.active:
        raise Unprocessable(OFF)
    if user is None:
        user = _first_time(tx, args)
        if identity is not None:
            tx.delete(identity)
        tx.insert(ExternalIdentity(origin=args.origin, subject=args.subject, user_guid=user.guid))
    data = {"by": args.origin, "address": args.address}
    if not user.registered:  # nor is anybody known to Cloud Controller before their first token
        former, user = user, tx.update(user, registered=True)
        data |= difference(former, user)
    record_user_event(tx, "audit.user.sign_in", None, user, data)
    return user


def _first_time(tx: Tx, args: SignInExternally) -> User:
    waiting = tx.find(User, username=args.username, origin=args.origin)
    if waiting is None:
        if not args.may_register:
            raise Unprocessable(
                f"'{args.username}' of {args.origin} has no account here; ask a manager of your organization for one"
            )
        email = args.email or args.username
        user = tx.insert(User(username=args.username, origin=args.origin, email=email, registered=True))
        record_user_event(tx, "audit.user.create", None, user, {"origin": args.origin})
        return user
    if tx.exists(ExternalIdentity, user_guid=waiting.guid):
        raise Unprocessable(
            f"The name '{args.username}' of {args.origin} belongs to somebody else who had it before; "
            "an administrator deletes that account first"
        )
    if not waiting.active:
        raise Unprocessable(OFF)
    return waiting
