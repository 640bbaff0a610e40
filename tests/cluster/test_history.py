"""The judge of histories tells good ones from bad ones."""

import math
import tracemalloc
from random import Random

import pytest

from tests.cluster.history import Event, is_linearizable


def write(value: str, began: float, ended: float = math.inf) -> Event:
    return Event(kind="write", value=value, began=began, ended=ended)


def read(value: str, began: float, ended: float) -> Event:
    return Event(kind="read", value=value, began=began, ended=ended)


@pytest.mark.parametrize(
    "history",
    [
        [write("a", 0, 1), read("a", 2, 3)],
        [write("a", 0, 4), read("", 1, 2), read("a", 3, 5)],
        [write("a", 0), read("a", 5, 6), read("a", 7, 8)],
        [write("a", 0), read("", 5, 6)],
        [write("a", 0, 1), write("b", 0.5, 3), read("a", 1.5, 2), read("b", 3, 4)],
    ],
)
def test_histories_of_one_register_pass(history: list[Event]) -> None:
    assert is_linearizable(history)


@pytest.mark.parametrize(
    "history",
    [
        [write("a", 0, 1), read("", 2, 3)],  # stale
        [write("a", 0, 1), write("b", 2, 3), read("b", 4, 5), read("a", 6, 7)],  # back in time
        [write("a", 0, 9), read("a", 1, 2), read("", 3, 4)],  # seen, then not
        [read("a", 0, 1), write("a", 2, 3)],  # from the future
        [write("a", 0), read("a", 1, 2), read("", 3, 4)],  # an unknown write, seen and gone
    ],
)
def test_impossible_histories_fail(history: list[Event]) -> None:
    assert not is_linearizable(history)


def long_history(count: int) -> list[Event]:
    """Five clients that write and read for a long time, some of whose answers got lost; it fits one register."""
    history, random = [write("0", 0, 1)], Random(5)
    for turn in range(1, count):
        at = 10.0 * turn
        history.append(write(str(turn), at, at + 4 if random.random() < 0.9 else math.inf))
        history += [read(str(turn), at + 3, at + 5 + reader) for reader in range(3)]
        history.append(read(str(turn - 1), at - 2, at + 2))
    return history


def test_a_long_history_of_several_clients_is_judged_in_little_time_and_memory() -> None:
    history = long_history(4000)
    tracemalloc.start()
    try:
        assert is_linearizable(history)
        assert tracemalloc.get_traced_memory()[1] < 100 * 1024**2
    finally:
        tracemalloc.stop()
    assert not is_linearizable([*history, read("7", 10**6, 10**6 + 1)])
