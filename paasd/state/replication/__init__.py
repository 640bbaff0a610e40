"""Several databases that hold the same: the log served to other nodes, operations sent to the one that writes for all,
snapshots sent to those that join or were away too long.

`open_replication` connects an open database to the other nodes. It knows no table: who votes, who writes for all and
what a worker may run are functions handed in.
"""

from paasd.state.replication.copying import Fetching, serve_snapshots
from paasd.state.replication.forwarding import PeerForwarder, serve_operations
from paasd.state.replication.opening import open_replication
from paasd.state.replication.serving import serve_log

__all__ = ["Fetching", "PeerForwarder", "open_replication", "serve_log", "serve_operations", "serve_snapshots"]
