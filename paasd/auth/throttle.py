"""Slows down guessing: after a few wrong passwords a name has to wait, longer each time.

Pure; the caller gives the time.

Kept in memory only: signing in writes nothing, and a restart forgives everybody.
"""

import hashlib
from collections import OrderedDict

import msgspec

from paasd.config import AuthConfig


class Failures(msgspec.Struct):
    """What is remembered of one name or address."""

    count: int = 0
    wait_until: float = 0.0


class Throttle:
    """Failed logins by key (a user name, an address)."""

    def __init__(self, config: AuthConfig) -> None:
        self._config = config
        self._failures: OrderedDict[bytes, Failures] = OrderedDict()

    def wait_s(self, key: str, now: float) -> float:
        """Seconds until `key` may try again; 0 when it may try at once."""
        entry = self._failures.get(_short(key))
        return 0.0 if entry is None else max(0.0, entry.wait_until - now)

    def failed(self, key: str, now: float, *, allowed: int | None = None) -> None:
        """Count a wrong password; from `allowed` (default login_failures) on, the waits double."""
        short = _short(key)
        entry = self._failures.setdefault(short, Failures())
        self._failures.move_to_end(short)
        entry.count += 1
        excess = entry.count - (allowed or self._config.login_failures)
        if excess >= 0:
            wait_s = self._config.login_wait_s * 2 ** min(excess, 30)
            entry.wait_until = now + min(wait_s, self._config.login_wait_max_s)
        while len(self._failures) > self._config.throttle_entries:
            self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget what `key` did wrong."""
        self._failures.pop(_short(key), None)


def _short(key: str) -> bytes:
    """Strangers choose the names: however long they are, what is remembered of them is not."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()
