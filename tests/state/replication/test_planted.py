"""Bugs planted on purpose: each turns the test red that is named beside it, and without it that test is green."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from paasd.state.engine import switching
from paasd.state.engine.barrier import Barrier, _Question
from paasd.state.engine.database import Database
from paasd.state.engine.writer import Writer
from paasd.state.log import LogUnavailable, NoAnswer
from paasd.state.log.feed import FeedLog
from paasd.state.replication import copying, trimming
from paasd.state.replication.forwarding import OperationServer, PeerForwarder
from tests.planting import Plant, catch
from tests.state.replication import (
    test_following,
    test_forwarding,
    test_freshness,
    test_snapshots,
    test_switching,
    test_trimming,
)


def a_reader_takes_the_answer_under_way(patch: pytest.MonkeyPatch) -> None:
    async def serve(self: Barrier) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            question = self._next
            self.asked += 1
            question.index = await self._ask()
            self._next = _Question()
            question.answered.set()

    patch.setattr(Barrier, "serve", serve)


def what_is_sent_again_has_a_new_request_id(patch: pytest.MonkeyPatch) -> None:
    real = PeerForwarder.run

    async def run(self: PeerForwarder, node_guid: str, call: Any, timeout_s: float) -> Any:
        request_id, call.request_id = call.request_id, f"{call.request_id} sent"
        try:
            return await real(self, node_guid, call, timeout_s)
        finally:
            call.request_id = request_id

    patch.setattr(PeerForwarder, "run", run)


def the_new_log_begins_without_its_base(patch: pytest.MonkeyPatch) -> None:
    async def begin(*_: Any, **__: Any) -> None:
        pass

    patch.setattr(switching, "_begin", begin)


def what_was_noted_is_not_begun_at_the_next_start(patch: pytest.MonkeyPatch) -> None:
    from paasd.state.engine import opening

    async def finish(*_: Any) -> None:
        pass

    patch.setattr(opening, "finish_change", finish)


def a_snapshot_is_believed_without_its_hash(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(copying, "_check", lambda sha256, manifest: None)


def the_log_is_trimmed_beyond_a_live_node(patch: pytest.MonkeyPatch) -> None:
    def trim_point(newest: int, snapshot: int, applied: Any, *, keep: int, away: int) -> int:
        return newest - keep

    patch.setattr(trimming, "trim_point", trim_point)


def a_writer_does_not_wait_for_its_own_database(patch: pytest.MonkeyPatch) -> None:
    async def wait_applied(self: Writer, index: int) -> None:
        pass

    patch.setattr(Writer, "wait_applied", wait_applied)
    patch.setattr(Database, "index", property(lambda self: 10**9))


def an_append_without_an_answer_counts_as_refused(patch: pytest.MonkeyPatch) -> None:
    real = FeedLog.append

    async def append(self: FeedLog, index: int, data: bytes) -> Any:
        try:
            return await real(self, index, data)
        except NoAnswer:
            raise LogUnavailable("nothing was changed") from None

    patch.setattr(FeedLog, "append", append)


def a_follower_trusts_that_nothing_is_missing(patch: pytest.MonkeyPatch) -> None:
    def took(self: FeedLog, answer: Any) -> bool:
        if answer.kind == "entries":
            self._held.extend(answer.entries)
            self._newest = answer.index + len(answer.entries) - 1
            self._change()
        return True

    patch.setattr(FeedLog, "_took", took)


def a_worker_may_run_everything(patch: pytest.MonkeyPatch) -> None:
    async def check(*_: Any) -> None:
        pass

    patch.setattr(OperationServer, "_check_worker", check)


PLANTED: list[tuple[Plant, Callable[..., Any]]] = [
    (
        a_reader_takes_the_answer_under_way,
        test_freshness.test_who_comes_while_a_question_is_under_way_waits_for_the_next,
    ),
    (what_is_sent_again_has_a_new_request_id, test_forwarding.test_an_answer_that_is_lost_is_no_second_write),
    (
        the_new_log_begins_without_its_base,
        test_switching.test_a_node_that_is_alone_goes_over_to_a_shared_log_under_writes,
    ),
    (what_was_noted_is_not_begun_at_the_next_start, test_switching.test_a_crash_before_the_base_is_repaired),
    (a_snapshot_is_believed_without_its_hash, test_snapshots.test_a_snapshot_that_was_changed_is_never_put_in_place),
    (
        the_log_is_trimmed_beyond_a_live_node,
        test_trimming.test_a_live_node_that_lags_goes_on_by_the_log_and_one_away_too_long_by_a_snapshot,
    ),
    (a_writer_does_not_wait_for_its_own_database, test_following.test_who_writes_through_a_follower_reads_it_there),
    (
        an_append_without_an_answer_counts_as_refused,
        test_following.test_an_append_whose_answer_is_lost_is_there_once,
    ),
    (a_follower_trusts_that_nothing_is_missing, test_following.test_a_follower_notices_what_it_has_missed),
    (a_worker_may_run_everything, test_forwarding.test_a_worker_runs_what_is_about_its_own_rows_and_nothing_else),
]


@pytest.mark.parametrize(("plant", "test"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_a_planted_bug_is_caught_by_its_test(
    plant: Plant, test: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catch(plant, test, tmp_path, monkeypatch)
