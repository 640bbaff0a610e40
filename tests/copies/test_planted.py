"""Bugs planted on purpose: each turns the test red that is named beside it, and without it that test is green."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from paasd.blobs import Blobs
from paasd.copies import sparing
from paasd.copies.sparing import Sparing
from paasd.membership.rotation import steps
from paasd.state import Database
from tests.copies import test_copies, test_repair, test_surplus
from tests.membership import test_rotation_steps
from tests.planting import Plant, catch
from tests.scheduler import test_housekeeping


def a_claim_keeps_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Blobs, "claim", lambda self, sha256: self.has(sha256))


def the_clock_of_the_machine_is_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Blobs, "_is_fresh", lambda self, sha256, since: False)


def what_is_stored_without_a_row_is_collected(patch: pytest.MonkeyPatch) -> None:
    real = Blobs._collect
    patch.setattr(Blobs, "_collect", lambda self, referenced, older_than_s: real(self, referenced, -1e9))


def a_node_that_is_cut_off_collects(patch: pytest.MonkeyPatch) -> None:
    async def fresh(self: Database, timeout_s: float | None = None) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    patch.setattr(Database, "fresh", fresh)


def who_gives_its_copy_up_pledges_it_too(patch: pytest.MonkeyPatch) -> None:
    real = Sparing.pledge

    async def pledge(self: Sparing, sha256: str) -> None:
        leaving, self._leaving = self._leaving, set()
        try:
            await real(self, sha256)
        finally:
            self._leaving = leaving

    patch.setattr(Sparing, "pledge", pledge)
    patch.setattr(Sparing, "_check", lambda self, sha256: None)


def a_copy_is_pledged_unread(patch: pytest.MonkeyPatch) -> None:
    async def verify(self: Blobs, sha256: str) -> None:
        await trio.lowlevel.checkpoint()

    patch.setattr(Blobs, "verify", verify)


def who_counts_is_believed_about_zones(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sparing, "wanted_zones", lambda places: 0)


def a_change_of_the_authority_forgets_the_dead(patch: pytest.MonkeyPatch) -> None:
    real = steps._step

    def step(key: str, before: str, members: Any, thing: str) -> Any:
        return real(key, before, [one for one in members if one.live], thing)

    patch.setattr(steps, "_step", step)


def clients_get_no_notice(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(steps, "NOTICE_S", 0.0)


def a_key_seals_before_everybody_can_open(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(steps, "_step", lambda key, before, members, thing: steps.Ready(key, before))


def who_has_not_spoken_has_everything(patch: pytest.MonkeyPatch) -> None:
    real = steps.holdings
    patch.setattr(
        test_rotation_steps, "holdings", lambda nodes, facts: [one for one in real(nodes, facts) if one.guid in facts]
    )


PLANTED: list[tuple[Plant, Callable[..., Any]]] = [
    (
        a_claim_keeps_nothing,
        test_copies.test_a_claim_elsewhere_keeps_what_no_row_of_that_node_refers_to_yet,
    ),
    (
        the_clock_of_the_machine_is_believed,
        test_repair.test_what_a_build_in_progress_made_is_not_collected_though_the_clock_is_set,
    ),
    (
        what_is_stored_without_a_row_is_collected,
        test_repair.test_a_copy_made_for_a_row_that_is_not_here_yet_is_not_collected,
    ),
    (
        a_node_that_is_cut_off_collects,
        test_housekeeping.test_a_node_that_is_cut_off_deletes_no_blobs_since_its_rows_are_old,
    ),
    (who_gives_its_copy_up_pledges_it_too, test_surplus.test_two_that_would_rely_on_each_other_do_not_both_leave),
    (a_copy_is_pledged_unread, test_surplus.test_no_copy_goes_for_one_that_is_damaged),
    (
        who_counts_is_believed_about_zones,
        test_surplus.test_a_node_takes_nobodys_word_for_how_many_zones_are_enough,
    ),
    (
        a_change_of_the_authority_forgets_the_dead,
        test_rotation_steps.test_the_new_authority_signs_when_everybody_believes_it_also_the_dead,
    ),
    (
        clients_get_no_notice,
        test_rotation_steps.test_clients_have_half_a_year_to_learn_of_the_next_authority_of_the_domains,
    ),
    (a_key_seals_before_everybody_can_open, test_rotation_steps.test_a_gossip_key_waits_for_the_living_only),
    (
        who_has_not_spoken_has_everything,
        test_rotation_steps.test_who_has_not_spoken_has_nothing_and_who_was_removed_does_not_count,
    ),
]


@pytest.mark.parametrize(("plant", "caught_by"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_each_is_caught(
    plant: Plant, caught_by: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = catch(plant, caught_by, tmp_path, monkeypatch, virtual=False)
    assert isinstance(error, AssertionError | pytest.fail.Exception), error
