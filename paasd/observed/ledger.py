"""What is known of one node's records: its own book on that node, a copy of it everywhere else. Pure.

Only the owner makes versions: a version is (boot, sequence), where the boot grows with each start of its daemon and the
sequence with each change. A copy knows everything up to `complete`, and perhaps some later changes; what is missing in
between comes from anybody who has it. Whatever is at or below `complete` is known or superseded, so an old change that
wanders in late can never bring back what was dropped, and dropped records need not be remembered for ever.

A daemon that starts anew knows nothing at first, while its instances run on. So a copy keeps showing the records of the
boot before (`former`) until the owner has said that it is settled.
"""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from paasd.observed.facts import ABOUT, Counter, Fact, Guid, InstanceFact, NodeFact, Usage

BOOT_LEAP: Final = 1 << 36
"""A boot has 16 random bits, so this is a million starts."""


class Change(msgspec.Struct, frozen=True, array_like=True):
    """The newest about one record. `fact` None: it is dropped."""

    sequence: Counter
    key: Annotated[str, Meta(max_length=64)]
    fact: Fact | None

    def proper(self, owner: str) -> bool:
        """Whether the owner says it of itself, under the right name."""
        return self.fact is None or (self.fact.node_guid == owner and self.fact.key == self.key)


class Delta(msgspec.Struct, frozen=True, array_like=True):
    """One change on its way to all nodes."""

    owner: Guid
    boot: Counter
    change: Change


