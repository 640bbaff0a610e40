"""Other nodes as far as log lines are concerned."""

import msgspec

from paasd.logs.line import Line


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
