"""What is done to containers, where the kernel lets the platform do a part of it only."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from paasd.sandbox import treatment
from paasd.sandbox.treatment import Treatment

STEPS = ("weigh", "confine", "give_turns")


class Refusing:
    """Control groups that do everything but one thing."""

    def __init__(self, refused: str) -> None:
        self.done: list[str] = []
        for step in STEPS:
            setattr(self, step, lambda _guid, _value, step=step: self._do(step, refused))

    def _do(self, step: str, refused: str) -> None:
        if step == refused:
            raise OSError(22, "made to fail")
        self.done.append(step)

    def processors(self) -> tuple[int, ...]:
        return (0, 1)

    def cpu_ns(self, _guid: str) -> int:
        return 0


@pytest.mark.parametrize("refused", STEPS)
def test_what_is_refused_keeps_nothing_else_from_being_done(refused: str) -> None:
    cgroups = Refusing(refused)
    parts = SimpleNamespace(cgroups=cgroups, config=SimpleNamespace(free_percent=25), prefix="paasd-test")
    spec = SimpleNamespace(limits=SimpleNamespace(cpu_weight=100))
    container = SimpleNamespace(spec=spec, record=SimpleNamespace(run=1), running=True)
    Treatment(cast("Any", parts), {})._treat({"one": cast("Any", container)})
    assert cgroups.done == [step for step in STEPS if step != refused]


async def test_a_pass_that_fails_is_followed_by_one_that_does_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(treatment, "PERIOD_S", 0.01)
    monkeypatch.setattr(treatment, "take_turns", lambda *_: None)
    monkeypatch.setattr(treatment, "keep_to", lambda *_: None)
    cgroups = Refusing("nothing")
    failures = iter([ValueError("torn"), RuntimeError("can't start new thread")])
    weigh = cgroups.weigh  # type: ignore[attr-defined]

    def weigh_at_last(guid: str, weight: float) -> None:
        if failure := next(failures, None):
            raise failure
        weigh(guid, weight)

    monkeypatch.setattr(cgroups, "weigh", weigh_at_last)
    parts = SimpleNamespace(cgroups=cgroups, config=SimpleNamespace(free_percent=25), prefix="paasd-test")
    spec = SimpleNamespace(limits=SimpleNamespace(cpu_weight=100))
    container = SimpleNamespace(spec=spec, record=SimpleNamespace(run=1), running=True)
    treating = Treatment(cast("Any", parts), {"one": cast("Any", container)})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(treating.keep)
        with trio.fail_after(10):
            while len(cgroups.done) < len(STEPS):
                await trio.sleep(0.01)
        treating.stop()
    assert tuple(cgroups.done) == STEPS
