"""What one client may have: so much in a time, and so much at once. Pure.

The caller gives the time, in seconds; a clock that steps back neither fills nor drains a bucket.
"""

from collections import Counter, OrderedDict


class Bucket:
    """Admits `per_s` units a second with a burst of `burst`; both in the caller's unit (calls, lines, bytes)."""

    __slots__ = ("_burst", "_filled_at", "_level", "_per_s")

    def __init__(self, per_s: float, burst: float, now: float) -> None:
        if per_s <= 0 or burst <= 0:
            raise ValueError("a rate limit is above 0; no limit is expressed by no bucket")
        self._per_s = per_s
        self._burst = burst
        self._level = burst
        self._filled_at = now

    def take(self, now: float, amount: float = 1) -> bool:
        """Whether `amount` more may pass now. What is larger than the burst passes when the bucket is full, and is paid
        for afterwards; else it could never pass.
        """
        self._level, self._filled_at = self.level(now), now
        allowed = self._level >= min(amount, self._burst)
        if allowed:
            self._level -= amount
        return allowed

    def level(self, now: float) -> float:
        """How many units are left now."""
        return min(self._burst, self._level + max(0.0, now - self._filled_at) * self._per_s)

    def full(self, now: float) -> bool:
        """As good as a new one, so that it may be forgotten."""
        return self.level(now) >= self._burst


class Buckets:
    """One for each client. At most `clients` are remembered; the one heard of longest ago is forgotten first, with a
    full bucket.
    """

    def __init__(self, per_s: float, burst: float, clients: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clients = clients
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, client: str, now: float, amount: float = 1) -> bool:
        """Whether `client` may have `amount` more now, as a Bucket says."""
        bucket = self._buckets.setdefault(client, Bucket(self._per_s, self._burst, now))
        self._buckets.move_to_end(client)
        if len(self._buckets) > self._clients:
            self._buckets.popitem(last=False)
        return bucket.take(now, amount)

    def level(self, client: str, now: float) -> float:
        """How many `client` has left now."""
        bucket = self._buckets.get(client)
        return self._burst if bucket is None else bucket.level(now)


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
