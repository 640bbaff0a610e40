"""When so much is lost at once that replacing it would make things worse. Pure.

A third of a zone, or half of everything, seldom dies within a minute: a switch, a bad update or a busy machine that
looks on is likelier. One whole zone of three or more is what zones are for, and is replaced.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

SMALL_ZONE = 2
"""In a zone of so many nodes one is half of it already: such zones count only towards the half of everything."""
ENOUGH_ZONES = 3


def why_brake(zones: Mapping[str, str], lost: Iterable[str]) -> str | None:
    """The reason to replace nothing, None without one. `zones` has the zone of every node, lost ones included."""
    gone = [node for node in lost if node in zones]
    if gone and 2 * len(gone) >= len(zones):
        return f"{len(gone)} of {len(zones)} nodes were lost within a minute"
    total, missing = Counter(zones.values()), Counter(zones[node] for node in gone)
    large = {zone: count for zone, count in missing.items() if total[zone] > SMALL_ZONE}
    whole = [zone for zone, count in large.items() if count == total[zone]]
    forgiven = whole if len(whole) == 1 and len(total) >= ENOUGH_ZONES else []
    for zone, count in sorted(large.items()):
        if 3 * count > total[zone] and zone not in forgiven:
            return f"{count} of {total[zone]} nodes in zone {zone} were lost within a minute"
    return None
