"""Whether the nodes that would be left have room for what a zone runs. Pure; places nothing, counts memory only."""

from collections import Counter
from collections.abc import Iterable, Sequence

from paasd.model import Instance, Node


def not_absorbed(nodes: Sequence[Node], instances: Iterable[Instance]) -> dict[str, int]:
    """By zone, the MB of memory that would be missing after its loss; only zones for which any would be."""
    zone_of = {node.guid: node.zone for node in nodes if node.state == "READY"}
    room: Counter[str] = Counter()
    for node in nodes:
        if node.guid in zone_of:
            room[node.zone] += node.memory_mb
    used: Counter[str] = Counter()
    for instance in instances:
        if instance.node_guid in zone_of:
            used[zone_of[instance.node_guid]] += instance.memory_mb
    if len(room) < 2:
        return {}
    left = {zone: sum(room.values()) - room[zone] - (sum(used.values()) - used[zone]) for zone in room}
    return {zone: used[zone] - left[zone] for zone in sorted(room) if used[zone] > left[zone]}
