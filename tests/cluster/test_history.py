"""The judge of histories tells good ones from bad ones."""

import math

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


def test_a_long_history_of_several_clients_is_judged_quickly() -> None:
    history = [write(str(n), n, n + 3) for n in range(0, 300, 2)]
    history += [read(str(n), n + 3.5, n + 3.6) for n in range(2, 300, 2) if n % 4 == 0 and n >= 4]
    assert isinstance(is_linearizable(history), bool)