class Holding(msgspec.Struct, frozen=True, array_like=True):
    """How much a copy knows. `usage_at` is the owner's time of its newest usage sample."""

    owner: Guid
    boot: Counter
    complete: Counter
    usage_at: float = 0.0


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Everything about an owner that changed after `base`, up to `complete`; with base 0 there is nothing else."""

    owner: Guid
    boot: Counter
    base: Counter
    complete: Counter
    changes: tuple[Change, ...]
    usages: dict[str, Usage] = {}


class Ledger:
    """One owner's records by key. Methods that take something return the keys that may look different now."""

    def __init__(self, owner: str, boot: int) -> None:
        self.owner = owner
        self.boot = boot
        self.complete = 0
        self.former: dict[str, InstanceFact] = {}
        self.changes: dict[str, Change] = {}
        self.usages: dict[str, Usage] = {}
        self._ahead: set[int] = set()
        self._floor = 0  # changes at or below it may have been forgotten, so that a part alone would mislead
        self._dropped_at: dict[str, float] = {}

    @property
    def about(self) -> NodeFact | None:
        change = self.changes.get(ABOUT)
        return change.fact if change is not None and isinstance(change.fact, NodeFact) else None

    @property
    def usage_at(self) -> float:
        return max((usage.at for usage in self.usages.values()), default=0.0)

    @property
    def settled(self) -> bool:
        about = self.about
        return about is not None and about.settled and self.changes[ABOUT].sequence <= self.complete

    def instance(self, key: str) -> InstanceFact | None:
        change = self.changes.get(key)
        fact = self.former.get(key) if change is None else change.fact
        return fact if isinstance(fact, InstanceFact) else None

    def instance_keys(self) -> set[str]:
        return (self.changes.keys() | self.former.keys()) - {ABOUT}

    def note(self, fact: Fact) -> Delta:
        """The owner says what is so now."""
        return self._write(fact.key, fact)

    def drop(self, key: str) -> Delta | None:
        """The owner says that it is no more."""
        change = self.changes.get(key)
        if change is None or change.fact is None:
            return None
        self.usages.pop(key, None)
        return self._write(key, None)

    def _write(self, key: str, fact: Fact | None) -> Delta:
        self.complete += 1
        self.changes[key] = change = Change(self.complete, key, fact)
        self._dropped_at.pop(key, None)
        return Delta(self.owner, self.boot, change)

    def reboot(self, boot: int) -> None:
        """The owner starts a new book, of which nothing is known yet."""
        self.former = {key: fact for key in self.instance_keys() if (fact := self.instance(key)) is not None}
        self.boot, self.complete, self._floor = boot, 0, 0
        self.changes, self._ahead, self._dropped_at = {}, set(), {}

    def plausible(self, boot: int) -> bool:
        """Whether a boot can be meant. Nobody restarts that often; a lie this large could never be outbid."""
        return boot <= self.boot + BOOT_LEAP

    def take(self, boot: int, change: Change) -> set[str] | None:
        """A change of the owner's; None if it is no news."""
        if boot < self.boot or not self.plausible(boot):
            return None
        if boot > self.boot:
            self.reboot(boot)
        if change.sequence <= self.complete:
            return None
        known = self.changes.get(change.key)
        superseded = known is not None and known.sequence >= change.sequence
        if not superseded:
            self._set(change)
        self._ahead.add(change.sequence)
        self._advance(self.complete)
        gone = self._settle()
        return (gone or None) if superseded else gone | {change.key}

    def _set(self, change: Change) -> None:
        self.changes[change.key] = change
        self._dropped_at.pop(change.key, None)
        if change.fact is None:
            self.usages.pop(change.key, None)

    def _advance(self, to: int) -> None:
        self.complete = max(self.complete, to)
        self._ahead = {sequence for sequence in self._ahead if sequence > self.complete}
        while self.complete + 1 in self._ahead:
            self.complete += 1
            self._ahead.discard(self.complete)

    def absorb(self, batch: Batch) -> set[str]:
        """Many changes at once, of somebody whose copy has what is missing here."""
        if batch.boot < self.boot or not self.plausible(batch.boot):
            return set()
        if batch.boot > self.boot:
            self.reboot(batch.boot)
        touched: set[str] = set()
        if batch.base == 0 and batch.complete > self.complete:
            touched |= self._forget_others({change.key for change in batch.changes}, batch.complete)
            self._floor = max(self._floor, batch.complete)
        for change in batch.changes:
            known = self.changes.get(change.key)
            if change.sequence > self.complete and (known is None or known.sequence < change.sequence):
                self._set(change)
                self._ahead.add(change.sequence)
                touched.add(change.key)
        self._advance(batch.complete if batch.base <= self.complete else 0)
        self.take_usages(batch.usages)
        return touched | self._settle()

    def _forget_others(self, keys: set[str], up_to: int) -> set[str]:
        gone = {key for key, change in self.changes.items() if change.sequence <= up_to and key not in keys}
        for key in gone:
            del self.changes[key]
            self._dropped_at.pop(key, None)
            self.usages.pop(key, None)
        return gone

    def _settle(self) -> set[str]:
        """When the owner has found everything again, what it did not mention is gone."""
        if not self.former or not self.settled:
            return set()
        gone = set(self.former) - self.changes.keys()
        self.former = {}
        return gone

    def take_usages(self, usages: Mapping[str, Usage]) -> None:
        for key, usage in usages.items():
            known = self.usages.get(key)
            if self.instance(key) is not None and (known is None or known.at < usage.at):
                self.usages[key] = usage

    def batch(self, holding: Holding | None) -> Batch | None:
        """What somebody who holds this much is missing; None if nothing."""
        if holding is not None and holding.boot > self.boot:
            return None
        same = holding is not None and holding.boot == self.boot
        since, usage_at = (holding.complete, holding.usage_at) if holding is not None and same else (0, 0.0)
        usages = {key: usage for key, usage in self.usages.items() if usage.at > usage_at}
        if same and self.complete <= since:
            return Batch(self.owner, self.boot, since, since, (), usages) if usages else None
        base = since if since >= self._floor else 0
        missing = (change for change in self.changes.values() if change.sequence > base)
        changes = tuple(sorted(missing, key=lambda change: change.sequence))
        return Batch(self.owner, self.boot, base, self.complete, changes, usages)

    def collect(self, now: float, keep_s: float) -> set[str]:
        """Forget what was dropped `keep_s` ago and is known to be dropped; the keys that are forgotten."""
        forgotten = set()
        for key, change in list(self.changes.items()):
            if change.fact is not None or change.sequence > self.complete:
                continue
            if now - self._dropped_at.setdefault(key, now) >= keep_s:
                del self.changes[key], self._dropped_at[key]
                self._floor = max(self._floor, change.sequence)
                forgotten.add(key)
        return forgotten
