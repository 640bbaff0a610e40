"""Followers of a source: each has a bounded queue of its own, so a slow one delays nobody and loses only for itself."""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import trio

from paasd.logs.line import Line


class Following(Protocol):
    """Lines of one source as they are stored, on this node or on all. Ends when the logs of this node close."""

    def __aiter__(self) -> AsyncIterator[Line]: ...

    async def __anext__(self) -> Line: ...

    async def settle(self, timeout_s: float = 2.0) -> None:
        """Return when every line taken before has been dealt with; who reads must go on reading meanwhile."""


class Follower:
    """Iterate over it for new lines as they are stored. Ends when the logs close."""

    def __init__(self, source_id: str, limit_lines: int, clock: Callable[[], float]) -> None:
        self.source_id = source_id
        self.lost = 0  # lines lost since the stream last said so
        self._limit_lines = limit_lines
        self._clock = clock
        self._waiting: deque[Line | trio.Event] = deque()
        self._ended = False
        self._send, self._receive = trio.open_memory_channel[None](1)

    def put(self, lines: list[Line]) -> None:
        room = self._limit_lines - len(self._waiting)
        if self.lost:
            # A gap stays one gap until its report could be read; lines after it must not overtake the report.
            room = 0 if self._waiting else self._limit_lines
        if self.lost and room:
            self._waiting.append(self._gap())
        self._waiting.extend(lines[:room])
        self.lost += max(0, len(lines) - room)
        self._wake()

    def end(self) -> None:
        self._ended = True
        self._wake()

    def mark(self) -> trio.Event:
        """Set when everything put before has been dealt with: whoever reads has come back for more."""
        reached = trio.Event()
        self._waiting.append(reached)
        self._wake()
        return reached

    def __aiter__(self) -> "Follower":
        return self

    async def __anext__(self) -> Line:
        found = await self.batch(1)
        if not found:
            raise StopAsyncIteration
        return found[0]

    async def batch(self, limit_lines: int, limit_bytes: int = 1) -> list[Line]:
        """The next line and those that wait behind it, up to a limit; none when the logs have closed."""
        while True:
            while self._waiting and isinstance(reached := self._waiting[0], trio.Event):
                self._waiting.popleft()
                reached.set()
            if self._waiting:
                break
            if self.lost:
                self._waiting.append(self._gap())
                break
            if self._ended:
                return []
            await self._receive.receive()
        await trio.lowlevel.checkpoint()
        found: list[Line] = []
        size_bytes = 0
        while self._waiting and len(found) < limit_lines and (not found or size_bytes < limit_bytes):
            line = self._waiting[0]
            if isinstance(line, trio.Event):
                break
            found.append(line)
            size_bytes += len(line.payload)
            self._waiting.popleft()
        return found

    def _gap(self) -> Line:
        lost, self.lost = self.lost, 0
        return Line(
            source_id=self.source_id,
            source_type="LGR",
            stream="ERR",
            timestamp_ns=int(self._clock() * 1e9),
            payload=b"%d log lines were not sent: this follower reads too slowly" % lost,
            tags={"lost_lines": str(lost)},
        )

    def _wake(self) -> None:
        try:
            self._send.send_nowait(None)
        except trio.WouldBlock:
            return


class OwnFollowing:
    """Lines of this node alone."""

    def __init__(self, follower: Follower, flush: Callable[[], Awaitable[None]]) -> None:
        self._follower = follower
        self._flush = flush

    def __aiter__(self) -> "OwnFollowing":
        return self

    async def __anext__(self) -> Line:
        return await anext(self._follower)

    async def settle(self, timeout_s: float = 2.0) -> None:
        """See `Following`."""
        with trio.move_on_after(timeout_s):
            await self._flush()
            await self._follower.mark().wait()
