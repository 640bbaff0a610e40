"""Bugs planted on purpose into whole platforms: within a few stories a law is broken that names them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paasd.model import liveness as rules
from paasd.observed import Observed
from paasd.router.neighbours import Neighbours
from paasd.scheduler import liveness
from paasd.state import LogUnavailable
from paasd.state.log.etcd import EtcdLog
from paasd.state.log.interface import NoAnswer
from paasd.supervisor.leases import Holder
from paasd.supervisor.supervisor import Supervisor
from tests.simulation.joint.laws import BrokenLaw
from tests.simulation.joint.machine import Container
from tests.simulation.joint.story import play

Plant = Callable[[pytest.MonkeyPatch], None]
TRIES = 25
"""Stories in which a bug has to show; the first is one that is known to."""


def an_append_that_got_no_answer_is_given_up(patch: pytest.MonkeyPatch) -> None:
    real = EtcdLog.append

    async def append(self: EtcdLog, index: int, data: bytes) -> Any:
        try:
            return await real(self, index, data)
        except NoAnswer:
            raise LogUnavailable("nothing was changed") from None

    patch.setattr(EtcdLog, "append", append)


def the_next_index_is_free_if_its_key_is_absent(patch: pytest.MonkeyPatch) -> None:
    real = EtcdLog._next_is
    patch.setattr(EtcdLog, "_next_is", lambda self, index: real(self, index)[:1])


def a_renewal_without_an_answer_counts(patch: pytest.MonkeyPatch) -> None:
    real = Holder.failed

    def failed(self: Holder, now: float, sent: Any) -> None:
        real(self, now, sent)
        for held in sent:
            if held in self._held:
                self._until[held] = now + 3600

    patch.setattr(Holder, "failed", failed)
    patch.setattr(Holder, "renewed", lambda self, at, sent, _answered: {held: at + 3600 for held in sent})


def the_deadline_is_not_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Container, "look", lambda self: None)


def rows_do_not_stop_what_was_replaced(patch: pytest.MonkeyPatch) -> None:
    real = Supervisor._rows

    def rows(self: Supervisor) -> Any:
        found = real(self)
        kept = {key: row for key, row in getattr(self, "_known", {}).items() if key not in found}
        self._known = {**kept, **found}  # type: ignore[attr-defined]
        return self._known  # type: ignore[attr-defined]

    patch.setattr(Supervisor, "_rows", rows)


def routers_go_by_facts_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Neighbours, "_counts", lambda self, fact: bool(fact.address and fact.port))


def one_witness_is_enough(patch: pytest.MonkeyPatch) -> None:
    def enough(target: str, witnesses: Any, live: Any) -> bool:
        return target in live and any(one != target for one in witnesses)

    patch.setattr(liveness, "enough_witnesses", enough)
    patch.setattr(rules, "enough_witnesses", enough)


def only_what_is_shown_is_judged_anew(patch: pytest.MonkeyPatch) -> None:
    real = Observed.recheck

    def recheck(self: Observed, guids: Any) -> None:
        real(self, [fact.instance_guid for fact in self.instances()] if guids is None else guids)

    patch.setattr(Observed, "recheck", recheck)


PLANTED: list[tuple[Plant, int, str]] = [
    (an_append_that_got_no_answer_is_given_up, 0, "."),
    (the_next_index_is_free_if_its_key_is_absent, 0, "."),
    (a_renewal_without_an_answer_counts, 0, "runs more than once"),
    (the_deadline_is_not_kept, 0, "runs more than once"),
    (rows_do_not_stop_what_was_replaced, 0, "superseded|after 240"),
    (routers_go_by_facts_alone, 0, "sends requests"),
    (one_witness_is_enough, 0, "on the word of"),
    (only_what_is_shown_is_judged_anew, 12, "routers have"),
]
"""The bug, the first story, and the words of the law."""


@pytest.mark.parametrize(("plant", "first", "law"), PLANTED, ids=[plant.__name__ for plant, _, _ in PLANTED])
def test_whole_platforms_show_a_planted_bug(
    plant: Plant, first: int, law: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(BaseException) as caught:
        for seed in range(first, first + TRIES):
            play(seed, tmp_path)
    assert isinstance(caught.value, BrokenLaw)
    assert re.search(law, str(caught.value).splitlines()[0]), str(caught.value)[:2000]
