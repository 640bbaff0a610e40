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
    """A state is (the first event that has no place yet, those after it that have one, the value): its size is that of
    what goes on at once, so hours of calls fit into memory.
    """
    start: tuple[int, frozenset[int], str] = (0, frozenset(), initial)
    stack, visited = [start], {start}
    while stack:
        first, ahead, value = stack.pop()
        candidates = _next(events, first, ahead)
        if candidates is None:
            return True
        for number in candidates:
            event = events[number]
            if event.kind == "read" and event.value != value:
                continue
            state = (*_without(first, ahead | {number}), event.value)
            if state not in visited:
                visited.add(state)
                stack.append(state)
    return False


def _next(events: Sequence[Event], first: int, ahead: frozenset[int]) -> list[int] | None:
    """What may come next: whatever began before everything else that is left had ended. None when all is explained."""
    horizon, found = math.inf, list[int]()
    for number in range(first, len(events)):
        if number in ahead:
            continue
        if events[number].began > horizon:
            break
        horizon = min(horizon, events[number].ended)
        found.append(number)
    return None if horizon == math.inf else [number for number in found if events[number].began <= horizon]


def _without(first: int, ahead: frozenset[int]) -> tuple[int, frozenset[int]]:
    """The same, from the first event on that has no place yet."""
    done = first
    while done in ahead:
        done += 1
    return done, ahead if done == first else frozenset(number for number in ahead if number > done)
