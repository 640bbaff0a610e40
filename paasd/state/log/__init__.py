"""The ordered log that every write goes through: one interface, several logs, one test-suite for all of them.

`LocalLog` keeps the entries in the database itself, `FeedLog` has them from other nodes, `MemoryLog` is shared by
databases in tests and fails on purpose. An entry is the changeset of a group of operations or a migration, with a hash
chain over all of them.
"""

from paasd.state.log.feed import FeedLimits, FeedLog, OtherLog, open_feed_log
from paasd.state.log.interface import Log, LogTrimmed, LogUnavailable, NoAnswer, Refused, Runner
from paasd.state.log.local import LocalLog
from paasd.state.log.memory import Faults, MemoryLog
from paasd.state.log.voters import Voter

__all__ = [
    "Faults",
    "FeedLimits",
    "FeedLog",
    "LocalLog",
    "Log",
    "LogTrimmed",
    "LogUnavailable",
    "MemoryLog",
    "NoAnswer",
    "OtherLog",
    "Refused",
    "Runner",
    "Voter",
    "open_feed_log",
]
