"""What the engine asks of an ordered log. The conditional append is the only lock there is between nodes."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import apsw

from paasd.errors import PaasdError, Unavailable

T = TypeVar("T")


class Runner(Protocol):
    """Runs a blocking call: in a thread of its own, or at once where virtual time rules out threads."""

    async def __call__(self, function: Callable[..., T], *arguments: Any) -> T: ...


class Refused(NamedTuple):
    """The index was not the newest + 1; `entries` are those from that index on, as far as the log gave them."""

    entries: tuple[bytes, ...]


class NoAnswer(Exception):
    """The append may or may not have been accepted; only the same bytes sent again to the same index can tell."""


class LogUnavailable(Unavailable):
    """The log took nothing: it has no quorum or cannot be reached."""


class LogTrimmed(PaasdError):
    """The entries asked for were trimmed; the node has to start from a newer snapshot."""

    def __init__(self, wanted: int, first: int) -> None:
        super().__init__(
            f"the log begins at entry {first}, entry {wanted} is gone; restore a newer snapshot on this node"
        )
        self.first = first


class Log(Protocol):
    """An ordered log as one database sees it. Indexes begin at 1 and have no gaps."""

    identity: str | None
    """Which log this is; None takes the identity that the database has."""

    external: bool
    """Entries are durable outside the database: an accepted one must be committed or replayed, never dropped."""

    def attach(self, connection: apsw.Connection, run: Runner) -> None:
        """Called once at open, before anything else, with the writer's connection and its runner."""

    def stage(self, index: int, data: bytes) -> None:
        """Called inside the open transaction, in the runner, just before `append`."""

    async def append(self, index: int, data: bytes) -> Refused | None:
        """Make `data` entry `index` if the newest is `index` - 1. None: accepted. Raises NoAnswer, LogUnavailable."""

    async def read(self, after: int, limit: int) -> Sequence[bytes]:
        """Up to `limit` entries that follow entry `after`. Raises LogTrimmed, LogUnavailable."""

    async def newest(self) -> int:
        """Index of the newest entry, 0 when there is none; linearizable. Raises LogUnavailable."""

    async def wait_newer(self, after: int) -> None:
        """Return when there may be an entry that follows entry `after`."""

    async def trim(self, before: int) -> None:
        """Drop entries below `before`; the newest always stays. Not called while a transaction is open."""
