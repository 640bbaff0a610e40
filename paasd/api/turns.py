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

from paasd.api.payer import Payer
from paasd.config import ApiConfig
from paasd.turns import Turns

ORGANIZATION: Final = 2
"""So many times the calls of a person are those of its organization."""
PIECE: Final = "piece"
"""The kind of turn that each piece of an answer without a known end has."""


class CallTurns:
    """What reads and what changes have turns apart: where no write can be carried out, people go on looking."""

    def __init__(self, config: ApiConfig) -> None:
        self._people = Turns(config.calls_at_once, "of your calls")
        # A stream that was let in goes on: how many there are was looked at then, and refused half way it would be cut.
        self._streams = Turns(config.calls_at_once, "of your streams", waiting=math.inf)
        # All that wait have turns of their person meanwhile, so that nobody needs to be refused for many others.
        whole = config.calls_at_once * ORGANIZATION
        self._organizations = Turns(whole, "calls of your organization", waiting=math.inf)

    @asynccontextmanager
    async def turn(
        self, payer: Payer, kind: str, ready: Callable[[], Awaitable[object]] = trio.lowlevel.checkpoint
    ) -> AsyncIterator[None]:
        """Wait until the call may go on, and for what it takes from the client to be `ready`. Raises Crowded.

        Administrators have no turns.
        """
        if payer.free:
            await ready()
            yield
            return
        people = self._streams if kind == PIECE else self._people
        async with people.turn(f"{kind}/{payer.person}"):
            await ready()
            organization = self._organization(payer, kind)
            if organization is None:
                yield
                return
            async with self._organizations.turn(organization):
                yield

    def _organization(self, payer: Payer, kind: str) -> str | None:
        """The key of the one that pays: that with the fewest calls."""
        keys = [f"{kind}/{guid}" for guid in payer.organizations]
        return min(keys, key=self._organizations.taken, default=None)
