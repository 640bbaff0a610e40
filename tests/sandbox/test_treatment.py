"""What is done to containers, where the kernel lets the platform do a part of it only."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

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
