"""The store of a node that is one of several: what it tells, what it takes, and whom it believes."""

import msgspec
import pytest
import trio

from paasd.observed import Batch, Change, Delta, Holding, NodeFact, Observed, Usage
from tests.simulation.gossiping import instance

BOOT = 1 << 16
USAGE = Usage(cpu_fraction=0.5, memory_bytes=1, disk_bytes=2, log_bytes_per_s=0.0, at=3.0)


def joined(guid: str = "a", boot: int = BOOT) -> tuple[Observed, list[Delta]]:
    observed, told = Observed(), []
    observed.join(guid, boot)
    observed.on_delta = told.append
    return observed, told


def says(owner: str, name: str, sequence: int, epoch: int = 1, boot: int = BOOT) -> Delta:
    return Delta(owner, boot, Change(sequence, name, instance(owner, name, epoch)))


def names(observed: Observed) -> set[str]:
    return {fact.instance_guid for fact in observed.instances()}


def test_what_was_put_before_joining_is_the_first_news() -> None:
    observed = Observed()
    observed.put(instance("a", "one", usage=USAGE))
    observed.join("a", BOOT)
    (batch,) = observed.missing(())
    assert [change.fact for change in batch.changes] == [instance("a", "one")]
    assert batch.usages == {"one": USAGE}
    assert observed.get("one") == instance("a", "one", usage=USAGE)


def test_each_change_is_told_once_and_samples_not_at_all() -> None:
    observed, told = joined()
    observed.put(instance("a", "one", usage=USAGE))
    observed.put(instance("a", "one", usage=USAGE))
    observed.put_usage("one", msgspec.structs.replace(USAGE, at=4.0))
    observed.drop("one")
    observed.drop("one")
    assert [(delta.change.sequence, delta.change.fact) for delta in told] == [(1, instance("a", "one")), (2, None)]
    assert observed.instances() == []


def test_only_a_node_itself_says_what_runs_on_it() -> None:
    observed, _ = joined()
    with pytest.raises(ValueError, match="only node b"):
        observed.put(instance("b", "one"))
    assert not observed.take(Delta("c", BOOT, Change(1, "one", instance("b", "one"))))
    observed.absorb([Batch("c", BOOT, 0, 1, (Change(1, "one", instance("b", "one")),))])
    assert observed.instances() == []
    assert observed.take(says("b", "one", 1))
    assert names(observed) == {"one"}


async def test_news_of_others_wakes_and_their_samples_do_not() -> None:
    observed, _ = joined()
    async with observed.watch() as watch:
        await watch.wait()
        observed.take(says("b", "one", 1))
        with trio.fail_after(10):
            await watch.wait()
        observed.take(says("b", "one", 1))
        observed.absorb([Batch("b", BOOT, 1, 1, (), {"one": USAGE})])
        with trio.move_on_after(0.02) as quiet:
            await watch.wait()
        assert quiet.cancelled_caught
        observed.take(Delta("b", BOOT, Change(2, "", NodeFact(node_guid="b", boot=BOOT))))
        with trio.fail_after(10):
            await watch.wait()
    fact = observed.get("one")
    assert fact is not None
    assert fact.usage == USAGE
    assert observed.nodes() == {"b": NodeFact(node_guid="b", boot=BOOT)}


def test_of_an_instance_that_moved_only_the_newest_epoch_is_shown_and_never_an_older_one_again() -> None:
    observed, _ = joined()
    observed.take(says("b", "one", 1, epoch=1))
    observed.take(says("c", "one", 1, epoch=2))
    assert observed.get("one") == instance("c", "one", 2)
    observed.take(Delta("c", BOOT, Change(2, "one", None)))
    assert observed.get("one") is None, "the node that was replaced still thinks that it runs it"
    observed.take(says("b", "one", 2, epoch=1))
    assert observed.get("one") is None
    observed.put(instance("a", "one", 3))
    assert observed.get("one") == instance("a", "one", 3)


