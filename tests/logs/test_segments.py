import pytest
from hypothesis import given
from hypothesis import strategies as st

from paasd.logs.segments import LOST, Damaged, Entry, parse, record

ENTRIES = st.lists(
    st.one_of(
        st.builds(lambda at, payload: (at, 1, payload), st.integers(0, 2**63), st.binary(max_size=40)),
        st.builds(lambda at, payload: (at, 2, payload), st.integers(0, 2**63), st.binary(max_size=40)),
        st.builds(lambda at, n: (at, LOST, n.to_bytes(8, "little")), st.integers(0, 2**63), st.integers(1, 2**40)),
    ),
    max_size=8,
)


@given(ENTRIES, st.integers(0, 60))
def test_records_are_read_back_and_an_unfinished_one_is_left(records: list[tuple[int, int, bytes]], cut: int) -> None:
    encoded = [record(*each) for each in records]
    data = b"".join(encoded)
    entries, used = parse(data)
    assert used == len(data)
    assert [(entry.at_ns, entry.stream) for entry in entries] == [(at, stream) for at, stream, _ in records]
    shorter = data[: max(0, len(data) - cut)]
    some, used = parse(shorter)
    assert entries[: len(some)] == some
    assert used == sum(map(len, encoded[: len(some)])) <= len(shorter)
    assert len(some) == len(records) or used + len(encoded[len(some)]) > len(shorter)


def test_damage_is_told_only_after_the_good_records_in_front_of_it_were_handed_over() -> None:
    good = record(5, 1, b"good")
    entries, used = parse(good + b"\xee" * 64)
    assert (entries, used) == ([Entry(5, 1, b"good")], len(good))
    with pytest.raises(Damaged):
        parse(b"\xee" * 64)


def test_a_lost_record_carries_the_count() -> None:
    assert parse(record(9, LOST, (4096).to_bytes(8, "little")))[0] == [Entry(9, LOST, b"", 4096)]
