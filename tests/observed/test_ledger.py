"""One node's records and the copies of them: in whatever order news comes, copies end as the book."""

from random import Random

import pytest

from paasd.observed import NodeFact, Usage
from paasd.observed.facts import Fact
from paasd.observed.ledger import BOOT_LEAP, Change, Delta, Holding, Ledger
from tests.simulation.gossiping import instance

BOOT = 1 << 16


def live(ledger: Ledger) -> dict[str, Fact]:
    return {key: fact for key in ledger.instance_keys() if (fact := ledger.instance(key)) is not None}


def hold(ledger: Ledger) -> Holding:
    return Holding(ledger.owner, ledger.boot, ledger.complete, ledger.usage_at)


def bring(copy: Ledger, source: Ledger) -> bool:
    """A comparison: the copy gets what it lacks from the source; whether there was anything."""
    batch = source.batch(hold(copy))
    if batch is None:
        return False
    copy.absorb(batch)
    return True


def settled(boot: int) -> NodeFact:
    return NodeFact(node_guid="b", boot=boot, settled=True)


@pytest.mark.parametrize("seed", range(200))
def test_a_copy_ends_as_the_book_whatever_is_lost_or_overtaken(seed: int) -> None:
    random = Random(seed)
    book, one, two = Ledger("b", BOOT), Ledger("b", 0), Ledger("b", 0)
    under_way: list[Delta] = []
    now = 0.0
    for step in range(120):
        now += 1
        name = f"i{random.randrange(6)}"
        delta = book.drop(name) if random.random() < 0.4 else book.note(instance("b", name, since=float(step)))
        under_way += [delta] * random.choice([0, 1, 1, 2]) if delta else []
        random.shuffle(under_way)
        for copy in (one, two):
            for _ in range(random.randrange(3)):
                if under_way:
                    change = random.choice(under_way)
                    copy.take(change.boot, change.change)
        if random.random() < 0.1:
            bring(*random.choice([(one, book), (two, one), (one, two)]))
        if random.random() < 0.1:
            random.choice([book, one, two]).collect(now, 5.0)
        for copy in (one, two):
            assert (copy.boot, copy.complete) <= (book.boot, book.complete)
        if random.random() < 0.02:
            book = restarted(book)
    bring(one, book)
    bring(two, one)
    assert live(one) == live(two) == live(book)
    for delta in under_way:
        assert one.take(delta.boot, delta.change) is None
    assert live(one) == live(book)
    assert not bring(one, book)


def restarted(book: Ledger) -> Ledger:
    after = Ledger("b", book.boot + BOOT)
    for fact in live(book).values():
        after.note(fact)
    after.note(settled(after.boot))
    return after


def test_a_dropped_record_does_not_come_back_by_an_old_change() -> None:
    book, copy = Ledger("b", BOOT), Ledger("b", 0)
    old = book.note(instance("b", "one"))
    dropped = book.drop("one")
    assert dropped is not None
    copy.take(old.boot, old.change)
    copy.take(dropped.boot, dropped.change)
    for now in (0.0, 1000.0):
        copy.collect(now, 600.0)
    assert copy.changes == {}, "the memory of it is gone"
    assert copy.take(old.boot, old.change) is None
    assert live(copy) == {}


def test_a_dropped_record_does_not_come_back_from_a_copy_that_missed_the_drop() -> None:
    book, stale, copy = Ledger("b", BOOT), Ledger("b", 0), Ledger("b", 0)
    first = book.note(instance("b", "one"))
    for ledger in (stale, copy):
        ledger.take(first.boot, first.change)
    book.drop("one")
    bring(copy, book)
    for now in (0.0, 1000.0):
        copy.collect(now, 600.0)
        book.collect(now, 600.0)
    assert not bring(copy, stale)
    assert live(copy) == {}
    assert bring(stale, copy), "and the other way the drop arrives, although nobody remembers it any more"
    assert live(stale) == {}


def test_an_earlier_boot_changes_nothing() -> None:
    copy, book = Ledger("b", 0), Ledger("b", 2 * BOOT)
    copy.absorb(book.batch(None))  # type: ignore[arg-type]
    fresh = book.note(instance("b", "one", since=2.0))
    copy.take(fresh.boot, fresh.change)
    late = Delta("b", BOOT, Change(99, "one", instance("b", "one", since=1.0)))
    assert copy.take(late.boot, late.change) is None
    assert copy.instance("one") == instance("b", "one", since=2.0)


def test_what_ran_before_a_restart_is_shown_until_the_node_has_found_it_again() -> None:
    book, copy = Ledger("b", BOOT), Ledger("b", 0)
    for name in ("kept", "ended"):
        delta = book.note(instance("b", name))
        copy.take(delta.boot, delta.change)
    after = Ledger("b", 2 * BOOT)
    about = after.note(NodeFact(node_guid="b", boot=2 * BOOT))
    assert copy.take(about.boot, about.change) == {""}
    assert set(live(copy)) == {"kept", "ended"}, "its daemon starts anew, its instances run on"
    found = after.note(instance("b", "kept", since=9.0))
    complete = after.note(settled(2 * BOOT))
    copy.take(complete.boot, complete.change)
    assert set(live(copy)) == {"kept", "ended"}, "it is settled, but not all that it said is here"
    assert "ended" in (copy.take(found.boot, found.change) or set())
    assert live(copy) == {"kept": instance("b", "kept", since=9.0)}


def test_an_absurd_boot_is_not_believed() -> None:
    copy = Ledger("b", BOOT)
    assert copy.take(BOOT + BOOT_LEAP + 1, Change(1, "one", instance("b", "one"))) is None
    assert copy.take(BOOT + BOOT_LEAP, Change(1, "one", instance("b", "one"))) == {"one"}


def test_samples_travel_with_comparisons_and_only_newer_ones() -> None:
    book, copy = Ledger("b", BOOT), Ledger("b", 0)
    book.note(instance("b", "one"))
    book.take_usages({"one": sample(10.0), "unknown": sample(10.0)})
    assert set(book.usages) == {"one"}
    bring(copy, book)
    assert copy.usages == {"one": sample(10.0)}
    assert not bring(copy, book)
    book.take_usages({"one": sample(20.0)})
    assert bring(copy, book)
    assert copy.usages == {"one": sample(20.0)}
    book.take_usages({"one": sample(15.0)})
    assert book.usages == {"one": sample(20.0)}


def sample(at: float) -> Usage:
    return Usage(cpu_fraction=0.5, memory_bytes=1, disk_bytes=2, log_bytes_per_s=0.0, at=at)