def test_what_no_row_puts_on_a_node_is_not_believed_whatever_its_epoch() -> None:
    observed, _ = joined()
    placed = {("one", "b", 1)}
    observed.believe(lambda fact: (fact.instance_guid, fact.node_guid, fact.epoch) in placed)
    observed.take(says("b", "one", 1, epoch=1))
    observed.take(says("thief", "one", 1, epoch=99))
    assert observed.get("one") == instance("b", "one", 1)
    observed.take(says("c", "two", 1, epoch=1))
    assert observed.get("two") is None
    placed.add(("two", "c", 1))
    observed.recheck(["two"])
    assert observed.get("two") == instance("c", "two", 1), "its row came later than the news of it"


def test_what_was_heard_of_before_its_row_is_shown_when_all_rows_are_read_anew() -> None:
    observed, _ = joined()
    placed: set[str] = set()
    observed.believe(lambda fact: fact.instance_guid in placed)
    observed.take(says("b", "one", 1))
    observed.take(says("c", "two", 1))
    placed.update(("one", "two"))
    assert names(observed) == set()
    observed.recheck(None)
    assert names(observed) == {"one", "two"}


def test_a_node_that_is_removed_is_forgotten() -> None:
    observed, _ = joined()
    observed.take(says("b", "one", 1))
    observed.take(says("c", "two", 1))
    observed.set_reachability("b", "unreachable")
    observed.keep_owners(["a", "c"])
    assert names(observed) == {"two"}
    assert observed.unreachable() == frozenset()
    assert [holding.owner for holding in observed.holdings()] == ["a", "c"]


async def test_reachability_is_alive_until_gossip_says_otherwise_and_a_change_wakes() -> None:
    observed, _ = joined()
    assert observed.reachability("b") == "alive"
    async with observed.watch() as watch:
        await watch.wait()
        observed.set_reachability("b", "suspect")
        with trio.fail_after(10):
            await watch.wait()
        assert observed.unreachable() == frozenset()
        observed.set_reachability("b", "unreachable")
        with trio.fail_after(10):
            await watch.wait()
        assert observed.unreachable() == {"b"}
        observed.set_reachability("b", "unreachable")
        with trio.move_on_after(0.02) as quiet:
            await watch.wait()
        assert quiet.cancelled_caught
        observed.set_reachability("b", "alive")
        with trio.fail_after(10):
            await watch.wait()
    assert observed.unreachable() == frozenset()


def test_a_node_that_was_set_back_says_everything_anew_in_a_later_boot() -> None:
    observed, told = joined()
    observed.on_outbid = observed.outbid
    observed.put(instance("a", "one", usage=USAGE))
    observed.put_about(NodeFact(node_guid="a", boot=BOOT))
    other, _ = joined("b")
    for delta in told:
        other.take(msgspec.structs.replace(delta, boot=7 * BOOT))
    assert other.holding("a") == Holding("a", 7 * BOOT, 2)
    observed.hear_of(other.holdings())
    assert observed.own.boot == 7 * BOOT + 1
    for delta in told[2:]:
        assert other.take(delta)
    assert other.get("one") == instance("a", "one")
    assert other.nodes()["a"].boot == 7 * BOOT + 1
    assert observed.get("one") == instance("a", "one", usage=USAGE)


def test_gaps_are_noticed_by_who_is_behind_and_by_nobody_else() -> None:
    observed, _ = joined()
    observed.take(says("b", "one", 1))
    behind = [Holding("b", BOOT, 2), Holding("b", 2 * BOOT, 1), Holding("c", BOOT, 1)]
    level = [Holding("b", BOOT, 1), Holding("b", 1, 9), Holding("c", BOOT, 0), Holding("a", BOOT, 0)]
    assert [observed.is_behind(one) for one in behind] == [True] * 3
    assert [observed.is_behind(one) for one in level] == [False] * 4
