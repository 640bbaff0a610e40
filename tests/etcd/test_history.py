"""The rules find what they are there for."""

import pytest

from tests.etcd.history import Seen, broken_rules


def grow(value: int, began: float, ended: float) -> Seen:
    return Seen(kind="grow", value=value, began=began, ended=ended)


TAKEN = Seen(kind="name", value="a", began=0)
REFUSED = Seen(kind="name", value="b", began=0, outcome="refused")
GOOD = [grow(0, 0, 1), grow(1, 2, 3), Seen(kind="read", value=2, began=4, ended=5), TAKEN]


def test_a_history_without_faults_breaks_none() -> None:
    unknown = Seen(kind="grow", began=3, outcome="unknown")
    assert broken_rules(GOOD, 2, {"a"}) == []
    assert broken_rules([*GOOD, unknown], 2, {"a"}) == broken_rules([*GOOD, unknown], 3, {"a"}) == []


@pytest.mark.parametrize(
    ("history", "counter", "names", "rule"),
    [
        ([*GOOD, grow(1, 4, 5)], 3, {"a"}, "two were told 1"),
        (GOOD, 1, {"a"}, "the counter is 1 after 2"),
        (GOOD, 3, {"a"}, "the counter is 3 after 2"),
        ([grow(1, 0, 1), grow(0, 2, 3)], 2, set(), "0 was told after 1"),
        ([*GOOD, Seen(kind="read", value=1, began=4, ended=5)], 2, {"a"}, "a read saw 1 when 2"),
        ([*GOOD, Seen(kind="read", value=3, began=4, ended=5)], 2, {"a"}, "a read saw 3 of 2"),
        (GOOD, 2, set(), "a was acknowledged and lost"),
        ([*GOOD, TAKEN], 2, {"a"}, "a was taken twice"),
        (
            [*GOOD, REFUSED],
            2,
            {"a", "b"},
            "b is there and was refused",
        ),
    ],
)
def test_each_fault_breaks_one(history: list[Seen], counter: int, names: set[str], rule: str) -> None:
    assert any(rule in found for found in broken_rules(history, counter, names))
