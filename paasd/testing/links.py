"""The network between embedded nodes, which can be cut: real connections and datagrams, passed on by hand.

Each node listens on a loopback address of its own and is known to the others by a second one, on which this stands in
for it. Who sends is told by the source address. A cut is silence, as on a network that drops packets: what was under
way waits, nothing is refused. Datagrams are lost.
"""

import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio

_CHUNK_BYTES = 64 * 1024
_DATAGRAM_BYTES = 2048
_ANSWER_S = 2.0


@dataclass(frozen=True)
class Place:
    """Where a node really listens, and where the others believe it to be."""

    own: str
    shown: str
    peer_port: int
    streams: tuple[int, ...]
    """TCP ports, the peer port among them."""


class Links:
    """Made by `open_links`. Nodes are named by their own address."""

    def __init__(self) -> None:
        self._cuts: set[tuple[str, str]] = set()
        self._down: set[str] = set()
        self._changed = trio.Event()
        self._places: dict[str, Place] = {}
        self._doors: dict[str, trio.socket.SocketType] = {}

    def passes(self, source: str, target: str) -> bool:
        """Whether what `source` sends reaches `target` now."""
        return source not in self._down and target not in self._down and (source, target) not in self._cuts

    def joined(self, one: str, other: str) -> bool:
        """Whether they can talk, which takes both directions."""
        return self.passes(one, other) and self.passes(other, one)

    def cut(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Nothing from the first of each pair reaches the second any more."""
        self._cuts |= set(pairs)
        self._change()

    def heal(self) -> None:
        """All cuts are over; what waited goes on."""
        self._cuts.clear()
        self._change()

    def set_down(self, address: str, down: bool) -> None:
        """A node whose power is off, or on again."""
        (self._down.add if down else self._down.discard)(address)
        self._change()

    async def changed(self) -> None:
        """Returns at the next change."""
        await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _until(self, source: str, target: str) -> None:
        while not self.passes(source, target):
            await self.changed()

    async def _serve(self, place: Place, nursery: trio.Nursery) -> None:
        self._places[place.own] = place
        door = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        await door.bind((place.shown, place.peer_port))
        self._doors[place.own] = door
        nursery.start_soon(self._pass_datagrams, place, door, nursery)
        for port in place.streams:
            listeners = await trio.open_tcp_listeners(port, host=place.shown)

            async def connected(stream: trio.SocketStream, port: int = port) -> None:
                await self._connected(stream, place, port)

            nursery.start_soon(trio.serve_listeners, connected, listeners)

    async def _pass_datagrams(self, place: Place, door: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        with door:
            while True:
                data, address = await door.recvfrom(_DATAGRAM_BYTES)
                source = address[0]
                if not self.passes(source, place.own):
                    continue
                if source in self._doors:
                    # From the sender's shown address, where answers to it go.
                    await self._doors[source].sendto(data, (place.own, place.peer_port))
                else:
                    nursery.start_soon(self._ask, place, door, data, address)

    async def _ask(self, place: Place, door: trio.socket.SocketType, data: bytes, address: Any) -> None:
        """For one that is no node (a node that asks from another port, when somebody joins): pass one answer back."""
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own, trio.move_on_after(_ANSWER_S):
            await own.sendto(data, (place.own, place.peer_port))
            answer, _ = await own.recvfrom(_DATAGRAM_BYTES)
            await door.sendto(answer, address)

    async def _connected(self, near: trio.SocketStream, place: Place, port: int) -> None:
        try:
            source = str(near.socket.getpeername()[0])
        except OSError:
            return  # It is gone already.
        async with near:
            await self._until(source, place.own)
            await self._until(place.own, source)
            try:
                far = await trio.open_tcp_stream(place.own, port)
            except OSError:
                return
            async with far, trio.open_nursery() as nursery:
                nursery.start_soon(self._pump, near, far, source, place.own, nursery.cancel_scope)
                nursery.start_soon(self._pump, far, near, place.own, source, nursery.cancel_scope)

    async def _pump(
        self, near: trio.SocketStream, far: trio.SocketStream, source: str, target: str, both: trio.CancelScope
    ) -> None:
        """Also an end is passed on only when the way is free: a machine without power says no farewell."""
        try:
            while data := await near.receive_some(_CHUNK_BYTES):
                await self._until(source, target)
                await far.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        await self._until(source, target)
        both.cancel()


@asynccontextmanager
async def open_links(places: Iterable[Place]) -> AsyncIterator[Links]:
    """Stand in for every node until the block ends."""
    links = Links()
    async with trio.open_nursery() as nursery:
        for place in places:
            await links._serve(place, nursery)
        try:
            yield links
        finally:
            nursery.cancel_scope.cancel()
