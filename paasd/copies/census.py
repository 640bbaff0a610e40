"""Counts: which nodes have which blobs, as they say now."""

from collections.abc import Collection, Iterable, Iterator

import msgspec
import trio

from paasd.copies.copies import Copies
from paasd.copies.places import Place, wanted_zones
from paasd.errors import PaasdError


class Census(msgspec.Struct, kw_only=True):
    """Holders by blob, of the nodes that answered; `silent` ones did not, or cannot be reached."""

    places: list[Place]
    holders: dict[str, list[Place]]
    silent: list[Place]

    def zones(self, sha256: str) -> set[str]:
        """Where copies are that one can rely on."""
        return {place.zone for place in self.holders[sha256] if place.counts}

    def lacking(self, without: Collection[str] = ()) -> Iterator[str]:
        """Blobs in fewer zones than they should be, if the nodes `without` were not there."""
        wanted = wanted_zones(place for place in self.places if place.guid not in without)
        for sha256, holders in self.holders.items():
            zones = {place.zone for place in holders if place.counts and place.guid not in without}
            if len(zones) < wanted:
                yield sha256


async def count(copies: Copies, sha256s: Iterable[str]) -> Census:
    """Ask every node that can be reached, a batch at a time."""
    wanted = sorted(sha256s)
    places = list(copies.places())
    census = Census(
        places=places,
        holders={sha256: [] for sha256 in wanted},
        silent=[place for place in places if not place.reachable],
    )
    batch = copies.config.batch
    limiter = trio.CapacityLimiter(copies.config.asked_at_once)

    async def ask(place: Place) -> None:
        found: list[str] = []
        try:
            async with limiter:
                for start in range(0, len(wanted), batch):
                    found += await copies.who_has(place.guid, wanted[start : start + batch])
        except PaasdError:
            census.silent.append(place)
            return
        for sha256 in found:
            if sha256 in census.holders:
                census.holders[sha256].append(place)

    async with trio.open_nursery() as nursery:
        for place in places:
            if place.reachable:
                nursery.start_soon(ask, place)
    return census
