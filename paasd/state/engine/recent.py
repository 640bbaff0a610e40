"""The newest entries in memory, so that the nodes that follow this one are served without asking the log for each."""

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

ENTRIES: Final = 2000
LIMIT_BYTES: Final = 8 * 1024 * 1024


class Recent:
    """Bounded by number and bytes; the oldest entries go first."""

    def __init__(self, *, entries: int = ENTRIES, limit_bytes: int = LIMIT_BYTES) -> None:
        self._entries = entries
        self._limit_bytes = limit_bytes
        self._kept: deque[bytes] = deque()
        self._first = 1
        self._bytes = 0

    def add(self, index: int, data: bytes) -> None:
        if index != self._first + len(self._kept):
            self.clear()
            self._first = index
        self._kept.append(data)
        self._bytes += len(data)
        while len(self._kept) > self._entries or self._bytes > self._limit_bytes:
            self._bytes -= len(self._kept.popleft())
            self._first += 1

    def read(self, after: int, limit: int) -> Sequence[bytes]:
        """Up to `limit` entries that follow entry `after`; none when they are not kept."""
        start = after + 1 - self._first
        if start < 0:
            return ()
        return tuple(islice(self._kept, start, start + limit))

    def clear(self) -> None:
        self._kept.clear()
        self._bytes = 0
