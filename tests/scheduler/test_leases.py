"""Leases without a database: when the holder must be done, and when another may begin."""

from msgspec.structs import replace

from paasd.model import Lease
from paasd.model.leases import FREE, UNSEEN, ExpireLease, HeldLease
from paasd.scheduler.leases import LeaseWatch
from paasd.supervisor.leases import Holder

ROW = Lease(slot="s", node_guid="n1", epoch=4, duration_s=20.0, renewals=1)
HELD = HeldLease(slot="s", epoch=4)


def test_the_wait_begins_at_the_last_renewal_that_was_seen_and_not_at_the_grant() -> None:
    watch = LeaseWatch(2.0)
    watch.see(100.0, "s", replace(ROW, renewals=0))
    watch.see(115.0, "s", ROW)
    watch.see(118.0, "s", ROW)
    assert watch.deadline(["s"]) == 137.0
    assert watch.run_out(136.9, ["s"]) == []
    assert watch.run_out(137.0, ["s"]) == [ExpireLease(slot="s", node_guid="n1", epoch=4, renewals=1)]


def test_nobody_waits_for_a_lease_that_nobody_wants_or_has() -> None:
    watch = LeaseWatch(2.0)
    watch.see(0.0, "s", ROW)
    assert watch.run_out(1000.0, []) == []
    watch.see(1.0, "s", replace(ROW, node_guid=FREE))
    assert watch.run_out(1000.0, ["s"]) == []
    watch.see(2.0, "s", ROW)
    watch.forget_others([])
    assert watch.run_out(1000.0, ["s"]) == []


def test_a_lease_that_its_holder_does_not_know_of_yet_never_runs_out() -> None:
    watch = LeaseWatch(2.0)
    watch.see(0.0, "s", replace(ROW, renewals=UNSEEN))
    assert watch.run_out(1e9, ["s"]) == []


def test_the_holder_counts_from_before_it_asked_however_late_the_answer_is() -> None:
    holder = Holder()
    holder.look([ROW], [HELD])
    assert holder.due(100.0) == [HELD]
    assert holder.renewed(100.0, [HELD], [HELD]) == {HELD: 120.0}
    assert holder.until(109.0, HELD) == 120.0
    assert holder.deadline == 105.0


def test_what_is_not_answered_extends_nothing_and_is_asked_again_soon() -> None:
    holder = Holder()
    holder.look([ROW], [HELD])
    holder.renewed(100.0, [HELD], [HELD])
    holder.failed(106.0, [HELD])
    assert holder.deadline == 108.0
    assert holder.renewed(108.0, [HELD], []) == {}
    assert holder.until(109.0, HELD) == 120.0, "what was answered before still counts"


def test_nothing_is_started_under_the_rest_of_a_lease() -> None:
    holder = Holder()
    holder.look([ROW], [HELD])
    holder.renewed(100.0, [HELD], [HELD])
    assert holder.until(110.0, HELD) == 120.0
    assert holder.until(110.1, HELD) is None
    assert holder.until(100.0, HeldLease(slot="s", epoch=3)) is None


def test_a_lease_is_kept_while_its_instance_is_here_and_given_back_then() -> None:
    holder = Holder()
    holder.look([ROW], [HELD])
    assert holder.idle == []
    holder.look([ROW], [])
    assert (holder.idle, holder.due(0.0)) == ([HELD], [])
    holder.look([], [HELD])
    assert (holder.idle, holder.due(0.0), holder.until(0.0, HELD)) == ([], [], None)


def test_what_is_due_soon_is_renewed_along() -> None:
    holder = Holder()
    second = HeldLease(slot="t", epoch=1)
    holder.look([ROW, replace(ROW, slot="t", epoch=1)], [HELD, second])
    holder.renewed(100.0, [HELD], [HELD])
    holder.renewed(100.5, [second], [second])
    assert holder.due(104.9) == []
    assert holder.due(105.0) == [HELD, second]
