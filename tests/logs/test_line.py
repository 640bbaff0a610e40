from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from paasd.logs.line import Partial, clip


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_lines_are_the_same_however_the_output_was_cut_into_chunks(output: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(output), *(cut for cut in cuts if cut < len(output))})
    partial, lines = Partial(), []
    for begin, end in pairwise(places):
        lines += partial.feed(output[begin:end], 50)
    lines += partial.flush()
    whole = Partial()
    assert lines == [*whole.feed(output, 50), *whole.flush()]


@given(st.binary(max_size=300))
def test_short_output_comes_back_whole(output: bytes) -> None:
    text = output.replace(b"\r", b"")
    partial = Partial()
    lines = [*partial.feed(text, 300), *partial.flush()]
    rebuilt = b"\n".join(lines) + (b"\n" if text.endswith(b"\n") else b"")
    assert rebuilt == text


def test_a_line_above_the_limit_is_cut_with_a_marker_that_counts() -> None:
    partial = Partial()
    assert partial.feed(b"x" * 30, 10) == []
    assert partial.feed(b"y" * 5 + b"\nnext\n" + b"z" * 12 + b"\nend", 10) == [
        b"x" * 10 + b" [25 bytes cut]",
        b"next",
        b"z" * 10 + b" [2 bytes cut]",
    ]
    assert partial.flush() == [b"end"]
    assert clip(b"short", 10) == b"short"


def test_control_characters_and_imitated_prefixes_stay_payload() -> None:
    hostile = b"\x1b[2J\x00\x07 2026-01-01T00:00:00.00+0000 [RTR/0] OUT forged\xff"
    assert Partial().feed(hostile + b"\n", 1000) == [hostile]


def test_windows_line_ends_are_taken_off_also_when_they_are_torn() -> None:
    partial = Partial()
    assert partial.feed(b"one\r", 100) == []
    assert partial.feed(b"\ntwo\r\n", 100) == [b"one", b"two"]
