"""What the parts of a node ask of its connections to other nodes."""

from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal, Protocol

import msgspec

from paasd.errors import PaasdError, Unavailable

Role = Literal["control", "worker"]
EVERYBODY: Final[tuple[Role, ...]] = ("control", "worker")
MESSAGE_LIMIT_BYTES: Final = 8 * 1024 * 1024
"""Largest body of a call and largest message of a stream; what is larger is sent in several messages."""


class PeerUnreachable(Unavailable):
    """The other node cannot be reached, or the connection broke before it answered; it may have acted."""


class PeerRefused(PaasdError):
    """The other node answered that it will not: it does not know the kind, or the caller's role may not ask."""


class NoMember(PeerRefused):
    """The other node says that this one was removed from the cluster, which is for good."""


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """The node on the other side, as its certificate says."""

    guid: str
    role: Role


class PeerStream(Protocol):
    """Messages both ways, in order."""

    async def send(self, message: bytes) -> None:
        """Raises PeerUnreachable when the other side is gone."""

    async def receive(self) -> bytes | None:
        """The next message; None when the other side has finished. Raises PeerUnreachable when it broke off.

        What the other side's handler raised as PaasdError is raised here, by the nearest class of `paasd.errors`.
        """

    async def finish(self) -> None:
        """Say that no more will be sent."""


Handler = Callable[[Peer, bytes], Awaitable[bytes]]
StreamHandler = Callable[[Peer, bytes, PeerStream], Awaitable[None]]


class Peers(Protocol):
    """One node's connections. What a handler raises as PaasdError reaches the caller by the nearest class of
    `paasd.errors`, with its detail; anything else is a defect, which is logged here and a PaasdError there.
    """

    guid: str

    def serve(self, kind: str, handler: Handler, *, roles: Collection[Role] = EVERYBODY) -> None:
        """Answer calls of this kind from nodes of these roles. A kind is served once."""

    def serve_stream(self, kind: str, handler: StreamHandler, *, roles: Collection[Role] = EVERYBODY) -> None:
        """Take streams of this kind; the stream ends when the handler returns."""

    async def call(self, node_guid: str, kind: str, body: bytes = b"", *, timeout_s: float = 5.0) -> bytes:
        """Ask a node (also this one). Raises PeerUnreachable, PeerRefused, and what the handler raised."""

    def stream(self, node_guid: str, kind: str, body: bytes = b"") -> AbstractAsyncContextManager[PeerStream]:
        """Open a stream; leaving the block closes it. Raises PeerUnreachable, PeerRefused."""
