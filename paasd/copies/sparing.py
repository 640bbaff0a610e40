"""A copy that is one too many is given up by agreement.

Who counts a blob (`surplus.py`) tells a node that its copy is one too many, and who keeps it. Two that count at once
may tell different nodes, and each of these could delete what the other relies on. So whoever gives its copy up pledges
nothing from then on, and first has enough others, in enough zones, read theirs and pledge to keep it; who has pledged
does not give up. A pledge that a restart forgets does no harm: who gives up then needs pledges itself, and gets none
from a node that is about to delete its own copy.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final

import structlog
import trio

from paasd.blobs import Blobs
from paasd.config import CopiesConfig
from paasd.copies.places import Place, wanted_zones
from paasd.copies.wire import PLEDGE, SPARE, Pledge, Spare, Spared, encode
from paasd.errors import NotFound, PaasdError, Unavailable
from paasd.packing import unpack
from paasd.peer import Peer, Peers

PLEDGE_S: Final = 600.0
"""How long a node keeps what it has pledged; within this the other copy is deleted, or stays."""

ASK_S: Final = 120.0
"""How long a node may take to read its copy."""


class Sparing:
    """What a node does about its own copies. `needed` gives blobs that what runs here is made of."""

    def __init__(self, config: CopiesConfig, blobs: Blobs, peers: Peers, places: Callable[[], Sequence[Place]]) -> None:
        self.needed: Callable[[], Collection[str]] = frozenset
        self._config = config
        self._blobs = blobs
        self._peers = peers
        self._places = places
        self._leaving: set[str] = set()
        self._pledged: dict[str, float] = {}
        self._log = structlog.get_logger()

    def serve(self) -> None:
        """Answer other nodes."""
        self._peers.serve(SPARE, self._answer_spare)
        self._peers.serve(PLEDGE, self._answer_pledge)

    async def give_up(self, sha256: str, keepers: Collection[str]) -> None:
        """Delete the copy of this node. Raises Unavailable with why it stays."""
        self._check(sha256)
        if sha256 in self._leaving:
            raise Unavailable("that is under way")
        self._leaving.add(sha256)
        try:
            begun = trio.current_time()
            await self._have_pledged(sha256, keepers)
            if trio.current_time() - begun > PLEDGE_S / 2:
                raise Unavailable("the pledges of others took too long")
            self._check(sha256)
            if not await self._blobs.give_up(sha256, self._config.spare_after_s):
                raise Unavailable("it was used just now")
        finally:
            self._leaving.discard(sha256)
        self._log.info("gave up a spare copy of a blob", blob=sha256, kept_by=sorted(keepers))

    def _check(self, sha256: str) -> None:
        if self._pledged.get(sha256, 0.0) > trio.current_time():
            raise Unavailable("another node relies on it")
        if sha256 in self.needed():
            raise Unavailable("what runs here needs it")
        if self._blobs.was_used(sha256, self._config.spare_after_s):
            raise Unavailable("it was used not long ago")

    async def _have_pledged(self, sha256: str, keepers: Collection[str]) -> None:
        """Raises Unavailable unless enough nodes, in enough zones as this one sees them, pledge to keep it."""
        places = self._places()
        kept = [place for place in places if place.guid in keepers and place.counts and place.guid != self._peers.guid]
        zones = {place.zone for place in kept}
        if len(zones) < wanted_zones(places) or not all(place.reachable for place in places):
            raise Unavailable("not all nodes are here, or the others are in too few zones")
        body = encode(Pledge(sha256=sha256))
        for place in kept:
            try:
                await self._peers.call(place.guid, PLEDGE, body, timeout_s=ASK_S)
            except PaasdError as error:
                raise Unavailable(f"node {place.guid} does not pledge to keep it: {error.detail}") from error

    async def pledge(self, sha256: str) -> None:
        """Keep the copy of this node for a while. Raises Unavailable, NotFound, BlobDamaged."""
        if sha256 in self._leaving:
            raise Unavailable("its own copy is about to go")
        self._pledged = {name: until for name, until in self._pledged.items() if until > trio.current_time()}
        self._pledged[sha256] = trio.current_time() + PLEDGE_S
        await self._blobs.verify(sha256)
        if not self._blobs.claim(sha256):
            raise NotFound("Blob", f"blob {sha256} is not on this node")

    async def _answer_spare(self, _peer: Peer, body: bytes) -> bytes:
        asked = unpack(body, Spare)
        try:
            await self.give_up(asked.sha256, asked.keepers)
        except Unavailable as error:
            return encode(Spared(gone=False, detail=error.detail))
        return encode(Spared(gone=True))

    async def _answer_pledge(self, _peer: Peer, body: bytes) -> bytes:
        asked = unpack(body, Pledge)
        await self.pledge(asked.sha256)
        return b""
