"""The ordered log that every write goes through: one interface, several logs, one test-suite for all of them.

`LocalLog` keeps the entries in the database itself; `MemoryLog` is shared by several databases in tests and fails on
purpose. An entry is the changeset of a group of operations or a migration, with a hash chain over all of them.
"""

from paasd.state.log.interface import Log, LogTrimmed, LogUnavailable, NoAnswer, Refused, Runner
from paasd.state.log.local import LocalLog
from paasd.state.log.memory import Faults, MemoryLog

__all__ = [
    "Faults",
    "LocalLog",
    "Log",
    "LogTrimmed",
    "LogUnavailable",
    "MemoryLog",
    "NoAnswer",
    "Refused",
    "Runner",
]
