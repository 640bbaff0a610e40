"""What the scheduler needs to see of the cluster, and who of the nodes that see it acts."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from paasd.model import Node
from paasd.model.nodes import LIVE_STATES
from paasd.model.ownership import owner_of
from paasd.observed import InstanceFact, Watch
from paasd.state import Database, In

Acts = Callable[[str], bool]

PLACEMENT: Final = "placement"
SWEEPS: Final = "sweeps"
DELETIONS: Final = "deletions"
HOUSEKEEPING: Final = "housekeeping"
LIVENESS: Final = "liveness"


class Report(Protocol):
    """What a node says of itself, as far as it counts here."""

    @property
    def unreachable(self) -> tuple[str, ...]:
        """Nodes that it cannot reach."""


class Sight(Protocol):
    """The observed facts of all nodes, as this node knows them."""

    def instances(self, app_guid: str | None = None) -> list[InstanceFact]: ...

    def nodes(self) -> Mapping[str, Report]:
        """By guid; of nodes that cannot be reached, what they said last."""

    def unreachable(self) -> frozenset[str]:
        """Guids of nodes that this one cannot reach."""

    def suspects(self) -> frozenset[str]:
        """Guids of nodes of which gossip is about to say whether they can be reached."""

    def watch(self) -> AbstractAsyncContextManager[Watch]: ...


def always(subject: str) -> bool:
    """For a node that is alone."""
    return True


def make_acts(database: Database, unreachable: Callable[[], frozenset[str]], node_guid: str) -> Acts:
    """Whether this node is the one that normally acts for a subject, among the control nodes that it can reach.

    It saves effort and no more: when two nodes think so at once, operations check again.
    """

    def acts(subject: str) -> bool:
        with database.read() as tx:
            nodes = tx.all(Node, In("state", LIVE_STATES), role="control")
        gone = unreachable()
        candidates = [node.guid for node in nodes if node.guid == node_guid or node.guid not in gone]
        return owner_of(subject, candidates) == node_guid

    return acts
