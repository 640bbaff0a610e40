"""Runs tests outside of pytest, to see that each turns red when the bug is planted that it is there for."""

import inspect
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

LIMIT_S = 10_000.0
Plant = Callable[[pytest.MonkeyPatch], None]
Fixture = Callable[[Path], AbstractAsyncContextManager[Any]]
"""The value of a parameter that pytest would have filled, given a folder."""

_MISTAKES = (KeyboardInterrupt, SystemExit, TypeError, NameError, AttributeError)
"""What a planted bug must not end in: it would be the planting that is broken."""


def catch(plant: Plant, test: Callable[..., Any], folder: Path, patch: pytest.MonkeyPatch, **how: Any) -> BaseException:
    """See that a test is green, plant the bug, and see it red; by what. `how` is for `run`."""
    run(test, folder / "sound", **how)
    plant(patch)
    with pytest.raises(BaseException) as caught:
        run(test, folder / "planted", **how)
    error = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert not isinstance(error, _MISTAKES), error
    return error


def run(
    test: Callable[..., Any], folder: Path, *, virtual: bool = True, fixtures: dict[str, Fixture] | None = None
) -> None:
    """A test with the arguments that ours take; async ones in `virtual` time, or in ours."""
    folder.mkdir()
    wanted = inspect.signature(test).parameters
    plain = {"tmp_path": folder, "autojump_clock": None}
    given = {name: plain[name] for name in wanted if name in plain}
    if not inspect.iscoroutinefunction(test):
        test(**given)
        return
    made = {name: make for name, make in (fixtures or {}).items() if name in wanted}
    clock = MockClock(autojump_threshold=0) if virtual else None
    trio.run(_within, partial(test, **given), made, folder, clock=clock)


async def _within(test: Callable[..., Any], made: dict[str, Fixture], folder: Path) -> None:
    with trio.fail_after(LIMIT_S):
        for name, make in made.items():  # ours take one at most
            async with make(folder) as value:
                await test(**{name: value})
            return
        await test()
