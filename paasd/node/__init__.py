"""The composition root: opens every part of a node in the order in which they need each other, and nothing else.

`open_node` is the node as a context manager (tests and harnesses embed it), `run_node` the daemon's main program,
`stop_node`, `build_stack`, `backup_stopped`, `restore_node` and `recover_node` work while no daemon runs. Reading
`node.py` shows the whole system.
"""

from paasd.node.alone import recover_node
from paasd.node.joining import join_node, join_platform
from paasd.node.maintenance import build_stack, daemon_pid, stop_node
from paasd.node.node import Node, open_node
from paasd.node.recovery import backup_stopped, configured, restore_node
from paasd.node.run import run_node
from paasd.node.start import Substitutes

__all__ = [
    "Node",
    "Substitutes",
    "backup_stopped",
    "build_stack",
    "configured",
    "daemon_pid",
    "join_node",
    "join_platform",
    "open_node",
    "recover_node",
    "restore_node",
    "run_node",
    "stop_node",
]
