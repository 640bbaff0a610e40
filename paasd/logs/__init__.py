"""Log lines of apps and of the platform about apps: taken, limited, kept on this node, read and followed.

Output of tenants comes through spools on disk (`SpoolTail`), so nothing is lost while no daemon runs; lines of the
platform through `Logs.append`. What has to be dropped is counted in the stream itself. `envelope` is log-cache's form.
"""

from paasd.logs.envelope import envelope, read_response
from paasd.logs.followers import Follower
from paasd.logs.line import Line, Stream
from paasd.logs.logs import Logs, open_logs
from paasd.logs.tail import MakeLine, SpoolTail

__all__ = ["Follower", "Line", "Logs", "MakeLine", "SpoolTail", "Stream", "envelope", "open_logs", "read_response"]
