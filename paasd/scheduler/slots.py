"""The instances of one slot, a process and an index, over their moves and losses. Pure.

A slot has one instance, or while it moves several: the newest, which is to stay, and elders that serve until it runs.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Literal

import msgspec

from paasd.model import Instance, Node
from paasd.model.nodes import LIVE_STATES


class Nodes(msgspec.Struct, frozen=True):
    """Node guids by what may be done with them."""

    live: frozenset[str]
    ready: frozenset[str]
    draining: frozenset[str]

    @classmethod
    def of(cls, nodes: Iterable[Node], unreachable: Collection[str] = (), *, apps_on_control: bool = True) -> "Nodes":
        """`unreachable` ones keep what they have and get nothing. Without workers control nodes run the apps anyway."""
        known = list(nodes)
        ready = [node for node in known if node.state == "READY" and node.guid not in unreachable]
        if not apps_on_control:
            ready = [node for node in ready if node.role == "worker"] or ready
        return cls(
            live=frozenset(node.guid for node in known if node.state in LIVE_STATES),
            ready=frozenset(node.guid for node in ready),
            draining=frozenset(node.guid for node in known if node.state == "DRAINING"),
        )


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What is to become of a slot's instances.

    `retire` have a successor that serves, `drop` are successors that were lost before they served. `need` says that
    one is to be placed under a higher epoch than `newest`: instead of one that is lost, or of one that has to move.
    """

    newest: Instance
    kept: tuple[Instance, ...] = ()
    retire: tuple[Instance, ...] = ()
    drop: tuple[Instance, ...] = ()
    need: Literal["nothing", "lost", "move"] = "nothing"

    @property
    def moving(self) -> bool:
        """Whether a successor is under way."""
        return len(self.kept) > 1


def judge(
    rows: Sequence[Instance],
    nodes: Nodes,
    running: Collection[str],
    *,
    frozen: bool,
    overdue: Collection[str] = (),
) -> Verdict:
    """`rows` are those of the slot that are still wanted, at least one; `running` are guids of healthy instances.

    While replacement is `frozen`, what is lost stays as it is, and nothing moves. A successor that is `overdue` does
    not become healthy: what drains goes all the same, what was only to be moved stays where it is.
    """
    ordered = tuple(sorted(rows, key=lambda row: row.epoch))
    newest = ordered[-1]
    alive = [row for row in ordered if row.node_guid in nodes.live]
    if not alive:
        # The row of a lost instance stays until another takes its place: a node that comes back first goes on with it.
        return Verdict(newest=newest, kept=ordered) if frozen else Verdict(newest=newest, need="lost")
    if len(alive) > 1 and alive[-1].guid in overdue and alive[-2].node_guid not in nodes.draining:
        kept = tuple(row for row in ordered if row.epoch < alive[-1].epoch)
        return Verdict(newest=newest, kept=kept, drop=tuple(row for row in ordered if row not in kept))
    current = alive[-1]
    replaced = current.guid in running or current.guid in overdue
    retire = tuple(row for row in ordered if row.epoch < current.epoch and (replaced or row not in alive))
    moves = current.node_guid in nodes.draining and not frozen
    drop = () if moves or frozen else tuple(row for row in ordered if row.epoch > current.epoch)
    kept = tuple(row for row in ordered if row not in retire and row not in drop)
    return Verdict(newest=newest, kept=kept, retire=retire, drop=drop, need="move" if moves else "nothing")
