"""Calls in progress: of a person some at once, of an organization twice as many; further ones wait for their turn.

All calls of a node share one loop, and gossip and supervision with them. Who has a thousand connections waits for
themselves; the loop goes round by person, not by connection. What one person sends slowly holds turns of that person
alone: those of an organization are for calls that have all they need.
"""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import trio

from paasd.auth import Caller
from paasd.config import ApiConfig
from paasd.model import Role, Space
from paasd.state import Database, Eq, InSelect
from paasd.turns import Turns

ORGANIZATION: Final = 2
"""So many times the calls of a person are those of its organization."""


class CallTurns:
    """What reads and what changes have turns apart: where no write can be carried out, people go on looking."""

    def __init__(self, config: ApiConfig, database: Database) -> None:
        self._database = database
        self._people = Turns(config.calls_at_once, "of your calls")
        # All that wait have turns of their person meanwhile, so that nobody needs to be refused for many others.
        whole = config.calls_at_once * ORGANIZATION
        self._organizations = Turns(whole, "calls of your organization", waiting=math.inf)

    @asynccontextmanager
    async def turn(
        self, caller: Caller, kind: str, ready: Callable[[], Awaitable[object]] = trio.lowlevel.checkpoint
    ) -> AsyncIterator[None]:
        """Wait until the call may go on, and for what it takes from the client to be `ready`. Raises Crowded.

        Administrators have no turns, and who reads the whole platform belongs to no organization.
        """
        if caller.admin:
            await ready()
            yield
            return
        async with self._people.turn(f"{kind}/{caller.user_guid}"):
            await ready()
            organization = self._organization(caller, kind)
            if organization is None:
                yield
                return
            async with self._organizations.turn(organization):
                yield

    def _organization(self, caller: Caller, kind: str) -> str | None:
        """The key of the one with the fewest calls of those in which the caller has a role: whoever gives somebody a
        role, without being asked to, can make nobody wait who has another one.
        """
        if caller.sees_everything:
            return None
        keys = [f"{kind}/{guid}" for guid in organizations_of(self._database, caller)]
        return min(keys, key=self._organizations.taken, default=None)


def organizations_of(database: Database, caller: Caller) -> list[str]:
    """Those in which the caller has a role, be it in a space."""
    spaces = InSelect("guid", Role, "space_guid", Eq("user_guid", caller.user_guid))
    with database.read() as tx:
        found = {
            *tx.distinct(Role, ("organization_guid",), user_guid=caller.user_guid),
            *tx.distinct(Space, ("organization_guid",), spaces),
        }
    return sorted(guid for (guid,) in found if guid is not None)
