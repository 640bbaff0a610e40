"""Runs async code in virtual time, and twice the same for the same seed.

trio's clock leaps to the next deadline whenever every task waits, so minutes take milliseconds. Its one source of
chance, the order in which ready tasks run, is seeded as Hypothesis does it.
"""

import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import trio
import trio._core._run as trio_run
import trio.testing

T = TypeVar("T")


def run_virtually(seed: int, function: Callable[..., Awaitable[T]], *arguments: Any, limit_s: float = 3600.0) -> T:
    """Run to the end in virtual time. Raises TooSlowError after `limit_s` virtual seconds, and whatever it raises."""
    before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    trio_run._r = random.Random(seed)
    clock = trio.testing.MockClock(autojump_threshold=0)
    try:
        return trio.run(partial(_limited, function, arguments, limit_s), clock=clock)
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r = before  # type: ignore[misc]


async def _limited(function: Callable[..., Awaitable[T]], arguments: tuple[Any, ...], limit_s: float) -> T:
    with trio.fail_after(limit_s):
        return await function(*arguments)
