"""Who counts changes is asked here, where every write goes in: no method and no route that leads to one gets past.

As with ids of requests (see `repeating`), it travels in the context of the task.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_charge: ContextVar[Callable[[], None] | None] = ContextVar("paasd_charge", default=None)


@contextmanager
def charging(charge: Callable[[], None]) -> Iterator[None]:
    """Before each write of this task, and of those that it starts, `charge` is called; what it raises refuses it."""
    token = _charge.set(charge)
    try:
        yield
    finally:
        _charge.reset(token)


def charge() -> None:
    """To be called before a write."""
    if (found := _charge.get()) is not None:
        found()
