"""Bugs planted on purpose: each turns the test red that is named beside it, and without it that test is green."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from paasd.model import Instance, Lease, instances
from paasd.model import liveness as rules
from paasd.model.leases import HeldLease
from paasd.scheduler import desired, liveness, slots
from paasd.scheduler.leases import LeaseWatch, _Seen
from paasd.scheduler.rebalance import Rebalancing
from paasd.state import InlineRunner, open_database
from paasd.supervisor import leasing
from paasd.supervisor.leases import Holder
from tests.model import test_lease_rules, test_liveness_rules
from tests.model.seeding import Seed
from tests.planting import Plant, catch
from tests.scheduler import test_cut_off, test_desired, test_leases, test_liveness, test_nodes, test_rebalance


def a_lone_suspicion_is_acted_upon(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules, "WITNESSES", 1)


def witnesses_of_one_zone_suffice(patch: pytest.MonkeyPatch) -> None:
    def enough(target: str, witnesses: Collection[str], live: Mapping[str, Any]) -> bool:
        return target in live and len({one for one in witnesses if one in live and one != target}) >= 2

    patch.setattr(liveness, "enough_witnesses", enough)
    patch.setattr(rules, "enough_witnesses", enough)


def the_target_is_its_own_witness(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules, "enough_witnesses", lambda target, witnesses, live: len(set(witnesses) & set(live)) >= 2)


def a_node_is_dead_by_what_was_said_of_its_former_incarnation(patch: pytest.MonkeyPatch) -> None:
    real = rules.declare_dead.function

    def declare(tx: Any, args: Any) -> bool:
        node = tx.get(rules.Node, args.node_guid)
        return real(tx, args if node is None else replace(args, incarnation=node.incarnation))

    patch.setattr(rules.declare_dead, "function", declare)


def the_epoch_is_not_raised(patch: pytest.MonkeyPatch) -> None:
    real = desired.demand_for

    def demand_for(*args: Any, **more: Any) -> Any:
        return replace(real(*args, **more), epoch=1)

    patch.setattr(desired, "demand_for", demand_for)


def what_lives_is_taken_for_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(instances, "is_live", lambda tx, node_guid: False)


def a_drain_stops_first(patch: pytest.MonkeyPatch) -> None:
    real = desired.judge

    def judge(rows: Iterable[Instance], nodes: slots.Nodes, *args: Any, **more: Any) -> slots.Verdict:
        verdict = real(rows, nodes, *args, **more)
        if verdict.need != "move":
            return verdict
        return slots.Verdict(newest=verdict.newest, drop=verdict.kept)

    patch.setattr(desired, "judge", judge)


def the_brake_is_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(liveness, "why_brake", lambda zones, lost: None)


def the_brake_is_ignored_by_operations(patch: pytest.MonkeyPatch) -> None:
    from paasd.model.brake import Brake

    patch.setattr(rules, "read_brake", lambda tx: Brake())
    patch.setattr(instances, "read_brake", lambda tx: Brake())


def everything_is_moved_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(desired, "at_once", lambda share, count, under_way: count)


def a_move_is_made_that_evens_out_nothing(patch: pytest.MonkeyPatch) -> None:
    real = Rebalancing.__init__

    def init(self: Rebalancing, *args: Any, **more: Any) -> None:
        real(self, *args, **{**more, "difference": 0.0})

    patch.setattr(Rebalancing, "__init__", init)


def the_wait_begins_at_the_grant(patch: pytest.MonkeyPatch) -> None:
    def see(self: LeaseWatch, now: float, slot: str, lease: Lease | None) -> None:
        known = self._seen.get(slot)
        if lease is not None:
            same = known is not None and known.lease.epoch == lease.epoch
            self._seen[slot] = _Seen(lease, known.at if same and known is not None else now)

    patch.setattr(LeaseWatch, "see", see)


def the_holder_extends_from_the_answer(patch: pytest.MonkeyPatch) -> None:
    real = Holder.renewed

    def renewed(self: Holder, sent_at: float, *args: Any) -> dict[HeldLease, float]:
        return real(self, sent_at + 5.0, *args)  # so long the answer took

    patch.setattr(Holder, "renewed", renewed)


def an_unanswered_renewal_counts(patch: pytest.MonkeyPatch) -> None:
    real = Holder.renewed

    def renewed(self: Holder, sent_at: float, sent: list[HeldLease], answered: Any) -> dict[HeldLease, float]:
        return real(self, sent_at, sent, sent)

    patch.setattr(Holder, "renewed", renewed)


def the_shim_is_never_told(patch: pytest.MonkeyPatch) -> None:
    real = leasing.Leasing.until

    async def until(self: Any, identity: Any, given_up: Any) -> None:
        await real(self, identity, given_up)

    patch.setattr(leasing.Leasing, "until", until)
    patch.setattr(Holder, "renewed", lambda self, sent_at, sent, answered: {})


def a_renewed_lease_is_taken_away(patch: pytest.MonkeyPatch) -> None:
    from paasd.model import leases

    real = leases.expire_lease.function

    def expire(tx: Any, args: Any) -> bool:
        lease = tx.get(Lease, args.slot)
        return real(tx, replace(args, renewals=lease.renewals))

    patch.setattr(leases.expire_lease, "function", expire)


def a_grace_never_grows(patch: pytest.MonkeyPatch) -> None:
    real = liveness.Liveness.receive

    def receive(self: liveness.Liveness, now: float, view: liveness.View) -> list[liveness.Effect]:
        calm = {guid: replace(member, deaths=1) for guid, member in view.members.items()}
        return real(self, now, replace(view, members=calm))

    patch.setattr(liveness.Liveness, "receive", receive)


PLANTED: list[tuple[Plant, Callable[..., Any]]] = [
    (a_lone_suspicion_is_acted_upon, test_nodes.test_a_node_that_one_other_cannot_reach_goes_on),
    (a_lone_suspicion_is_acted_upon, test_liveness.test_a_lone_suspicion_is_never_acted_upon),
    (
        witnesses_of_one_zone_suffice,
        test_liveness.test_witnesses_of_the_same_zone_alone_do_not_suffice_while_another_zone_lives,
    ),
    (
        the_target_is_its_own_witness,
        test_liveness_rules.test_a_node_is_dead_by_two_live_witnesses_of_which_one_is_elsewhere,
    ),
    (
        a_node_is_dead_by_what_was_said_of_its_former_incarnation,
        test_liveness_rules.test_one_that_started_anew_is_not_dead_by_what_was_said_before,
    ),
    (the_epoch_is_not_raised, test_desired.test_instances_of_a_dead_node_are_replaced_under_a_higher_epoch),
    (what_lives_is_taken_for_lost, test_liveness_rules.test_what_runs_on_a_live_node_is_not_taken_for_lost),
    (a_drain_stops_first, test_nodes.test_a_drained_node_ends_empty_and_no_index_is_ever_without_an_instance),
    (the_brake_is_ignored, test_cut_off.test_two_zones_a_whole_zone_is_not_replaced_until_somebody_says_so),
    (
        the_brake_is_ignored_by_operations,
        test_liveness_rules.test_the_brake_stops_declarations_replacements_and_drains,
    ),
    (
        everything_is_moved_at_once,
        test_desired.test_a_new_node_gets_something_when_it_is_calm_and_never_more_than_the_share,
    ),
    (a_move_is_made_that_evens_out_nothing, test_rebalance.test_little_difference_is_not_worth_a_move),
    (
        the_wait_begins_at_the_grant,
        test_leases.test_the_wait_begins_at_the_last_renewal_that_was_seen_and_not_at_the_grant,
    ),
    (
        the_holder_extends_from_the_answer,
        test_leases.test_the_holder_counts_from_before_it_asked_however_late_the_answer_is,
    ),
    (
        an_unanswered_renewal_counts,
        test_leases.test_what_is_not_answered_extends_nothing_and_is_asked_again_soon,
    ),
    (
        the_shim_is_never_told,
        test_cut_off.test_one_of_three_a_singleton_ends_there_with_its_lease_and_begins_here_after_it,
    ),
    (
        a_renewed_lease_is_taken_away,
        test_lease_rules.test_a_lease_is_not_taken_away_after_a_renewal_nor_while_the_instance_is_there,
    ),
    (a_grace_never_grows, test_cut_off.test_a_node_that_flaps_waits_longer_each_time),
]


@pytest.mark.parametrize(("plant", "caught_by"), PLANTED, ids=[f"{p.__name__}-{t.__name__}" for p, t in PLANTED])
def test_a_planted_bug_is_caught_by_the_named_test(
    plant: Plant, caught_by: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catch(plant, caught_by, tmp_path, monkeypatch, fixtures={"seed": seed, "single": single})


@asynccontextmanager
async def seed(folder: Path) -> AsyncIterator[Seed]:
    """As the fixture of that name."""
    async with open_database(folder / "rules", runner=InlineRunner(), sync=False) as database:
        yield Seed(database)


@asynccontextmanager
async def single(folder: Path) -> AsyncIterator[test_lease_rules.Single]:
    """As the fixture of that name."""
    async with seed(folder) as found:
        yield await test_lease_rules.Single(found.database).begin()
