"""Bugs planted on purpose: each turns the test red that is named beside it, and without it that test is green."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from paasd.gossip.swim import members
from paasd.gossip.swim.core import Swim
from paasd.gossip.swim.members import Members
from paasd.gossip.swim.probes import Probes
from paasd.gossip.wire import messages
from paasd.gossip.wire.guard import Quarantine, ReplayWindow
from paasd.gossip.wire.sealing import Keyring
from paasd.observed.books import Books
from paasd.observed.ledger import Change, Ledger
from tests.gossip import test_core, test_sealing, test_wire
from tests.observed import test_ledger, test_many_nodes
from tests.simulation.test_gossip import Story

Plant = Callable[[pytest.MonkeyPatch], None]


def refutation_is_ignored(patch: pytest.MonkeyPatch) -> None:
    real = Members.alive

    def alive(self: Members, guid: str, incarnation: int, **more: Any) -> None:
        if guid not in self.troubled:
            real(self, guid, incarnation, **more)

    patch.setattr(Members, "alive", alive)


def suspicion_never_ends(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Members, "expire", lambda self, now: None)


def gossip_declares_dead(patch: pytest.MonkeyPatch) -> None:
    real = Members._condemn

    def condemn(self: Members, now: float, guid: str, *more: Any) -> None:
        real(self, now, guid, *more)
        self.changes.append((guid, "unreachable", "dead"))  # type: ignore[arg-type]

    patch.setattr(Members, "_condemn", condemn)


def a_lone_verdict_is_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(members, "witnesses_wanted", lambda config, count: 0)


def an_accuser_counts_each_time(patch: pytest.MonkeyPatch) -> None:
    real = Members.suspect

    def suspect(self: Members, now: float, guid: str, incarnation: int, accuser: str) -> None:
        before = self.troubled.get(guid)
        real(self, now, guid, incarnation, accuser)
        if before is not None and accuser in before.accusers:
            before.accusers = (*before.accusers, accuser)

    patch.setattr(Members, "suspect", suspect)


def a_stalled_node_blames_the_others(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Swim, "_notice_lateness", lambda self, late_s: None)


def what_is_unreachable_is_given_up(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Swim, "_retry", lambda self, now: None)


def anybody_may_answer_a_probe(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Probes, "answered", lambda self, number, sender: self.probes.pop(number, None))


def hearsay_is_testimony(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Members, "witnessed", lambda self: tuple(sorted(self._lost)))


def a_repetition_is_accepted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ReplayWindow, "fresh", lambda *arguments: True)


def an_old_boot_is_accepted_in_datagrams(patch: pytest.MonkeyPatch) -> None:
    real = ReplayWindow.fresh
    patch.setattr(ReplayWindow, "fresh", lambda self, sender, boot, *more: real(self, f"{sender}{boot}", boot, *more))


def garbage_costs_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Quarantine, "strike", lambda self, now, sender: False)


def an_absurd_incarnation_is_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(members, "INCARNATION_LEAP", messages.INCARNATION_LIMIT)


def an_old_boot_is_accepted_in_records(patch: pytest.MonkeyPatch) -> None:
    real = Ledger.take
    patch.setattr(Ledger, "take", lambda self, boot, change: real(self, max(boot, self.boot), change))


def a_tombstone_is_resurrected(patch: pytest.MonkeyPatch) -> None:
    real = Ledger.take

    def take(self: Ledger, boot: int, change: Change) -> set[str] | None:
        if change.key not in self.changes:
            self._set(change)
            return {change.key}
        return real(self, boot, change)

    patch.setattr(Ledger, "take", take)


def a_part_is_given_for_the_whole(patch: pytest.MonkeyPatch) -> None:
    real = Ledger.batch

    def batch(self: Ledger, *arguments: Any) -> Any:
        self._floor = 0
        return real(self, *arguments)

    patch.setattr(Ledger, "batch", batch)


def a_restart_empties_the_routes(patch: pytest.MonkeyPatch) -> None:
    real = Ledger.reboot

    def reboot(self: Ledger, boot: int) -> None:
        real(self, boot)
        self.former = {}

    patch.setattr(Ledger, "reboot", reboot)


def others_may_speak_for_a_node(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Change, "proper", lambda self, owner: True)


def rows_are_not_asked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Books, "believe", property(lambda self: lambda fact: True, lambda self, value: None), raising=False)


def an_older_epoch_comes_back(patch: pytest.MonkeyPatch) -> None:
    real = Books.best

    def best(self: Books, key: str) -> Any:
        self._epochs.pop(key, None)
        return real(self, key)

    patch.setattr(Books, "best", best)


def a_key_is_dropped_at_once(patch: pytest.MonkeyPatch) -> None:
    real = Keyring.set_keys

    def set_keys(self: Keyring, now: float, keys: Any) -> None:
        self._grace_s = 0.0
        real(self, now, keys)

    patch.setattr(Keyring, "set_keys", set_keys)


def a_datagram_opens_anywhere(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Keyring, "_bound", lambda self, head, receiver: head)


ABSURD = dict(test_wire.garbage())["an absurd incarnation of another"]
PLANTED: list[tuple[Plant, Callable[[], None]]] = [
    (refutation_is_ignored, test_core.test_a_refutation_ends_suspicion_and_unreachability),
    (suspicion_never_ends, test_core.test_suspicion_ends),
    (gossip_declares_dead, test_core.test_suspicion_ends),
    (a_lone_verdict_is_believed, test_core.test_a_verdict_with_too_few_witnesses_is_only_a_suspicion),
    (an_accuser_counts_each_time, test_core.test_the_same_accuser_twice_is_one_witness),
    (a_stalled_node_blames_the_others, test_core.test_a_node_whose_own_loop_stalls_suspects_nobody),
    (what_is_unreachable_is_given_up, test_core.test_an_unreachable_node_is_tried_further_and_comes_back_by_its_answer),
    (anybody_may_answer_a_probe, test_core.test_only_the_target_or_a_helper_can_answer_a_probe),
    (hearsay_is_testimony, test_core.test_only_what_a_node_tried_itself_is_its_testimony),
    (a_repetition_is_accepted, test_wire.test_a_repeated_datagram_is_not_accepted),
    (an_old_boot_is_accepted_in_datagrams, test_wire.test_a_datagram_of_an_earlier_start_is_not_accepted),
    (garbage_costs_nothing, test_wire.test_a_sender_of_garbage_loses_its_voice_for_a_while_but_not_its_life),
    (
        an_absurd_incarnation_is_believed,
        partial(test_wire.test_garbage_is_counted_against_its_sender_and_changes_nothing, "absurd", ABSURD),
    ),
    (an_old_boot_is_accepted_in_records, test_ledger.test_an_earlier_boot_changes_nothing),
    (a_tombstone_is_resurrected, test_ledger.test_a_dropped_record_does_not_come_back_by_an_old_change),
    (
        a_part_is_given_for_the_whole,
        test_ledger.test_a_dropped_record_does_not_come_back_from_a_copy_that_missed_the_drop,
    ),
    (
        a_restart_empties_the_routes,
        test_ledger.test_what_ran_before_a_restart_is_shown_until_the_node_has_found_it_again,
    ),
    (others_may_speak_for_a_node, test_many_nodes.test_only_a_node_itself_says_what_runs_on_it),
    (rows_are_not_asked, test_many_nodes.test_what_no_row_puts_on_a_node_is_not_believed_whatever_its_epoch),
    (
        an_older_epoch_comes_back,
        test_many_nodes.test_of_an_instance_that_moved_only_the_newest_epoch_is_shown_and_never_an_older_one_again,
    ),
    (a_key_is_dropped_at_once, test_sealing.test_a_key_that_left_the_ring_opens_for_a_while_and_then_no_more),
    (a_datagram_opens_anywhere, test_sealing.test_it_opens_at_no_other_node_in_no_other_cluster_and_under_no_other_key),
]


@pytest.mark.parametrize(("plant", "caught_by"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_each_is_caught(plant: Plant, caught_by: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    test_core.new_strangers()
    caught_by()
    plant(monkeypatch)
    test_core.new_strangers()
    with pytest.raises((AssertionError, LookupError)):
        caught_by()


@pytest.mark.parametrize(
    "plant",
    [refutation_is_ignored, what_is_unreachable_is_given_up],
    ids=lambda plant: plant.__name__,
)
def test_simulations_catch_them_as_well(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError, match="seed"):
        for seed in range(40):
            Story(seed).run()


def test_simulations_catch_a_verdict_on_a_lone_suspicion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "suspicion_s", lambda *arguments: 0.3)
    with pytest.raises(AssertionError, match="on the word of"):
        for seed in range(40):
            Story(seed).run()
