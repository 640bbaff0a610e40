"""What the database asks of whoever can have another node run an operation."""

from typing import Any, Protocol

import msgspec

from paasd.state.engine.replica import Call


class Undelivered(Exception):
    """The other node did not answer; it may have run the operation, and may still do so."""


class NotTaken(Exception):
    """The other node did not run the operation and will not."""


class Forwarded(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it there, as of entry `index`: the packed result, or what the operation raised."""

    index: int
    result: bytes = b""
    error: Exception | None = None


class Forwarder(Protocol):
    """Sends operations to the node that writes for all, so that they share entries and do not conflict."""

    def target(self) -> str | None:
        """The node to send to; None when this one should run operations itself."""

    async def run(self, node_guid: str, call: Call[Any], timeout_s: float) -> Forwarded:
        """Raises Undelivered, NotTaken, and OutcomeUnknown when that node waits for the log."""
