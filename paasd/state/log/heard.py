"""Entries that a watch brought before anybody asked for them. Pure."""

from typing import Final

ENTRIES: Final = 512
BYTES: Final = 16 * 1024 * 1024


class Heard:
    """The newest ones without a gap, up to a number and a size; whoever misses one asks the log."""

    def __init__(self, entries: int = ENTRIES, size_bytes: int = BYTES) -> None:
        self._entries = entries
        self._limit_bytes = size_bytes
        self._kept: dict[int, bytes] = {}  # by index, ascending, without gaps
        self._newest = 0
        self._bytes = 0

    def add(self, index: int, data: bytes) -> None:
        """What follows a gap begins anew; what is old is not looked at."""
        if self._kept and index <= self._newest:
            return
        if index != self._newest + 1:
            self.forget(self._newest)
        self._kept[index] = data
        self._newest = index
        self._bytes += len(data)
        while len(self._kept) > self._entries or self._bytes > self._limit_bytes:
            self._drop()

    def take(self, after: int, limit: int) -> list[bytes]:
        """Up to `limit` entries that follow `after`, none if the next one is not here. They stay until `forget`."""
        found: list[bytes] = []
        while len(found) < limit and (data := self._kept.get(after + 1 + len(found))) is not None:
            found.append(data)
        return found

    def forget(self, until: int) -> None:
        """Entries up to this one are of no more use."""
        while self._kept and next(iter(self._kept)) <= until:
            self._drop()

    def _drop(self) -> None:
        self._bytes -= len(self._kept.pop(next(iter(self._kept))))
