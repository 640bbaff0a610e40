"""Log lines of apps and of the platform about apps: taken, limited, kept on this node, read and followed.

Output of tenants comes through spools on disk (`SpoolTail`), so nothing is lost while no daemon runs; lines of the
platform through `Logs.append`. What has to be dropped is counted in the stream itself. `envelope` is log-cache's form.
Lines stay on the node where they were written; `read_all` and `follow_all` put together those of all nodes.
"""

from paasd.logs.envelope import ReadAnswer, envelope, read_response
from paasd.logs.followers import Follower, Following
from paasd.logs.line import Line, Stream
from paasd.logs.logs import Logs, open_logs
from paasd.logs.nodes import LogNode, log_nodes_of
from paasd.logs.others import open_other_nodes
from paasd.logs.tail import MakeLine, SpoolTail
from paasd.logs.wire import Query

__all__ = [
    "Follower",
    "Following",
    "Line",
    "LogNode",
    "Logs",
    "MakeLine",
    "Query",
    "ReadAnswer",
    "SpoolTail",
    "Stream",
    "envelope",
    "log_nodes_of",
    "open_logs",
    "open_other_nodes",
    "read_response",
]
