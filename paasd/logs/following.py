"""Follows the lines of an app on all nodes at once. One that breaks off is said, tried again, and caught up with."""

from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import trio

from paasd.errors import PaasdError
from paasd.logs.followers import Follower
from paasd.logs.line import Line
from paasd.logs.logs import Logs
from paasd.logs.nodes import LogNode, missing_lines
from paasd.logs.wire import FOLLOW, Follow, Followed, Query, Settle, encode
from paasd.packing import unpack
from paasd.peer import Peers, PeerStream, PeerUnreachable

WAITING = 256
RETRY_S = 1.0
LOOK_S = 2.0
OVERLAP_NS = 1_000_000_000
"""Lines are not stored quite in the order of their times: catching up begins so much earlier."""
CATCH_UP_LINES = 1000

ReadFrom = Callable[[LogNode, Query], Awaitable[list[Line] | None]]
_Key = tuple[int, str, str, bytes]


class AllFollowing:
    """Iterate over it for lines; those that come at about the same time come in the order of their times."""

    def __init__(self, logs: Logs, peers: Peers, source_id: str, own: Follower, read_from: ReadFrom) -> None:
        self._logs = logs
        self._peers = peers
        self._source_id = source_id
        self._own = own
        self._read_from = read_from
        self._send, self._receive = trio.open_memory_channel[Line | trio.Event](WAITING)
        self._held: list[Line | trio.Event] = []
        self._ready: deque[Line | trio.Event] = deque()
        self._streams: dict[str, PeerStream] = {}
        self._settled: dict[tuple[str, int], trio.Event] = {}
        self._number = 0

    def __aiter__(self) -> "AllFollowing":
        return self

    async def __anext__(self) -> Line:
        while True:
            while self._ready:
                found = self._ready.popleft()
                if isinstance(found, Line):
                    return found
                found.set()
            try:
                self._held.append(await self._receive.receive())
            except trio.EndOfChannel:
                raise StopAsyncIteration from None
            if self._streams:
                await trio.sleep(self._logs.config.nodes_merge_s)
            self._order()

    def _order(self) -> None:
        """Take what has come, sorted between marks."""
        try:
            while True:
                self._held.append(self._receive.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            pass
        lines: list[Line] = []
        for item in [*self._held, None]:
            if isinstance(item, Line):
                lines.append(item)
                continue
            lines.sort(key=lambda line: line.timestamp_ns)
            self._ready.extend(lines)
            lines.clear()
            if item is not None:
                self._ready.append(item)
        self._held.clear()

    async def settle(self, timeout_s: float = 2.0) -> None:
        """Return when every line that any node had taken before has been dealt with; who reads must go on reading."""
        with trio.move_on_after(timeout_s):
            async with trio.open_nursery() as nursery:
                for guid, stream in list(self._streams.items()):
                    nursery.start_soon(self._settle_with, guid, stream)
                await self._logs.flush()
                await self._own.mark().wait()
            reached = trio.Event()
            await self._send.send(reached)
            await reached.wait()

    async def _settle_with(self, guid: str, stream: PeerStream) -> None:
        self._number += 1
        key = guid, self._number
        settled = self._settled[key] = trio.Event()
        try:
            await stream.send(encode(Settle(number=key[1])))
            await settled.wait()
        except PeerUnreachable:
            return  # its lines come when it is caught up with
        finally:
            del self._settled[key]

    async def follow_own(self) -> None:
        """Until the logs of this node close; then the iteration ends."""
        async with self._send:
            while lines := await self._own.batch(WAITING, 1 << 20):
                for line in lines:
                    await self._send.send(line)

    async def follow_node(self, node: LogNode, opened: Callable[[], None]) -> None:
        """One node, for ever. `opened` is called when no line of it can be missed any more, or it does not answer."""
        told = False
        passed = _Passed(int(self._logs.clock() * 1e9))
        while True:
            try:
                if node.reachable or told:
                    await self._follow_once(node, passed, opened, caught_up=told)
            except PaasdError:
                pass  # said below
            finally:
                self._streams.pop(node.guid, None)
            if not told:
                await self._send.send(missing_lines(self._source_id, node, int(self._logs.clock() * 1e9)))
            told = True
            opened()
            await trio.sleep(RETRY_S)

    async def _follow_once(
        self, node: LogNode, passed: "_Passed", opened: Callable[[], None], *, caught_up: bool
    ) -> None:
        async with self._peers.stream(node.guid, FOLLOW, encode(Follow(source_id=self._source_id))) as stream:
            with trio.move_on_after(self._logs.config.nodes_timeout_s) as patience:
                await stream.receive()
            if patience.cancelled_caught:
                return
            if caught_up:
                query = Query(source_id=self._source_id, start_ns=passed.newest_ns - OVERLAP_NS, limit=CATCH_UP_LINES)
                for line in passed.missed(await self._read_from(node, query) or []):
                    await self._send.send(line)
            self._streams[node.guid] = stream
            opened()
            while (message := await stream.receive()) is not None:
                followed = unpack(message, Followed)
                for line in followed.lines:
                    if passed.take(line):
                        await self._send.send(line)
                settled = self._settled.get((node.guid, followed.settled or 0))
                if settled is not None:
                    settled.set()


class _Passed:
    """Which lines of a node have been passed on, so that catching up gives none twice: as often as they were there."""

    def __init__(self, newest_ns: int) -> None:
        self.newest_ns = newest_ns
        self._recent: deque[_Key] = deque(maxlen=CATCH_UP_LINES)
        self._ahead: Counter[_Key] = Counter()

    def take(self, line: Line) -> bool:
        """Whether a line that was followed is to be passed on."""
        key = _key(line)
        if self._ahead[key] > 0:
            self._ahead[key] -= 1
            return False
        self.newest_ns = max(self.newest_ns, line.timestamp_ns)
        self._recent.append(key)
        return True

    def missed(self, stored: list[Line]) -> list[Line]:
        """Of what is stored, what was not passed on before; the stream, open already, may bring it once more."""
        before = Counter(self._recent)
        found = []
        self._ahead.clear()
        for line in stored:
            key = _key(line)
            if before[key] > 0:
                before[key] -= 1
            else:
                found.append(line)
        for line in found:
            self.take(line)
        self._ahead.update(_key(line) for line in found)
        return found


def _key(line: Line) -> _Key:
    return line.timestamp_ns, line.instance_id, line.source_type, line.payload


@asynccontextmanager
async def follow_all(
    logs: Logs, peers: Peers, nodes: Callable[[], Sequence[LogNode]], source_id: str, read_from: ReadFrom
) -> AsyncIterator[AllFollowing]:
    """Entered when every node that answers is followed."""
    failed: Exception | None = None
    async with logs.follow(source_id) as own, trio.open_nursery() as nursery:
        following = AllFollowing(logs, peers, source_id, own, read_from)
        nursery.start_soon(following.follow_own)
        await nursery.start(_follow_nodes, following, nodes, logs.config.nodes_timeout_s)
        try:
            yield following
        except Exception as error:  # noqa: BLE001 (raised again outside the nursery, which would wrap it into a group)
            failed = error
        finally:
            nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed


async def _follow_nodes(
    following: AllFollowing,
    nodes: Callable[[], Sequence[LogNode]],
    timeout_s: float,
    task_status: "trio.TaskStatus[None]",
) -> None:
    """A task for each node, as they come and go. Started once the first ones are followed, or late."""
    scopes: dict[str, trio.CancelScope] = {}
    waiting: set[str] = set()
    all_open = trio.Event()

    async def run(node: LogNode) -> None:
        def opened() -> None:
            waiting.discard(node.guid)
            if not waiting:
                all_open.set()

        with scopes[node.guid]:
            await following.follow_node(node, opened)

    async with trio.open_nursery() as nursery:
        started = False
        while True:
            present = {node.guid: node for node in nodes()}
            for guid in [guid for guid in scopes if guid not in present]:
                scopes.pop(guid).cancel()
            for guid in [guid for guid in present if guid not in scopes]:
                scopes[guid] = trio.CancelScope()
                waiting.add(guid)
                nursery.start_soon(run, present[guid])
            if not started and waiting:
                with trio.move_on_after(timeout_s):
                    await all_open.wait()
            if not started:
                started = True
                task_status.started()
            await trio.sleep(LOOK_S)
