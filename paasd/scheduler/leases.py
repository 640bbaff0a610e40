"""When a lease has surely run out, pure: what one node saw of the renewals, by its own clock.

The wait begins anew with every change that is seen. What was renewed without being seen is no danger: the operation
that takes the lease away checks that nothing has changed since.
"""

from collections.abc import Iterable
from math import inf

import msgspec

from paasd.model import Lease
from paasd.model.leases import FREE, UNSEEN, ExpireLease


class _Seen(msgspec.Struct, frozen=True):
    lease: Lease
    at: float


class LeaseWatch:
    """`see` whatever is read of the rows; times are of one monotonic clock."""

    def __init__(self, margin_s: float) -> None:
        self._margin_s = margin_s
        self._seen: dict[str, _Seen] = {}

    def see(self, now: float, slot: str, lease: Lease | None) -> None:
        """The row as it is now. What is as it was does not begin the wait anew."""
        if lease is None or lease.node_guid == FREE:
            self._seen.pop(slot, None)
            return
        known = self._seen.get(slot)
        if known is None or known.lease != lease:
            self._seen[slot] = _Seen(lease, now)

    def forget_others(self, slots: Iterable[str]) -> None:
        """Only these slots have a row."""
        for slot in self._seen.keys() - set(slots):
            del self._seen[slot]

    def run_out(self, now: float, wanted: Iterable[str]) -> list[ExpireLease]:
        """Of the slots that somebody waits for, those whose lease nobody can still be acting under."""
        return [
            ExpireLease(slot=slot, node_guid=seen.lease.node_guid, epoch=seen.lease.epoch, renewals=seen.lease.renewals)
            for slot in wanted
            if (seen := self._seen.get(slot)) is not None and now >= self._end(seen)
        ]

    def deadline(self, wanted: Iterable[str]) -> float:
        """When the first of these slots runs out if nothing more is seen; infinity for never."""
        return min((self._end(seen) for slot in wanted if (seen := self._seen.get(slot)) is not None), default=inf)

    def _end(self, seen: _Seen) -> float:
        return inf if seen.lease.renewals == UNSEEN else seen.at + seen.lease.duration_s + self._margin_s
