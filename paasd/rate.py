"""What one client may have: so much in a time, and so much at once. Pure.

The caller gives the time, in seconds of a clock that never goes back.
"""

from collections import Counter, OrderedDict


class Buckets:
    """At most `clients` are remembered; the one heard of longest ago is forgotten first, with a full bucket."""

    def __init__(self, per_s: float, burst: float, clients: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clients = clients
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, now: float) -> bool:
        """Whether `client` may have one more now."""
        level, at = self._levels.pop(client, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._per_s)
        allowed = level >= 1
        self._levels[client] = (level - 1 if allowed else level, now)
        if len(self._levels) > self._clients:
            self._levels.popitem(last=False)
        return allowed

    def level(self, client: str, now: float) -> float:
        """How many `client` has left now."""
        level, at = self._levels.get(client, (self._burst, now))
        return min(self._burst, level + (now - at) * self._per_s)


class Shares:
    """At most `limit` at once of all clients together, and `share` of each."""

    def __init__(self, limit: int, share: int) -> None:
        self._limit = limit
        self._share = max(1, share)
        self._held: Counter[str] = Counter()

    def take(self, client: str) -> bool:
        """Whether `client` may have one more now; if so, it is to be given back."""
        if self._held.total() >= self._limit or self._held[client] >= self._share:
            return False
        self._held[client] += 1
        return True

    def give_back(self, client: str) -> None:
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]
