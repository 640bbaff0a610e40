"""The lines of an app that other nodes have, put together with those of this one."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from heapq import merge

import msgspec
import trio

from paasd.errors import PaasdError
from paasd.logs.following import AllFollowing, follow_all
from paasd.logs.line import Line
from paasd.logs.logs import Logs
from paasd.logs.nodes import LogNode, missing_lines
from paasd.logs.serving import serve
from paasd.logs.wire import EXTENT, READ, Answer, ExtentQuery, Extents, Query, encode
from paasd.packing import unpack
from paasd.peer import Peers

NOTICE_PERIOD_NS = 10_000_000_000
"""Notices stand at round times, so that who polls from the newest line on gets each of them once."""


class OtherNodes:
    """Made by `open_other_nodes`; it is what `Logs.others` asks. `nodes` gives all others of the platform."""

    def __init__(self, logs: Logs, peers: Peers, nodes: Callable[[], Sequence[LogNode]]) -> None:
        self._logs = logs
        self._peers = peers
        self._nodes = nodes

    async def read(self, query: Query, own: list[Line]) -> list[Line]:
        """`own`, which the query found here, with what it finds elsewhere, under the same limit and order."""
        found: dict[str, list[Line] | None] = {}
        nodes = self._nodes()
        limiter = trio.CapacityLimiter(self._logs.config.nodes_at_once)

        async def ask(node: LogNode) -> None:
            async with limiter:
                found[node.guid] = await self._read_from(node, query)

        async with trio.open_nursery() as nursery:
            for node in nodes:
                nursery.start_soon(ask, node)
        parts = [own]
        for node in nodes:
            lines = found[node.guid]
            parts.append(self._notice(query, node) if lines is None else lines)
        ordered = merge(*parts, key=lambda line: line.timestamp_ns, reverse=query.descending)
        return [line for line, _ in zip(ordered, range(query.limit), strict=False)]

    async def _read_from(self, node: LogNode, query: Query) -> list[Line] | None:
        """None when it does not answer in time."""
        if not node.reachable:
            return None
        lines: list[Line] = []
        with trio.move_on_after(self._logs.config.nodes_timeout_s):
            try:
                while True:
                    body = encode(_rest(query, lines))
                    timeout_s = self._logs.config.nodes_timeout_s
                    answer = unpack(await self._peers.call(node.guid, READ, body, timeout_s=timeout_s), Answer)
                    lines += answer.lines
                    if not answer.more or not answer.lines:
                        return lines
            except PaasdError:
                return None
        return None

    def _notice(self, query: Query, node: LogNode) -> list[Line]:
        now_ns = int(self._logs.clock() * 1e9)
        line = missing_lines(query.source_id, node, now_ns // NOTICE_PERIOD_NS * NOTICE_PERIOD_NS)
        return [line] if query.start_ns <= line.timestamp_ns < query.end_ns else []

    async def extents(self, source_ids: Sequence[str], own: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """`own` widened by what other nodes have; a node that does not answer is left out."""
        found = dict(own)
        body = encode(ExtentQuery(source_ids=list(source_ids)))
        limiter = trio.CapacityLimiter(self._logs.config.nodes_at_once)

        async def ask(node: LogNode) -> None:
            async with limiter:
                try:
                    timeout_s = self._logs.config.nodes_timeout_s
                    answer = unpack(await self._peers.call(node.guid, EXTENT, body, timeout_s=timeout_s), Extents)
                except PaasdError:
                    return
            for source_id, (oldest, newest) in answer.extents.items():
                known = found.get(source_id, (oldest, newest))
                found[source_id] = min(known[0], oldest), max(known[1], newest)

        async with trio.open_nursery() as nursery:
            for node in self._nodes():
                if node.reachable:
                    nursery.start_soon(ask, node)
        return found

    def follow(self, source_id: str) -> AbstractAsyncContextManager[AllFollowing]:
        """Lines of all nodes as they are stored; of those that answer, none is missed once the block is entered."""
        return follow_all(self._logs, self._peers, self._nodes, source_id, self._read_from)


def _rest(query: Query, lines: list[Line]) -> Query:
    """What is still to be asked when `lines` have come: from the time of the last one, less those of that time."""
    if not lines:
        return query
    last_ns = lines[-1].timestamp_ns
    had = Counter(line.timestamp_ns for line in lines)[last_ns]
    left = query.limit - len(lines)
    if query.descending:
        return msgspec.structs.replace(query, end_ns=min(query.end_ns, last_ns + 1), skip=had, limit=left, flush=False)
    return msgspec.structs.replace(query, start_ns=max(query.start_ns, last_ns), skip=had, limit=left, flush=False)


@asynccontextmanager
async def open_other_nodes(
    logs: Logs, peers: Peers, nodes: Callable[[], Sequence[LogNode]], *, asks: bool = True
) -> AsyncIterator[None]:
    """Answer control nodes about lines of this node while open; with `asks` (on control nodes) ask others too."""
    serve(logs, peers)
    if asks:
        logs.others = OtherNodes(logs, peers, nodes)
    try:
        yield
    finally:
        logs.others = None
