"""Whether what clients saw of one register could have come from one register: Wing and Gong's search, with memory.

A write without an answer may have taken effect at any time from its start on, or never.
"""

import math
from collections.abc import Sequence

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a client. `ended` is infinite for a write whose answer never came."""

    kind: str  # read, write
    value: str
    began: float
    ended: float = math.inf


def is_linearizable(history: Sequence[Event], initial: str = "") -> bool:
    """Whether some order that respects real time explains every read. Values of writes are unique."""
    seen = {event.value for event in history if event.kind == "read"}
    # A write that got no answer and was never seen explains nothing: without it the search is much smaller.
    events = sorted(
        (
            event
            for event in history
            if not (event.kind == "write" and event.ended == math.inf and event.value not in seen)
        ),
        key=lambda event: event.began,
    )
    return _search(events, initial)


def _search(events: Sequence[Event], initial: str) -> bool:
    everything = frozenset(range(len(events)))
    stack = [(everything, initial)]
    visited = set(stack)
    while stack:
        left, value = stack.pop()
        if all(events[number].ended == math.inf for number in left):
            return True
        horizon = min(events[number].ended for number in left)
        for number in sorted(left):
            event = events[number]
            if event.began > horizon:
                break
            if event.kind == "read" and event.value != value:
                continue
            state = (left - {number}, event.value)
            if state not in visited:
                visited.add(state)
                stack.append(state)
    return False
