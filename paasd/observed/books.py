"""The ledgers of all nodes, and which of their records about an instance is the one to show. Pure."""

from collections.abc import Callable, Iterable

import msgspec

from paasd.observed.facts import ABOUT, InstanceFact, NodeFact
from paasd.observed.ledger import Batch, Delta, Holding, Ledger


class Books:
    """`own` is this node's ledger. What is taken returns the keys that may look different now.

    Of an instance the record of the newest epoch is shown, and once shown nothing older ever again: a node that comes
    back with an instance that has been replaced changes nothing. `believe` says whether a record of somebody else can
    be true; one that cannot is not shown, whatever its epoch.
    """

    def __init__(self, own: Ledger, believe: Callable[[InstanceFact], bool] = lambda _fact: True) -> None:
        self.own = own
        self.believe = believe
        self.ledgers = {own.owner: own}
        self._owners: dict[str, set[str]] = {}  # who says something about an instance
        self._epochs: dict[str, int] = {}  # the newest epoch shown of an instance

    def note(self, fact: InstanceFact | NodeFact) -> Delta:
        delta = self.own.note(fact)
        self._index(self.own, [fact.key])
        return delta

    def abouts(self) -> dict[str, NodeFact]:
        return {guid: about for guid, ledger in self.ledgers.items() if (about := ledger.about) is not None}

    def known(self) -> list[str]:
        """The instances that somebody says something about."""
        return list(self._owners)

    def best(self, key: str) -> InstanceFact | None:
        """What to show of the instance."""
        found = None
        newest = self._epochs.get(key, 0)
        for owner in sorted(self._owners.get(key, ()), key=lambda owner: (owner != self.own.owner, owner)):
            ledger = self.ledgers[owner]
            fact = ledger.instance(key)
            better = fact is not None and fact.epoch >= newest and (found is None or fact.epoch > newest)
            if fact is not None and better and (ledger is self.own or self.believe(fact)):
                found, newest = fact, fact.epoch
        if found is None:
            return None
        self._epochs[key] = newest
        usage = self.ledgers[found.node_guid].usages.get(key)
        return found if usage is None else msgspec.structs.replace(found, usage=usage)

    def holdings(self) -> tuple[Holding, ...]:
        """How much is known of each node."""
        return tuple(Holding(one.owner, one.boot, one.complete, one.usage_at) for one in self.ledgers.values())

    def missing(self, holdings: Iterable[Holding]) -> list[Batch]:
        """What somebody who holds this much does not know yet."""
        theirs = {holding.owner: holding for holding in holdings}
        found = (ledger.batch(theirs.get(owner)) for owner, ledger in self.ledgers.items())
        return [batch for batch in found if batch is not None]

    def is_behind(self, holding: Holding) -> bool:
        """Whether somebody knows more of the owner than is known here."""
        ledger = self.ledgers.get(holding.owner) or Ledger(holding.owner, 0)
        more = (holding.boot, holding.complete) > (ledger.boot, ledger.complete)
        return more and holding.complete > 0 and ledger.plausible(holding.boot)

    def take(self, delta: Delta) -> set[str] | None:
        """A change from its owner, perhaps by way of others; None if it is no news."""
        if delta.owner == self.own.owner or not delta.change.proper(delta.owner):
            return None
        ledger = self._ledger(delta.owner)
        touched = ledger.take(delta.boot, delta.change)
        if touched:
            self._index(ledger, touched)
        return touched

    def absorb(self, batch: Batch) -> set[str]:
        """Changes in bulk; those among them that are not the owner's to make are left out."""
        if batch.owner == self.own.owner or not all(change.proper(batch.owner) for change in batch.changes):
            return set()
        ledger = self._ledger(batch.owner)
        touched = ledger.absorb(batch)
        self._index(ledger, touched)
        return touched

    def keep_owners(self, guids: Iterable[str]) -> dict[str, set[str]]:
        """Forget all nodes but these and this one; what they said, by node."""
        kept = {*guids, self.own.owner}
        gone = {owner: ledger.instance_keys() for owner, ledger in self.ledgers.items() if owner not in kept}
        for owner, keys in gone.items():
            del self.ledgers[owner]
            self._unindex(owner, keys)
        return gone

    def collect(self, now: float, keep_s: float) -> None:
        """Forget what was dropped `keep_s` ago."""
        for owner, ledger in self.ledgers.items():
            self._unindex(owner, ledger.collect(now, keep_s))

    def outbid(self, boot: int) -> list[Delta]:
        """Say all that this node says anew, in a later boot."""
        own = self.own
        self.own = self.ledgers[own.owner] = Ledger(own.owner, boot)
        self.own.usages = own.usages
        facts = [change.fact for change in own.changes.values() if change.fact is not None]
        return [
            self.own.note(msgspec.structs.replace(fact, boot=boot) if isinstance(fact, NodeFact) else fact)
            for fact in facts
        ]

    def _ledger(self, owner: str) -> Ledger:
        if owner not in self.ledgers:
            self.ledgers[owner] = Ledger(owner, 0)
        return self.ledgers[owner]

    def _index(self, ledger: Ledger, keys: Iterable[str]) -> None:
        for key in keys:
            if key == ABOUT:
                continue
            if key in ledger.changes or key in ledger.former:
                self._owners.setdefault(key, set()).add(ledger.owner)
            else:
                self._unindex(ledger.owner, [key])

    def _unindex(self, owner: str, keys: Iterable[str]) -> None:
        for key in keys:
            owners = self._owners.get(key, set())
            owners.discard(owner)
            if not owners:
                self._owners.pop(key, None)
                self._epochs.pop(key, None)
