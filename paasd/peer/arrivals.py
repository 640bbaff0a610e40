"""Who is let in how often: strangers must not keep members out, nor each other for long.

A connection proves who it is within milliseconds, or it is a nuisance. So when too many are at it, the oldest one goes:
a member that comes in the middle of a flood passes it. Those without a certificate are counted by where they come from.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import trio

from paasd.config import PeerConfig
from paasd.sources import source_of

_REMEMBERED: Final = 10_000
_MINUTE_S: Final = 60.0


class Handshakes:
    """Connections that have not proved yet who they are."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._scopes: dict[trio.CancelScope, None] = {}

    @contextmanager
    def one_more(self, limit_s: float) -> Iterator[trio.CancelScope]:
        """While it lasts. Cancelled when it takes too long, or is the oldest of too many."""
        if len(self._scopes) >= self._limit:
            oldest = next(iter(self._scopes))
            del self._scopes[oldest]
            oldest.cancel()
        with trio.move_on_after(limit_s) as scope:
            self._scopes[scope] = None
            try:
                yield scope
            finally:
                self._scopes.pop(scope, None)


class Strangers:
    """Those without a certificate: how many there are now, and how often each source came within a minute."""

    def __init__(self, config: PeerConfig, now: Callable[[], float] = trio.current_time) -> None:
        self._config = config
        self._now = now
        self._times: dict[str, deque[float]] = {}
        self._here: Counter[str] = Counter()

    @contextmanager
    def admitted(self, address: str) -> Iterator[bool]:
        """Count one more while the block runs; False when it is one too many."""
        source = source_of(address)
        if not self._may_come(source):
            yield False
            return
        self._here[source] += 1
        try:
            yield True
        finally:
            self._here[source] -= 1
            if not self._here[source]:
                del self._here[source]

    def _may_come(self, source: str) -> bool:
        config, now = self._config, self._now()
        if len(self._times) > _REMEMBERED:
            self._times = {key: times for key, times in self._times.items() if times[-1] > now - _MINUTE_S}
        times = self._times.get(source) or deque(maxlen=config.strangers_per_minute)
        often = len(times) == times.maxlen and times[0] > now - _MINUTE_S
        here = self._here.get(source, 0)
        if often or self._here.total() >= config.strangers_limit or here >= config.strangers_per_source:
            return False
        times.append(now)
        self._times[source] = times
        return True
