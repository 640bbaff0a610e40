"""Writes of one request that somebody may send again: each gets an id that is the same the next time.

The engine keeps the result of every request id for a day and gives it back instead of running the operation once more.
Here the ids come from a key that whoever asks has chosen, from what is asked, and from the operation's place among the
writes of the request. The key travels in the context of the task, because actions write on behalf of requests that
they do not know.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_current: ContextVar["Repeatable | None"] = ContextVar("paasd_repeatable", default=None)


class Repeatable:
    """One request. `again` says that it may have been sent before: only then is a former result looked for."""

    def __init__(self, key: str, about: str, *, again: bool) -> None:
        self.key = key
        self.again = again
        self._hash = hashlib.sha256(f"{key}\0{about}\0".encode())
        self._counts: Counter[str] = Counter()
        self._over = False

    def bind(self, content: bytes) -> None:
        """What is asked is part of it: the same key with another content is another request."""
        self._hash.update(hashlib.sha256(content).digest())

    def next_id(self, operation: str) -> str | None:
        """For the next write of this operation; None when the request has been answered."""
        if self._over:
            return None  # work that goes on afterwards has its own life
        self._counts[operation] += 1
        found = self._hash.copy()
        found.update(f"\0{operation}\0{self._counts[operation]}".encode())
        return found.hexdigest()[:40]

    def end(self) -> None:
        self._over = True


@contextmanager
def repeatable(request: Repeatable) -> Iterator[Repeatable]:
    """Writes of this task, and of those that it starts, belong to the request until the block ends."""
    token = _current.set(request)
    try:
        yield request
    finally:
        request.end()
        _current.reset(token)


def current_request() -> Repeatable | None:
    """The one on whose behalf this task writes."""
    return _current.get()
