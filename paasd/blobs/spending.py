"""What each owner may have stored in a day on this node's disk, which keeps for a while what they delete."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from paasd.rate import Buckets

_DAY_S: Final = 86_400
_REMEMBERED: Final = 10_000
"""Owners, and what was charged to them; of both the one heard of longest ago is forgotten first."""


class Spending:
    """In memory. `has` tells of a digest whether it is on this node, `clock` gives seconds."""

    def __init__(self, per_day: float, clock: Callable[[], float], has: Callable[[str], bool]) -> None:
        self._per_day = per_day
        self._clock = clock
        self._has = has
        # The unit is what one may have stored in a day.
        self._spent = Buckets(1 / _DAY_S, 1.0, _REMEMBERED)
        self._charged: OrderedDict[tuple[str, str], float] = OrderedDict()

    def spend(self, owner: str, sha256: str, size_bytes: int, quota_bytes: int, *, own: bool) -> bool:
        """Whether the owner may have it stored today: `per_day` times its quota, and of what is `own` what is there.

        What was charged to it today is its own, too. What others have stored is not: who has nothing left of the day
        would learn by what is refused which content that is.
        """
        limit_bytes, now, name = quota_bytes * self._per_day, self._clock(), (owner, sha256)
        own = own or self._charged.get(name, now - _DAY_S) > now - _DAY_S
        if not limit_bytes or (own and self._has(sha256)):
            return True
        if not self._spent.take(owner, now, size_bytes / limit_bytes):
            return False
        self._charged[name] = now
        self._charged.move_to_end(name)
        if len(self._charged) > _REMEMBERED:
            self._charged.popitem(last=False)
        return True
