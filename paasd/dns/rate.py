"""Token buckets by client. Pure: the caller gives the time, in seconds of a clock that never goes back."""

from collections import OrderedDict


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
