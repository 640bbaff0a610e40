"""Nodes of one process that talk by function call, with delays, cuts in either direction, and pauses.

For simulations: it works under virtual time, and the same seed gives the same delays. What is a defect of a handler
ends the simulation.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from random import Random

import trio

from paasd.errors import PaasdError
from paasd.peer.interface import (
    EVERYBODY,
    Handler,
    Peer,
    PeerRefused,
    PeerStream,
    PeerUnreachable,
    Role,
    StreamHandler,
)


class MemoryNetwork:
    """What connects the nodes. `cut` and `heal` work on one direction; a message under way when it is cut is lost."""

    def __init__(self, random: Random, *, delay_s: tuple[float, float] = (0.0, 0.0)) -> None:
        self.random = random
        self.delay_s = delay_s
        self.peers: dict[str, MemoryPeers] = {}
        self._cut: set[tuple[str, str]] = set()
        self._ends: dict[_End, None] = {}

    def add(self, guid: str, role: Role = "control") -> "MemoryPeers":
        """A node comes up; one of the same guid before it is gone."""
        self.remove(guid)
        self.peers[guid] = MemoryPeers(self, guid, role)
        return self.peers[guid]

    def remove(self, guid: str) -> None:
        """A node is gone, and its streams with it, whatever comes up in its place."""
        self.peers.pop(guid, None)
        for end in [end for end in self._ends if guid in end.between]:
            end.out.close()

    def cut(self, source: str, target: str) -> None:
        self._cut.add((source, target))

    def heal(self, source: str, target: str) -> None:
        self._cut.discard((source, target))

    def passes(self, source: str, target: str) -> bool:
        return target in self.peers and source in self.peers and (source, target) not in self._cut

    async def carry(self, source: str, target: str) -> None:
        """Take the time of one way; for ever if the message gets lost."""
        await trio.sleep(self.random.uniform(*self.delay_s))
        if not self.passes(source, target):
            await trio.sleep_forever()


class MemoryPeers:
    """One node's end; see `paasd.peer.interface.Peers`."""

    def __init__(self, network: MemoryNetwork, guid: str, role: Role) -> None:
        self.guid = guid
        self._network = network
        self._as_peer = Peer(guid=guid, role=role)
        self._handlers: dict[str, tuple[Handler, Collection[Role]]] = {}
        self._stream_handlers: dict[str, tuple[StreamHandler, Collection[Role]]] = {}

    def serve(self, kind: str, handler: Handler, *, roles: Collection[Role] = EVERYBODY) -> None:
        self._handlers[kind] = handler, roles

    def serve_stream(self, kind: str, handler: StreamHandler, *, roles: Collection[Role] = EVERYBODY) -> None:
        self._stream_handlers[kind] = handler, roles

    async def call(self, node_guid: str, kind: str, body: bytes = b"", *, timeout_s: float = 5.0) -> bytes:
        with trio.move_on_after(timeout_s):
            await self._network.carry(self.guid, node_guid)
            handler, roles = self._network.peers[node_guid]._handlers.get(kind, (None, ()))
            if handler is None or self._as_peer.role not in roles:
                raise PeerRefused(f"node {node_guid} does not answer {kind}")
            answer = await handler(self._as_peer, body)
            await self._network.carry(node_guid, self.guid)
            return answer
        raise PeerUnreachable(f"node {node_guid} did not answer {kind} within {timeout_s} s")

    @asynccontextmanager
    async def stream(self, node_guid: str, kind: str, body: bytes = b"") -> AsyncIterator[PeerStream]:
        if not self._network.passes(self.guid, node_guid):
            await trio.lowlevel.checkpoint()
            raise PeerUnreachable(f"node {node_guid} cannot be reached")
        handler, roles = self._network.peers[node_guid]._stream_handlers.get(kind, (None, ()))
        if handler is None or self._as_peer.role not in roles:
            raise PeerRefused(f"node {node_guid} takes no stream {kind}")
        ours, theirs = _pair(self._network, self.guid, node_guid)
        self._network._ends.update({ours: None, theirs: None})

        async def run(handler: StreamHandler) -> None:
            try:
                await handler(self._as_peer, body, theirs)
            except PaasdError as error:
                ours.failure = error
            finally:
                theirs.close()

        failed: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, handler)
            try:
                yield ours
            except Exception as error:  # noqa: BLE001 (raised again outside the nursery, which would wrap it into a group)
                failed = error
            finally:
                ours.close()
                for end in (ours, theirs):
                    self._network._ends.pop(end, None)
                nursery.cancel_scope.cancel()
        if failed is not None:
            raise failed


class _End:
    """One end of a stream."""

    def __init__(self, network: MemoryNetwork, source: str, target: str) -> None:
        self._network = network
        self.between = source, target
        self.out: trio.MemorySendChannel[bytes]
        self.inbox: trio.MemoryReceiveChannel[bytes]
        self.failure: PaasdError | None = None  # what the handler on the other side ended with

    async def send(self, message: bytes) -> None:
        await trio.sleep(self._network.random.uniform(*self._network.delay_s))
        if not self._network.passes(*self.between):
            raise PeerUnreachable(f"the stream to node {self.between[1]} broke off")
        try:
            await self.out.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise PeerUnreachable(f"node {self.between[1]} has closed the stream") from None

    async def receive(self) -> bytes | None:
        try:
            return await self.inbox.receive()
        except trio.EndOfChannel:
            if self.failure is not None:
                raise self.failure from None
            return None

    async def finish(self) -> None:
        await trio.lowlevel.checkpoint()
        self.out.close()

    def close(self) -> None:
        self.out.close()
        self.inbox.close()


def _pair(network: MemoryNetwork, source: str, target: str) -> tuple[_End, _End]:
    one, two = _End(network, source, target), _End(network, target, source)
    one.out, two.inbox = trio.open_memory_channel[bytes](16)
    two.out, one.inbox = trio.open_memory_channel[bytes](16)
    return one, two
