"""Who pays for a call: for whom its limits, turns and shares count.

One place, so that nobody has more of any of them by having more tokens, and nobody less through what strangers do.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, partial

from paasd.auth import DEPLOY_TOKEN, Caller
from paasd.model import DeployToken, Role, Space
from paasd.state import Database, Eq, InSelect


class Payer:
    """`person` is one who signed in, a client, or an address from which nobody did; administrators are `free`."""

    def __init__(self, person: str, organizations: Callable[[], Sequence[str]] = tuple, *, free: bool = False) -> None:
        self.person = person
        self.free = free
        self._organizations = organizations

    @cached_property
    def organizations(self) -> Sequence[str]:
        """Guids of those in which the person has a role. One of them pays, the one that has the most left: whoever
        gives somebody a role, without being asked to, takes nothing from who has another one.
        """
        return self._organizations()


def payer_of(database: Database, caller: Caller) -> Payer:
    """Deploy tokens that somebody made in one organization are one person, apart from the one who made them. Who reads
    the whole platform belongs to no organization, whatever roles were given to them.
    """
    if caller.admin:
        return Payer(caller.user_guid, free=True)
    person = caller.user_guid
    if caller.origin == DEPLOY_TOKEN:
        with database.read() as tx:
            token = tx.need(DeployToken, caller.user_guid)
        person = f"{token.maker_guid} by tokens of {token.organization_guid}"
    return Payer(person, tuple if caller.sees_everything else partial(_organizations, database, caller.user_guid))


def _organizations(database: Database, user_guid: str) -> Sequence[str]:
    spaces = InSelect("guid", Role, "space_guid", Eq("user_guid", user_guid))
    with database.read() as tx:
        found = {
            *tx.distinct(Role, ("organization_guid",), user_guid=user_guid),
            *tx.distinct(Space, ("organization_guid",), spaces),
        }
    return sorted(guid for (guid,) in found if guid is not None)
