"""Calls in progress: of a person some at once, of an organization twice as many; further ones wait for their turn.

All calls of a node share one loop, and gossip and supervision with them. Who has a thousand connections waits for
themselves; the loop goes round by person, not by connection.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from paasd.api.limits import READING
from paasd.auth import Caller
from paasd.config import ApiConfig
from paasd.model import Role, Space
from paasd.state import Database
from paasd.turns import Turns

ORGANIZATION: Final = 2
"""So many times the calls of a person are those of its organization."""


class CallTurns:
    """What reads and what changes have turns apart: where no write can be carried out, people go on looking."""

    def __init__(self, config: ApiConfig, database: Database) -> None:
        self._database = database
        self._people = Turns(config.calls_at_once, "of your calls")
        self._organizations = Turns(config.calls_at_once * ORGANIZATION, "calls of your organization")

    @asynccontextmanager
    async def turn(self, caller: Caller, method: str) -> AsyncIterator[None]:
        """Wait until the call may go on. Raises Crowded. Administrators have no turns."""
        async with AsyncExitStack() as turns:
            if not caller.admin:
                kind = "read" if method in READING else "change"
                await turns.enter_async_context(self._people.turn(f"{kind}/{caller.user_guid}"))
                organization = self._organization(caller)
                if organization is not None:
                    await turns.enter_async_context(self._organizations.turn(f"{kind}/{organization}"))
            yield

    def _organization(self, caller: Caller) -> str | None:
        """The one in which the caller has its oldest role: no other can make somebody wait."""
        with self._database.read() as tx:
            for role in tx.all(Role, user_guid=caller.user_guid, order=("created_at", "guid"), limit=1):
                return role.organization_guid or tx.need(Space, role.space_guid).organization_guid
        return None
