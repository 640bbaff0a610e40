"""What is reserved on a node: the sizes of everything that rows place there."""

from typing import Final

from paasd.model.records import Instance, Task
from paasd.state import Eq, In, ReadTx

GOING_ON: Final = In("state", ["RUNNING", "CANCELING"])
"""Tasks that take room on their node."""


def reserved_on(tx: ReadTx, node_guid: str) -> tuple[int, int]:
    """Memory and disk (MB) that instances and tasks on a node have reserved."""
    here = Eq("node_guid", node_guid)
    return (
        tx.total(Instance, ("memory_mb",), here) + tx.total(Task, ("memory_mb",), here, GOING_ON),
        tx.total(Instance, ("disk_mb",), here) + tx.total(Task, ("disk_mb",), here, GOING_ON),
    )
