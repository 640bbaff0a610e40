"""Which roles of a caller count: not those in organizations that demand a second factor that was not shown.

`Holder` is the guid of a user as every scope of `visibility.py` takes it, and knows what is hidden from the caller, so
that no scope can forget it.
"""

from paasd.auth import Caller
from paasd.model import Space
from paasd.state import Condition, In, InSelect, Not


class Holder(str):
    """The guid of who holds roles; `hidden` are the guids of organizations in which they do not count."""

    __slots__ = ("hidden",)
    hidden: tuple[str, ...]


def holder_of(caller: Caller) -> Holder:
    """Whose roles count for a caller."""
    holder = Holder(caller.user_guid)
    holder.hidden = caller.hidden_organizations
    return holder


def counting_roles(user: str) -> tuple[Condition, ...]:
    """Conditions on rows of roles that leave those that count."""
    hidden = user.hidden if isinstance(user, Holder) else ()
    if not hidden:
        return ()
    in_space = InSelect("space_guid", Space, "guid", In("organization_guid", hidden))
    return (Not(In("organization_guid", hidden)), Not(in_space))
