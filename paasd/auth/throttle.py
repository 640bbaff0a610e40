"""Slows down guessing: after a few failures a key has to wait, longer each time. Old failures count for less.

Pure; the caller gives the time, which never goes back. Kept in memory only: a restart forgives everybody.
"""

import hashlib
from collections import OrderedDict

import msgspec

from paasd.config import AuthConfig


class Failures(msgspec.Struct):
    """What is remembered of one key: `count` as of `at`, since when a part of it is forgotten."""

    count: float = 0.0
    at: float = 0.0
    wait_until: float = 0.0


class Throttle:
    """Failed attempts by key (a user name, an address)."""

    def __init__(self, config: AuthConfig) -> None:
        self._config = config
        self._failures: OrderedDict[bytes, Failures] = OrderedDict()

    def wait_s(self, key: str, now: float) -> float:
        """Seconds until `key` may try again; 0 when it may try at once."""
        entry = self._failures.get(shortened(key))
        return 0.0 if entry is None else max(0.0, entry.wait_until - now)

    def failed(self, key: str, now: float, *, allowed: int | None = None) -> None:
        """Count a failure; from `allowed` (default login_failures) on, the waits double."""
        short = shortened(key)
        entry = self._failures.setdefault(short, Failures())
        self._failures.move_to_end(short)
        entry.count = 1 + entry.count * 0.5 ** (max(0.0, now - entry.at) / self._config.login_forget_s)
        entry.at = now
        excess = round(entry.count) - (allowed or self._config.login_failures)
        if excess >= 0:
            wait_s = self._config.login_wait_s * 2 ** min(excess, 30)
            entry.wait_until = now + min(wait_s, self._config.login_wait_max_s)
        while len(self._failures) > self._config.throttle_entries:
            self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget what `key` did wrong."""
        self._failures.pop(shortened(key), None)


def shortened(key: str) -> bytes:
    """Strangers choose the names: however long they are, what is remembered of them is not."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()
