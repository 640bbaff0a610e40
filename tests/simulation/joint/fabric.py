"""What connects simulated machines: who reaches whom, how long it takes, what gets lost, and a trace of it all.

Everything is drawn from one random source in the order in which things happen, so a seed replays bit for bit. Three
kinds of traffic share the faults: datagrams (lost, doubled, late), calls and streams between daemons
(`FabricNetwork`), and what goes to and from etcd.
"""

import heapq
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from random import Random
from socket import AF_INET
from typing import Any

import trio

from paasd.peer import MemoryNetwork
from tests.virtual.network import Network

Action = Callable[[], None]
SOCKET_LIMIT = 2000
STORY = 400
"""Events that a broken law tells of."""


class Post:
    """Does things at their time: one task and one heap, whatever is under way."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Action]] = []
        self._order = 0
        self._sooner = trio.Event()

    def at(self, when: float, action: Action) -> None:
        self._order += 1
        heapq.heappush(self._heap, (when, self._order, action))
        if self._heap[0][1] == self._order:
            self._sooner.set()

    async def run(self) -> None:
        while True:
            self._sooner = trio.Event()
            with trio.move_on_at(self._heap[0][0] if self._heap else float("inf")):
                await self._sooner.wait()
            now = trio.current_time()
            while self._heap and self._heap[0][0] <= now:
                heapq.heappop(self._heap)[2]()


class Fabric(Network):
    """See the module."""

    def __init__(self, seed: int, nodes: Iterable[str]) -> None:
        super().__init__(list(nodes))
        self.random = Random(f"fabric {seed}")
        self.post = Post()
        self.delay_s = (0.0005, 0.003)
        self.loss = 0.0
        self.duplication = 0.0
        self.late = 0.0
        self.sockets: dict[str, Socket] = {}
        self.trace = 0
        self.story: list[str] = []
        self.on_heal: Action = lambda: None

    def note(self, what: str, *, tell: bool = True) -> None:
        """Something happened: it counts for the trace, and the last of it is told when a law is broken."""
        line = f"{trio.current_time():.6f} {what}"
        self.trace = zlib.crc32(line.encode(), self.trace)
        if tell:
            self.story.append(line)
        if len(self.story) > 2 * STORY:
            del self.story[:STORY]

    def heal(self) -> None:
        super().heal()
        self.paused.clear()
        self.on_heal()

    def delay(self, source: str, target: str) -> float:
        low, high = self.delay_s
        return self.random.uniform(low, high) if source != target else low / 10

    def send(self, source: str, target: str, data: bytes) -> None:
        """A datagram."""
        if not self.passes(source, target):
            return
        for _ in range(2 if self.random.random() < self.duplication else 1):
            if self.random.random() < self.loss:
                continue
            extra_s = self.random.random() if self.random.random() < self.late else 0.0
            arrival = trio.current_time() + self.delay(source, target) + extra_s
            self.post.at(arrival, lambda: self._deliver(source, target, data))

    def _deliver(self, source: str, target: str, data: bytes) -> None:
        socket = self.sockets.get(target)
        if socket is not None and self.passes(source, target):
            self.note(f"{source} > {target} {zlib.crc32(data):x}", tell=False)
            socket.put(data, source)


class Socket:
    """A node's UDP socket; in place of `paasd.gossip.datagrams.Datagrams`. Nodes have addresses 10.0.0.1 and on."""

    family = AF_INET
    port = 7400

    def __init__(self, fabric: Fabric, guid: str) -> None:
        self.unopened = 0
        self._fabric = fabric
        self._guid = guid
        self._inbox: list[tuple[bytes, Any]] = []
        self._come = trio.Event()

    def send(self, data: bytes, address: Any) -> None:
        self._fabric.send(self._guid, node_at(self._fabric.nodes, address[0]), data)

    def put(self, data: bytes, source: str) -> None:
        if len(self._inbox) < SOCKET_LIMIT:
            self._inbox.append((data, (address_of(self._fabric.nodes, source), self.port)))
            self._come.set()

    async def receive(self) -> list[tuple[bytes, Any]]:
        await self._come.wait()
        self._come = trio.Event()
        found, self._inbox = self._inbox, []
        return found

    @classmethod
    def binder(cls, fabric: Fabric, guid: str) -> Callable[[str, int], Any]:
        @asynccontextmanager
        async def bind(_listen: str, _port: int) -> AsyncIterator[Socket]:
            socket = fabric.sockets[guid] = cls(fabric, guid)
            try:
                yield socket
            finally:
                if fabric.sockets.get(guid) is socket:
                    del fabric.sockets[guid]

        return bind


def address_of(nodes: list[str], guid: str) -> str:
    return f"10.0.0.{nodes.index(guid) + 1}"


def node_at(nodes: list[str], address: str) -> str:
    return nodes[int(address.rpartition(".")[2]) - 1]


class FabricNetwork(MemoryNetwork):
    """Calls and streams between daemons, over the same machines and cuts."""

    def __init__(self, fabric: Fabric) -> None:
        super().__init__(fabric.random, delay_s=fabric.delay_s)
        self._fabric = fabric

    def passes(self, source: str, target: str) -> bool:
        return (
            source in self.peers and target in self.peers and (source == target or self._fabric.passes(source, target))
        )
