"""The engine: one writer task per database, operations captured as changesets, replay, readers, the watch feed."""

from paasd.state.engine.charging import charging
from paasd.state.engine.connection import DiskFull, StateDamaged
from paasd.state.engine.database import Database
from paasd.state.engine.forwarding import Forwarded, Forwarder, NotTaken, Undelivered
from paasd.state.engine.opening import open_database
from paasd.state.engine.repeating import Repeatable, current_request, repeatable
from paasd.state.engine.runner import InlineRunner, ThreadRunner
from paasd.state.engine.schema import SchemaError, broken_rules, load_migrations
from paasd.state.engine.snapshots import Manifest, list_snapshots, restore_snapshot, take_snapshot
from paasd.state.engine.standing import LogKind, Standing, read_closed, read_standing, stand_alone
from paasd.state.engine.switching import StartLog
from paasd.state.engine.watch import Changes
from paasd.state.engine.writer import CommitFailed

__all__ = [
    "Changes",
    "CommitFailed",
    "Database",
    "DiskFull",
    "Forwarded",
    "Forwarder",
    "InlineRunner",
    "LogKind",
    "Manifest",
    "NotTaken",
    "Repeatable",
    "SchemaError",
    "Standing",
    "StartLog",
    "StateDamaged",
    "ThreadRunner",
    "Undelivered",
    "broken_rules",
    "charging",
    "current_request",
    "list_snapshots",
    "load_migrations",
    "open_database",
    "read_closed",
    "read_standing",
    "repeatable",
    "restore_snapshot",
    "stand_alone",
    "take_snapshot",
]
