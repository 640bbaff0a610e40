"""Which node gets which task. Pure: the one with the most room, oldest tasks first; one without room waits."""

from collections.abc import Iterable, Mapping

from paasd.model import Instance, Node, Task
from paasd.model.reserving import GOING_ON
from paasd.scheduler.slots import Nodes
from paasd.state import ReadTx

Reserved = tuple[int, int]  # memory and disk in MB


def reserved_by_tasks(tx: ReadTx) -> dict[str, Reserved]:
    """What tasks take on each node."""
    found: dict[str, Reserved] = {}
    for task in tx.all(Task, GOING_ON):
        memory_mb, disk_mb = found.get(task.node_guid or "", (0, 0))
        found[task.node_guid or ""] = memory_mb + task.memory_mb, disk_mb + task.disk_mb
    return found


def assign_tasks_to(
    tasks: Iterable[Task],
    nodes: Iterable[Node],
    instances: Iterable[Instance],
    taken: Mapping[str, Reserved],
    ready: Nodes,
) -> dict[str, str]:
    """Node guid by task guid. `taken` is what other tasks have."""
    free = {
        node.guid: [node.memory_mb - taken.get(node.guid, (0, 0))[0], node.disk_mb - taken.get(node.guid, (0, 0))[1]]
        for node in nodes
        if node.guid in ready.ready
    }
    for instance in instances:
        if instance.node_guid in free:
            free[instance.node_guid][0] -= instance.memory_mb
            free[instance.node_guid][1] -= instance.disk_mb
    given: dict[str, str] = {}
    for task in tasks:
        fitting = [guid for guid, (memory, disk) in free.items() if memory >= task.memory_mb and disk >= task.disk_mb]
        if not fitting:
            continue
        chosen = max(fitting, key=lambda guid: (free[guid][0], guid))
        free[chosen][0] -= task.memory_mb
        free[chosen][1] -= task.disk_mb
        given[task.guid] = chosen
    return given
