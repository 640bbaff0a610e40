"""Followers of a source: each has a bounded queue of its own, so a slow one delays nobody and loses only for itself."""

from collections import deque
from collections.abc import Callable

import trio

from paasd.logs.line import Line


class Follower:
    """Iterate over it for new lines as they are stored. Ends when the logs close."""

    def __init__(self, source_id: str, limit_lines: int, clock: Callable[[], float]) -> None:
        self.source_id = source_id
        self.lost = 0  # lines lost since the stream last said so
        self._limit_lines = limit_lines
        self._clock = clock
        self._waiting: deque[Line] = deque()
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

    def __aiter__(self) -> "Follower":
        return self

    async def __anext__(self) -> Line:
        while not self._waiting:
            if self.lost:
                self._waiting.append(self._gap())
                break
            if self._ended:
                raise StopAsyncIteration
            await self._receive.receive()
        await trio.lowlevel.checkpoint()
        return self._waiting.popleft()

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
