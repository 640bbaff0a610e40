"""The one instance of a singleton, pure: stopped first, and started anew when its lease says that it has ended."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from paasd.model import Instance, Lease
from paasd.model.leases import FREE, holds
from paasd.scheduler.slots import Nodes

WAITING = "waits until the former instance has surely ended"
ONLY_ONE = "the app is labelled paasd.io/singleton, so only instance 0 runs"


class SingleVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is to become of a singleton's slot.

    `remove` go at once, `lost` if their node is dead, `lease` runs without a lease yet. `need` says that one is to be
    placed, or is to move: then `kept` goes as soon as there is room for it elsewhere.
    """

    kept: Instance | None = None
    remove: tuple[Instance, ...] = ()
    lost: tuple[Instance, ...] = ()
    lease: Instance | None = None
    need: Literal["nothing", "place", "move", "wait"] = "nothing"


def judge_single(rows: Sequence[Instance], nodes: Nodes, lease: Lease | None, *, frozen: bool) -> SingleVerdict:
    """`rows` are those of the slot that are still wanted. While replacement is `frozen`, nothing is lost nor moves."""
    ordered = sorted(rows, key=lambda row: (row.node_guid not in nodes.live, row.epoch))
    if not ordered:
        return SingleVerdict(need="place" if lease is None or lease.node_guid == FREE else "wait")
    first, rest = ordered[0], tuple(ordered[1:])
    if first.node_guid not in nodes.live:
        return SingleVerdict(kept=first) if frozen else SingleVerdict(lost=tuple(ordered), need="wait")
    if lease is None:
        return SingleVerdict(kept=first, remove=rest, lease=first)
    if not holds(lease, first):
        return SingleVerdict(remove=tuple(ordered), need="wait")
    moves = first.node_guid in nodes.draining and not frozen
    return SingleVerdict(kept=first, remove=rest, need="move" if moves else "nothing")
