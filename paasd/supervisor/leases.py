"""The holder of leases, pure: when to renew which, and until when what they are for may run.

Times are of the clock that counts from boot, suspension included, and of this node alone. A renewal counts from the
moment before it was sent: from the others' side it cannot have happened earlier.
"""

from collections.abc import Collection, Iterable
from math import inf

from paasd.model import Lease
from paasd.model.leases import HeldLease

_RENEWALS = 4  # in the life of a lease, so that some may fail
_RETRIES = 10


class Holder:
    """`look` at what there is, send what is `due`, and tell the answer by `renewed` or `failed`."""

    def __init__(self) -> None:
        self._held: dict[HeldLease, Lease] = {}
        self._present: frozenset[HeldLease] = frozenset()
        self._until: dict[HeldLease, float] = {}
        self._next: dict[HeldLease, float] = {}

    def look(self, rows: Iterable[Lease], present: Collection[HeldLease]) -> None:
        """`rows` are the leases of this node, `present` those whose instance is here or is to be."""
        self._held = {HeldLease(slot=row.slot, epoch=row.epoch): row for row in rows}
        self._present = frozenset(present)
        for known in (self._until, self._next):
            for held in known.keys() - self._held.keys():
                del known[held]

    def due(self, now: float) -> list[HeldLease]:
        """Leases to renew; all that are due soon go together."""
        soon = [held for held in self._needed if now >= self._next.get(held, -inf)]
        if not soon:
            return []
        return [held for held in self._needed if now >= self._next.get(held, -inf) - self._held[held].duration_s / 20]

    @property
    def idle(self) -> list[HeldLease]:
        """Leases to give back: nothing of what they were for is here any more."""
        return [held for held in self._held if held not in self._present]

    def renewed(
        self, sent_at: float, sent: Iterable[HeldLease], answered: Collection[HeldLease]
    ) -> dict[HeldLease, float]:
        """The new ends by lease. What was not answered is another's by now."""
        ends: dict[HeldLease, float] = {}
        for held in sent:
            row = self._held.get(held)
            if row is None:
                continue
            self._next[held] = sent_at + row.duration_s / _RENEWALS
            if held in answered:
                ends[held] = self._until[held] = sent_at + row.duration_s
        return ends

    def failed(self, now: float, sent: Iterable[HeldLease]) -> None:
        """No answer: it may have been renewed, but nobody may count on it."""
        for held in sent:
            if held in self._held:
                self._next[held] = now + self._held[held].duration_s / _RETRIES

    def until(self, now: float, held: HeldLease) -> float | None:
        """The end of a lease that leaves time enough to start something under it; None when none does."""
        end, row = self._until.get(held), self._held.get(held)
        return end if end is not None and row is not None and end - now >= row.duration_s / 2 else None

    @property
    def deadline(self) -> float:
        """When something is due next; infinity for never."""
        return min((self._next.get(held, -inf) for held in self._needed), default=inf)

    @property
    def _needed(self) -> list[HeldLease]:
        return [held for held in self._held if held in self._present]
