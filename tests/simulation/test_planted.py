"""Bugs planted on purpose into whole platforms: within a few stories a law is broken that names them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paasd.observed import Observed
from paasd.state import LogUnavailable
from paasd.state.log.etcd import EtcdLog
from paasd.state.log.interface import NoAnswer
from paasd.supervisor.supervisor import Supervisor
from tests.simulation.joint.laws import BrokenLaw
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


def rows_do_not_stop_what_was_replaced(patch: pytest.MonkeyPatch) -> None:
    real = Supervisor._rows

    def rows(self: Supervisor) -> Any:
        found = real(self)
        kept = {key: row for key, row in getattr(self, "_known", {}).items() if key not in found}
        self._known = {**kept, **found}  # type: ignore[attr-defined]
        return self._known  # type: ignore[attr-defined]

    patch.setattr(Supervisor, "_rows", rows)


def only_what_is_shown_is_judged_anew(patch: pytest.MonkeyPatch) -> None:
    real = Observed.recheck

    def recheck(self: Observed, guids: Any) -> None:
        real(self, [fact.instance_guid for fact in self.instances()] if guids is None else guids)

    patch.setattr(Observed, "recheck", recheck)


PLANTED: list[tuple[Plant, int, str]] = [
    (an_append_that_got_no_answer_is_given_up, 12, "was told as"),
    (the_next_index_is_free_if_its_key_is_absent, 18, "was told as"),
    (rows_do_not_stop_what_was_replaced, 0, "superseded"),
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
