"""Where copies of a blob should be: rendezvous hashing over zones, then over the nodes of each. Pure."""

from collections.abc import Collection, Iterable

import msgspec

from paasd.model.ownership import ranked

COPIES = 2
"""In so many zones a blob is kept, if there are as many; with nodes in one zone only, on so many nodes."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A node that belongs to the platform. `taking` says whether it may be given new copies."""

    guid: str
    zone: str
    reachable: bool = True
    taking: bool = True

    @property
    def counts(self) -> bool:
        """Whether a copy there is one to rely on: not on a node that is away, or about to leave."""
        return self.reachable and self.taking


def apart(places: Iterable[Place]) -> list[Place]:
    """The places as they are, or, if only one zone is there to take copies, each node as a zone of its own."""
    found = list(places)
    if len({place.zone for place in found if place.counts}) > 1:
        return found
    return [msgspec.structs.replace(place, zone=place.guid) for place in found]


def wanted_zones(places: Iterable[Place]) -> int:
    """In how many zones a blob should be now."""
    return min(COPIES, len({place.zone for place in places if place.counts}))


def preferred(sha256: str, places: Collection[Place], without: Collection[str] = ()) -> list[Place]:
    """Reachable nodes outside the zones `without`, best first: the best of each zone, then the second best."""
    by_guid = {place.guid: place for place in places if place.reachable and place.zone not in without}
    by_zone: dict[str, list[Place]] = {}
    for guid in ranked(sha256, by_guid):
        by_zone.setdefault(by_guid[guid].zone, []).append(by_guid[guid])
    zones = ranked(sha256, by_zone)
    depth = max((len(nodes) for nodes in by_zone.values()), default=0)
    return [by_zone[zone][row] for row in range(depth) for zone in zones if row < len(by_zone[zone])]


def spare(sha256: str, places: Collection[Place], holders: Collection[Place]) -> tuple[list[Place], list[Place]]:
    """(who keeps a copy, whose copy is one too many): kept are those where it is looked for first, one in each zone
    that is wanted. Nobody's is too many before there are enough.
    """
    counting = {place.guid for place in holders if place.counts}
    kept: dict[str, Place] = {}
    for place in preferred(sha256, places):
        if place.guid in counting and len(kept) < wanted_zones(places):
            kept.setdefault(place.zone, place)
    if len(kept) < wanted_zones(places):
        return list(kept.values()), []
    keepers = {place.guid for place in kept.values()}
    return list(kept.values()), [place for place in holders if place.guid in counting - keepers]


def targets(sha256: str, places: Collection[Place], covered: Collection[str]) -> list[Place]:
    """Who may be given a further copy, best first, when the zones `covered` have one."""
    return [place for place in preferred(sha256, places, covered) if place.taking]
