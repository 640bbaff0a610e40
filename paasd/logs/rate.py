"""How much may be logged: a token bucket that counts what it refuses, and a pace that makes its users take turns."""

import trio


class TokenBucket:
    """Admits `per_s` units a second with a burst of `burst`; both in the caller's unit (lines or bytes).

    A refusal is counted; `take_refused` hands the count over once, so that it can be told in the stream itself.
    """

    def __init__(self, per_s: float, burst: float, now: float) -> None:
        if per_s <= 0 or burst <= 0:
            raise ValueError("a rate limit is above 0; no limit is expressed by no bucket")
        self._per_s = per_s
        self._burst = burst
        self._tokens = burst
        self._filled_at = now
        self._refused = 0

    def admit(self, now: float, amount: float = 1) -> bool:
        # A clock that steps back must not drain the bucket.
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._filled_at) * self._per_s)
        self._filled_at = now
        # One unit larger than the burst passes when the bucket is full, else it could never pass.
        if self._tokens >= min(amount, self._burst):
            self._tokens -= amount
            return True
        self._refused += 1
        return False

    def take_refused(self) -> int:
        refused, self._refused = self._refused, 0
        return refused

    def idle(self, now: float) -> bool:
        """Full again and with nothing to tell: the bucket may be forgotten."""
        return not self._refused and self._tokens + (now - self._filled_at) * self._per_s >= self._burst


class Pace:
    """Lets `per_s` units a second through, whoever asks, first come first served. Trio's clock."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._turn = trio.Lock()
        self._free_at = 0.0

    async def take(self, amount: int) -> None:
        """Wait for one's turn and until `amount` more units are allowed. A second's worth may come at once."""
        async with self._turn:
            now = trio.current_time()
            self._free_at = max(self._free_at, now - 1.0) + amount / self._per_s
            await trio.sleep(max(0.0, self._free_at - now))
