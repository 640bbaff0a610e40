"""How many calls one user may make of this node, with Cloud Foundry's headers and its 429.

A bucket for all calls and smaller ones for changes, since what is written stays in the state of every control node for
a year; those of a day are for a user, and for everybody with a role in an organization together. In memory: each
control node counts for itself, and a new daemon begins with full buckets.
"""

import math
from collections.abc import Callable
from typing import Final

from paasd.api.errors import TooManyRequests
from paasd.api.payer import Payer
from paasd.config import ApiConfig
from paasd.rate import Buckets

HOUR_S: Final = 3600
MINUTE_S: Final = 60
DAY_S: Final = 86_400
READING: Final = ("GET", "HEAD", "OPTIONS")
USERS_REMEMBERED: Final = 10_000


class _Allowance:
    """So many in a period, all of them at once if one likes; 0 counts nothing."""

    def __init__(self, limit: int, period_s: int, what: str, knob: str, who: str = "a user") -> None:
        self.limit = limit
        self.what = what
        self.knob = knob
        self.who = who
        self.per_s = limit / period_s
        self.buckets = Buckets(self.per_s, limit, USERS_REMEMBERED)


class CallLimits:
    """`steady` gives seconds of a clock that never goes back, `clock` unix seconds for the header."""

    def __init__(self, config: ApiConfig, steady: Callable[[], float], clock: Callable[[], float]) -> None:
        self._steady = steady
        self._clock = clock
        self._calls = _Allowance(config.calls_per_h, HOUR_S, "calls an hour", "api.calls_per_h")
        self._changes = _Allowance(config.changes_per_min, MINUTE_S, "changes a minute", "api.changes_per_min")

        day = config.changes_per_day
        self._daily = _Allowance(day, DAY_S, "changes a day", "api.changes_per_day")
        whole = config.organization_changes_per_day
        knob = "api.organization_changes_per_day"
        self._organizations = _Allowance(whole, DAY_S, "changes a day", knob, "the people of an organization")

    def count(self, payer: Payer, method: str) -> dict[str, str]:
        """The headers that say how much is left. Raises TooManyRequests. Administrators are not counted."""
        if payer.free:
            return {}
        headers = self._take(self._calls, payer.person)
        if method not in READING:
            self.change(payer)
        return headers

    def change(self, payer: Payer) -> None:
        """Count a change, also one that comes of a call that reads. Raises TooManyRequests."""
        if payer.free:
            return
        self._take(self._changes, payer.person)
        self._take(self._daily, payer.person)
        if self._organizations.limit and payer.organizations:
            level, now = self._organizations.buckets.level, self._steady()
            self._take(self._organizations, max(payer.organizations, key=lambda guid: level(guid, now)))

    def _take(self, allowance: _Allowance, client: str) -> dict[str, str]:
        if not allowance.limit:
            return {}
        now = self._steady()
        allowed = allowance.buckets.take(client, now)
        left = allowance.buckets.level(client, now)
        full_s = (allowance.limit - left) / allowance.per_s
        headers = {
            "X-RateLimit-Limit": str(allowance.limit),
            "X-RateLimit-Remaining": str(math.floor(left)),
            "X-RateLimit-Reset": str(math.ceil(self._clock() + full_s)),
        }
        if allowed:
            return headers
        wait_s = max(1, math.ceil((1 - left) / allowance.per_s))
        text = (
            f"Rate Limit Exceeded: {allowance.who} may make {allowance.limit} {allowance.what} of this node "
            f"({allowance.knob}); try again in {wait_s} s"
        )
        raise TooManyRequests(text, headers | {"Retry-After": str(wait_s)})
