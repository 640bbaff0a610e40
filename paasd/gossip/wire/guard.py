"""Keeps repeated datagrams out, and stops listening to the news of a node that sends garbage. Pure."""

from typing import Final

import msgspec

WINDOW: Final = 1024
"""Datagrams that may be overtaken; one further behind the newest is taken for a repetition."""
STRIKE_WINDOW_S: Final = 60.0


class Source(msgspec.Struct):
    """What has been received of one sender's boot. `seen` has a bit for each of the numbers up to `newest`."""

    boot: int
    stream: bytes
    newest: int = -1
    seen: int = 0


class ReplayWindow:
    """Lets each datagram pass once. A later boot starts anew, an earlier one is over."""

    def __init__(self) -> None:
        self._sources: dict[str, Source] = {}

    def fresh(self, sender: str, boot: int, stream: bytes, number: int) -> bool:
        """Whether it has not been seen; it has now. `stream` is drawn at each start: two of one boot are a copy."""
        source = self._sources.get(sender)
        if source is None or source.boot < boot:
            source = self._sources[sender] = Source(boot, stream)
        elif source.boot > boot or source.stream != stream:
            return False
        ahead = number - source.newest
        if ahead > 0:
            source.seen = ((source.seen << min(ahead, WINDOW)) | 1) & ((1 << WINDOW) - 1)
            source.newest = number
            return True
        bit = 1 << -ahead
        if -ahead >= WINDOW or source.seen & bit:
            return False
        source.seen |= bit
        return True

    def forget(self, sender: str) -> None:
        self._sources.pop(sender, None)


class Quarantine:
    """Counts garbage by sender. Liveness of a quarantined node is still believed: only its news is not taken."""

    def __init__(self, limit: int, duration_s: float) -> None:
        self._limit = limit
        self._duration_s = duration_s
        self._strikes: dict[str, list[float]] = {}
        self._until: dict[str, float] = {}
        self.garbage: dict[str, int] = {}

    def strike(self, now: float, sender: str) -> bool:
        """Garbage came from it; whether that puts it into quarantine, which is the moment to say so."""
        self.garbage[sender] = self.garbage.get(sender, 0) + 1
        recent = [at for at in self._strikes.get(sender, ()) if now - at < STRIKE_WINDOW_S]
        self._strikes[sender] = recent = [*recent, now][-self._limit :]
        if len(recent) < self._limit:
            return False
        begins = not self.holds(now, sender)
        self._until[sender] = now + self._duration_s
        return begins

    def holds(self, now: float, sender: str) -> bool:
        until = self._until.get(sender)
        if until is not None and until <= now:
            del self._until[sender]
            return False
        return until is not None

    def members(self, now: float) -> tuple[str, ...]:
        return tuple(sorted(sender for sender in list(self._until) if self.holds(now, sender)))

    def forget(self, sender: str) -> None:
        for table in (self._strikes, self._until, self.garbage):
            table.pop(sender, None)
