"""Where the writer's SQLite calls run."""

from collections.abc import Callable
from typing import Any, TypeVar

import trio

T = TypeVar("T")


class ThreadRunner:
    """One call at a time in a worker thread, so that a sync or a checkpoint never stalls the event loop."""

    def __init__(self) -> None:
        self._limiter = trio.CapacityLimiter(1)

    async def __call__(self, function: Callable[..., T], *arguments: Any) -> T:
        return await trio.to_thread.run_sync(function, *arguments, limiter=self._limiter)


class InlineRunner:
    """At once, in the event loop: for virtual time, which would leap ahead while a thread works."""

    async def __call__(self, function: Callable[..., T], *arguments: Any) -> T:
        await trio.lowlevel.checkpoint()
        return function(*arguments)
