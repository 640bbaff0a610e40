"""Keeps the number of copies: each node counts those of its share of the blobs, and has the missing ones made.

Nodes that are away and not given up count as having their copies for a while: most of them come back. Two nodes that
repair the same blob at once, since they see different nodes, make one copy too many at most.
"""

from collections.abc import Callable, Collection, Iterable

import structlog
import trio

from paasd.copies.census import Census, count
from paasd.copies.copies import TRIES, Copies
from paasd.copies.places import targets, wanted_zones
from paasd.copies.surplus import Surplus
from paasd.copies.wire import WANT, Want, encode
from paasd.errors import PaasdError, Unavailable
from paasd.model.ownership import owner_of

LOOK_S = 1.0
COPY_TIMEOUT_S = 1800.0
"""How long another node may take for one blob; each step of it has its own, shorter limit."""


class Repair:
    """One per node. `referenced` gives every blob that rows refer to."""

    def __init__(self, copies: Copies, referenced: Callable[[], Collection[str]]) -> None:
        self._copies = copies
        self._surplus = Surplus(copies.peers, copies.sparing, copies.config)
        self._referenced = referenced
        self._away_since: dict[str, float] = {}
        self._log = structlog.get_logger()

    async def look(self) -> bool:
        """Count, repair, and say whether all is as it should be. `Copies.short` and `Copies.missing` have the rest."""
        copies = self._copies
        await trio.lowlevel.checkpoint()
        referenced = set(self._referenced())
        live = [place.guid for place in copies.places() if place.reachable]
        mine = await trio.to_thread.run_sync(_share, copies.peers.guid, referenced, live)
        mine |= copies.short.keys() & referenced
        for sha256 in copies.short.keys() - referenced:
            del copies.short[sha256]  # what it was for was given up
        census = await count(copies, mine)
        if self._wait_for(census):
            return False
        lacking = list(census.lacking())
        await self._repair(census, lacking)
        for sha256 in mine - set(lacking):
            copies.short.pop(sha256, None)
        copies.missing &= referenced
        await self._surplus.look(census)
        return not copies.short

    def _wait_for(self, census: Census) -> bool:
        """Whether a node that is away may yet come back with its copies."""
        now = trio.current_time()
        away = {place.guid for place in census.silent}
        self._away_since = {guid: self._away_since.get(guid, now) for guid in away}
        return any(now - since < self._copies.config.repair_patience_s for since in self._away_since.values())

    async def _repair(self, census: Census, lacking: Iterable[str]) -> None:
        limiter = trio.CapacityLimiter(self._copies.config.repairs)
        async with trio.open_nursery() as nursery:
            for sha256 in lacking:
                await limiter.acquire_on_behalf_of(sha256)
                nursery.start_soon(self._repair_one, census, sha256, limiter)

    async def _repair_one(self, census: Census, sha256: str, limiter: trio.CapacityLimiter) -> None:
        copies, failures = self._copies, list[str]()
        zones, wanted = census.zones(sha256), wanted_zones(census.places)
        try:
            for place in targets(sha256, census.places, zones):
                if len(zones) >= wanted or len(failures) >= TRIES:
                    break
                if place.zone in zones:
                    continue
                try:
                    await self._have_made(place.guid, sha256)
                    zones.add(place.zone)
                except PaasdError as error:
                    failures.append(f"node {place.guid}: {error.detail}")
        finally:
            limiter.release_on_behalf_of(sha256)
        if zones or census.holders[sha256]:
            copies.missing.discard(sha256)
        else:
            copies.missing.add(sha256)
        if len(zones) >= wanted:
            copies.short.pop(sha256, None)
            self._log.info("copied a blob again", blob=sha256, zones=sorted(zones))
        else:
            copies.short[sha256] = "; ".join(failures) or "no node takes copies"
            self._log.warning("too few copies of a blob", blob=sha256, zones=sorted(zones), reasons=failures)

    async def _have_made(self, node_guid: str, sha256: str) -> None:
        """Have a node fetch the blob; given up as soon as gossip loses it. Raises PaasdError."""
        copies = self._copies
        with trio.CancelScope() as lost:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, node_guid, lost)
                try:
                    body = encode(Want(sha256=sha256))
                    await copies.peers.call(node_guid, WANT, body, timeout_s=COPY_TIMEOUT_S)
                    failure = None
                except PaasdError as error:
                    failure = error
                nursery.cancel_scope.cancel()
            if failure is not None:
                raise failure
            return
        raise Unavailable("it was lost meanwhile")

    async def _watch(self, node_guid: str, lost: trio.CancelScope) -> None:
        while True:
            await trio.sleep(LOOK_S)
            if not any(place.guid == node_guid and place.reachable for place in self._copies.places()):
                lost.cancel()


def _share(node_guid: str, sha256s: Collection[str], live: Collection[str]) -> set[str]:
    """The blobs that this node looks after."""
    if list(live) == [node_guid]:
        return set(sha256s)
    return {sha256 for sha256 in sha256s if owner_of(sha256, live) == node_guid}


async def kept_only_on(copies: Copies, node_guid: str, referenced: Collection[str]) -> list[str]:
    """Blobs that would be in too few zones if this node were gone: it must not leave before others have them."""
    census = await count(copies, referenced)
    lacking = census.lacking(without=[node_guid])
    return sorted(one for one in lacking if any(place.guid == node_guid for place in census.holders[one]))
