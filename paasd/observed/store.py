"""The store: what all nodes say about their instances and themselves, and the watches to wake when it changes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Literal

import msgspec
import trio

from paasd.observed.books import Books
from paasd.observed.facts import ABOUT, InstanceFact, NodeFact, Usage
from paasd.observed.ledger import Batch, Delta, Holding, Ledger

Reachability = Literal["alive", "suspect", "unreachable"]


class Watch:
    """Wakes its owner after a change. Several changes before the next `wait` are one wake-up."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[None](1)
        self.wake()  # what was put before the watch was opened is news too

    def wake(self) -> None:
        try:
            self._send.send_nowait(None)
        except trio.WouldBlock:
            return  # already woken

    async def wait(self) -> None:
        """Returns when something changed since the last return; at once the first time."""
        await self._receive.receive()


async def _nobody_to_ask(_app_guid: str) -> None:
    await trio.lowlevel.checkpoint()


class Observed:
    """Facts by instance. One per node; every method is immediate and belongs to the trio thread.

    A node alone keeps a dictionary. After `join` there is a ledger for each node as well, its own included: what it
    puts is numbered and handed to `on_delta`, and what others say comes in by `take` and `absorb`. Samples of usage
    travel seldom; `freshen` asks the nodes of an app for recent ones.
    """

    def __init__(self) -> None:
        self._facts: dict[str, InstanceFact] = {}
        self._watches: set[Watch] = set()
        self._books: Books | None = None
        self._believe: Callable[[InstanceFact], bool] = lambda _fact: True
        self._reachability: dict[str, Reachability] = {}
        self._unreachable: frozenset[str] = frozenset()
        self._suspects: frozenset[str] = frozenset()
        self.on_delta: Callable[[Delta], None] = lambda _delta: None
        self.on_outbid: Callable[[int], None] = lambda _boot: None
        self.freshen: Callable[[str], Awaitable[None]] = _nobody_to_ask

    # What this node says.

    def put(self, fact: InstanceFact) -> None:
        """Replace what is known about the instance; the same fact again wakes nobody.

        A lower epoch than the known one is an echo of an instance that has been replaced, and is ignored.
        """
        known = self._facts.get(fact.instance_guid)
        if known == fact or (known is not None and known.epoch > fact.epoch):
            return
        if self._books is None:
            self._facts[fact.instance_guid] = fact
            self._wake()
            return
        if fact.node_guid != self._books.own.owner:
            raise ValueError(f"only node {fact.node_guid} says what becomes of instance {fact.instance_guid}")
        delta = self._books.note(msgspec.structs.replace(fact, usage=None))
        if fact.usage is not None:
            self._books.own.take_usages({fact.instance_guid: fact.usage})
        self._tell(delta)

    def put_usage(self, instance_guid: str, usage: Usage) -> None:
        """Record a sample. It wakes nobody: usage changes all the time and decides nothing."""
        known = self._facts.get(instance_guid)
        if known is not None:
            self._facts[instance_guid] = msgspec.structs.replace(known, usage=usage)
            if self._books is not None:
                self._books.own.take_usages({instance_guid: usage})

    def drop(self, instance_guid: str) -> None:
        if self._books is not None:
            delta = self._books.own.drop(instance_guid)
            if delta is not None:
                self._tell(delta)
        elif self._facts.pop(instance_guid, None) is not None:
            self._wake()

    def put_about(self, about: NodeFact) -> None:
        """What this node says of itself; the same again is not sent. Only after `join`."""
        books = self._joined
        if books.own.about != about:
            self._tell(books.note(about))

    def _tell(self, delta: Delta) -> None:
        self._show({delta.change.key})
        self.on_delta(delta)

    # What readers see.

    def get(self, instance_guid: str) -> InstanceFact | None:
        return self._facts.get(instance_guid)

    def instances(self, app_guid: str | None = None) -> list[InstanceFact]:
        """All facts, or those of one app, ordered by process type and index."""
        found = [fact for fact in self._facts.values() if app_guid is None or fact.app_guid == app_guid]
        return sorted(found, key=lambda fact: (fact.app_guid, fact.process_type, fact.index, fact.since))

    def facts(self) -> Mapping[str, InstanceFact]:
        """All facts by instance, unordered: for whoever looks at many, often."""
        return self._facts

    def nodes(self) -> dict[str, NodeFact]:
        """What each node says of itself, by guid; none of those that have not said anything yet."""
        return {} if self._books is None else self._books.abouts()

    def reachability(self, node_guid: str) -> Reachability:
        """What gossip says; a node of which nothing bad is known is alive. It decides nothing but routing."""
        return self._reachability.get(node_guid, "alive")

    def unreachable(self) -> frozenset[str]:
        return self._unreachable

    def suspects(self) -> frozenset[str]:
        return self._suspects

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[Watch]:
        watch = Watch()
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    # What comes from others.

    def join(self, node_guid: str, boot: int) -> None:
        """This node is one of several from now on; what it has put so far is its first news."""
        self._books = Books(Ledger(node_guid, boot), self._believe)
        for fact in self._facts.values():
            self._books.note(msgspec.structs.replace(fact, usage=None))
            if fact.usage is not None:
                self._books.own.take_usages({fact.instance_guid: fact.usage})

    @property
    def own(self) -> Ledger:
        """This node's ledger. Only after `join`."""
        return self._joined.own

    @property
    def _joined(self) -> Books:
        assert self._books is not None, "this node is alone"
        return self._books

    def believe(self, placed: Callable[[InstanceFact], bool]) -> None:
        """Show others' facts only if `placed`: a row puts this instance on this node in this epoch.

        A node could otherwise draw another app's requests to itself. Call `recheck` when rows change.
        """
        self._believe = placed
        if self._books is not None:
            self._books.believe = placed
            self.recheck(None)

    def recheck(self, instance_guids: Iterable[str] | None) -> None:
        """Judge anew what is said of these instances: their rows have changed. None: any row may have; then also what
        is not shown so far, because it was heard of before its row was.
        """
        if self._books is not None:
            self._show(set(self._books.known() if instance_guids is None else instance_guids))

    @property
    def sequence(self) -> int:
        """The number of this node's newest change."""
        return self._joined.own.complete

    def holding(self, owner: str) -> Holding | None:
        """How much is known of one node; None if nothing."""
        ledger = self._joined.ledgers.get(owner)
        return None if ledger is None else Holding(owner, ledger.boot, ledger.complete)

    def holdings(self) -> tuple[Holding, ...]:
        """How much is known of each node."""
        return self._joined.holdings()

    def hear_of(self, holdings: Iterable[Holding]) -> None:
        """Somebody else's holdings: one of this node that is ahead of it says that its data were set back."""
        for holding in holdings:
            self._of_self(holding.owner, holding.boot, holding.complete)

    def missing(self, holdings: Iterable[Holding]) -> list[Batch]:
        """What somebody who holds this much does not know yet."""
        return self._joined.missing(holdings)

    def is_behind(self, holding: Holding) -> bool:
        """Whether somebody knows more of the owner than is known here."""
        if self._of_self(holding.owner, holding.boot, holding.complete):
            return False
        return self._joined.is_behind(holding)

    def take(self, delta: Delta) -> bool:
        """A change from its owner, perhaps by way of others; whether it was news."""
        if self._of_self(delta.owner, delta.boot, delta.change.sequence):
            return False
        touched = self._joined.take(delta)
        self._show(touched or set())
        return touched is not None

    def absorb(self, batches: Iterable[Batch]) -> None:
        """Changes in bulk. Wakes once, and not for usage alone."""
        touched: set[str] = set()
        for batch in batches:
            if not self._of_self(batch.owner, batch.boot, batch.complete):
                touched |= self._joined.absorb(batch)
                self._show_usages(batch.usages)
        self._show(touched)

    def keep_owners(self, guids: Iterable[str]) -> None:
        """Forget all nodes but these and this one: they are no members any more."""
        for owner, keys in self._joined.keep_owners(guids).items():
            self._show(keys | {ABOUT})
            self.set_reachability(owner, "alive")

    def set_reachability(self, node_guid: str, now: Reachability) -> None:
        """What gossip found. A change wakes."""
        if self.reachability(node_guid) == now:
            return
        if now == "alive":
            del self._reachability[node_guid]
        else:
            self._reachability[node_guid] = now
        self._unreachable = self._all_that_are("unreachable")
        self._suspects = self._all_that_are("suspect")
        self._wake()

    def _all_that_are(self, state: Reachability) -> frozenset[str]:
        return frozenset(guid for guid, one in self._reachability.items() if one == state)

    def collect(self, now: float, keep_s: float) -> None:
        """Forget what was dropped `keep_s` ago; `now` is of any steady clock."""
        self._joined.collect(now, keep_s)

    def outbid(self, boot: int) -> None:
        """Say everything anew in a later boot: others know a later one than ours, so our data were set back."""
        for delta in self._joined.outbid(boot):
            self.on_delta(delta)

    def _of_self(self, owner: str, boot: int, sequence: int) -> bool:
        own = self._joined.own
        if owner != own.owner:
            return False
        if own.plausible(boot) and (boot, sequence) > (own.boot, own.complete):
            self.on_outbid(boot + 1)
        return True

    def _show(self, keys: set[str]) -> None:
        changed = ABOUT in keys
        for key in keys - {ABOUT}:
            fact = self._joined.best(key)
            if fact != self._facts.get(key):
                changed = True
                if fact is None:
                    del self._facts[key]
                else:
                    self._facts[key] = fact
        if changed:
            self._wake()

    def _show_usages(self, keys: Iterable[str]) -> None:
        for key in keys:
            if key in self._facts and (fact := self._joined.best(key)) is not None:
                self._facts[key] = fact

    def _wake(self) -> None:
        for watch in self._watches:
            watch.wake()
