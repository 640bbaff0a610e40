"""Copies that are too many, since a node came back after its blobs were copied elsewhere: found by whoever counts."""

from typing import Final

import trio

from paasd.config import CopiesConfig
from paasd.copies.census import Census
from paasd.copies.places import Place, spare
from paasd.copies.sparing import ASK_S, Sparing
from paasd.copies.wire import SPARE, Spare, Spared, encode
from paasd.errors import PaasdError
from paasd.packing import unpack
from paasd.peer import Peers

AT_ONCE: Final = 20
"""Copies given up in one look: each is read on two nodes before."""


class Surplus:
    """Of whoever counts: which copies have been too many for long enough, and has them given up."""

    def __init__(self, peers: Peers, sparing: Sparing, config: CopiesConfig) -> None:
        self._peers = peers
        self._sparing = sparing
        self._config = config
        self._since: dict[tuple[str, str], float] = {}

    async def look(self, census: Census) -> int:
        """How many copies went. Nothing happens unless every node has answered."""
        now, found = trio.current_time(), dict[tuple[str, str], list[Place]]()
        if not census.silent:
            for sha256, holders in census.holders.items():
                kept, too_many = spare(sha256, census.places, holders)
                found |= {(sha256, place.guid): kept for place in too_many}
        self._since = {each: self._since.get(each, now) for each in found}
        due = [each for each, since in self._since.items() if now - since >= self._config.spare_after_s]
        gone = 0
        for sha256, guid in due[:AT_ONCE]:
            gone += await self._have_given_up(sha256, guid, [place.guid for place in found[sha256, guid]])
        return gone

    async def _have_given_up(self, sha256: str, guid: str, keepers: list[str]) -> bool:
        """A node that will not, since it uses its copy, is asked again after the next wait."""
        del self._since[sha256, guid]
        try:
            if guid == self._peers.guid:
                await self._sparing.give_up(sha256, keepers)
                return True
            body = encode(Spare(sha256=sha256, keepers=keepers))
            return unpack(await self._peers.call(guid, SPARE, body, timeout_s=3 * ASK_S), Spared).gone
        except PaasdError:
            return False
