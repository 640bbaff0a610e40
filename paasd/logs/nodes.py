"""Other nodes as far as log lines are concerned."""

from collections.abc import Callable, Collection

import msgspec

from paasd.logs.line import Line
from paasd.model import Node
from paasd.model.nodes import LIVE_STATES
from paasd.state import Database


class LogNode(msgspec.Struct, frozen=True, kw_only=True):
    """Another node that may have lines."""

    guid: str
    name: str
    reachable: bool = True


def missing_lines(source_id: str, node: LogNode, at_ns: int) -> Line:
    """Said in the place of lines that could not be had."""
    return Line(
        source_id=source_id,
        source_type="LGR",
        stream="ERR",
        timestamp_ns=at_ns,
        payload=f"Log lines of node {node.name} are missing here: it does not answer".encode(),
        tags={"missing_node": node.guid},
    )


def log_nodes_of(
    database: Database, node_guid: str, unreachable: Callable[[], Collection[str]]
) -> Callable[[], list[LogNode]]:
    """Gives all other nodes that belong to the platform now; `unreachable` those that gossip cannot reach."""

    def nodes() -> list[LogNode]:
        away = unreachable()
        with database.read() as tx:
            rows = tx.all(Node, order=("guid",))
        return [
            LogNode(guid=node.guid, name=node.name, reachable=node.guid not in away)
            for node in rows
            if node.guid != node_guid and node.state in LIVE_STATES
        ]

    return nodes
