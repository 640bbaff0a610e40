"""What waits for the writer's task, and how whoever asked for it is told."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import trio

from paasd.errors import PaasdError
from paasd.state.engine.replica import Call


class Waiting(msgspec.Struct, kw_only=True):
    """A queued call and how its caller is told."""

    call: Call[Any]
    done: trio.Event = msgspec.field(default_factory=trio.Event)
    started: bool = False
    failure: Exception | None = None

    def fail(self, failure: Exception) -> None:
        self.failure = failure
        self.done.set()


class Errand(msgspec.Struct, kw_only=True):
    """Something to do between two groups of writes."""

    function: Callable[[], Awaitable[Any]]
    done: trio.Event = msgspec.field(default_factory=trio.Event)
    result: Any = None
    failure: PaasdError | None = None


class WriterLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The knobs of `[state]` that the writer heeds."""

    queue: int
    group: int
    catch_up: int
    retry_s: float
    keep_entries: int
