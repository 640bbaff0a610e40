"""What is to be told to others: each piece goes out a limited number of times, the least told first.

A newer piece under the same key takes the place of the older one, so that nobody is told what is no longer so.
"""

import msgspec


class Piece(msgspec.Struct):
    raw: msgspec.Raw
    size_bytes: int
    order: int  # the newer, the higher
    told: int = 0

    @property
    def rank(self) -> tuple[int, int]:
        return self.told, -self.order


class News:
    """A queue of packed pieces by key."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: dict[tuple[str, str], Piece] = {}
        self._untold: set[tuple[str, str]] = set()
        self._order = 0

    def __len__(self) -> int:
        return len(self._pieces)

    @property
    def fresh(self) -> bool:
        """Whether something has never been told."""
        return bool(self._untold)

    def add(self, about: str, detail: str, raw: msgspec.Raw) -> None:
        """`about` is whom or what it concerns, `detail` tells several pieces about it apart."""
        self._order += 1
        self._pieces[about, detail] = Piece(raw, len(memoryview(raw)), self._order)
        self._untold.add((about, detail))
        if len(self._pieces) > self._limit:
            self._remove(max(self._pieces, key=lambda key: self._pieces[key].rank))

    def withdraw(self, about: str) -> None:
        for key in [key for key in self._pieces if key[0] == about]:
            self._remove(key)

    def fill(self, room_bytes: int, count: int, told_limit: int) -> tuple[list[msgspec.Raw], int]:
        """As many pieces as fit, and the room that is left. They count as told once more."""
        taken: list[msgspec.Raw] = []
        for key in sorted(self._pieces, key=lambda key: self._pieces[key].rank):
            if len(taken) == count:
                break
            piece = self._pieces[key]
            if piece.size_bytes > room_bytes:
                continue
            taken.append(piece.raw)
            room_bytes -= piece.size_bytes
            piece.told += 1
            self._untold.discard(key)
            if piece.told >= told_limit:
                self._remove(key)
        return taken, room_bytes

    def _remove(self, key: tuple[str, str]) -> None:
        del self._pieces[key]
        self._untold.discard(key)
