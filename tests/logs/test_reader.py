from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from paasd.logs.reader import Cursor, Read, SpoolReader
from paasd.logs.segments import numbers, record

from .conftest import Shim


def open_reader(directory: Path, cursor: Cursor | None = None) -> SpoolReader:
    return SpoolReader(directory, cursor or Cursor(), line_limit_bytes=64, read_bytes=4096)


def drain(reader: SpoolReader) -> list[Read]:
    found: list[Read] = []
    while (step := reader.read()) is not None:
        found += step
    return found


def test_a_spool_that_does_not_exist_yet_has_nothing(tmp_path: Path) -> None:
    assert open_reader(tmp_path / "absent").read() is None


def test_both_streams_are_put_together_apart_from_each_other(shim: Shim) -> None:
    shim.write(b"to be ")
    shim.write(b"error\n", stream=2)
    shim.write(b"continued\n")
    found = drain(open_reader(shim.directory))
    assert [(read.stream, read.payload) for read in found] == [("ERR", b"error"), ("OUT", b"to be continued")]


def test_lines_of_one_record_get_times_of_their_own_and_a_clock_set_back_is_believed(shim: Shim) -> None:
    shim.write(b"a\nb\nc\n")
    first = shim.at_ns
    shim.at_ns -= 3_600_000_000_000
    shim.write(b"d\n")
    assert [read.at_ns for read in drain(open_reader(shim.directory))] == [first, first + 1, first + 2, shim.at_ns]


def test_lost_bytes_and_damage_are_counted_in_the_stream(shim: Shim) -> None:
    shim.write(b"before\n")
    shim.lose(777)
    shim.raw(b"\xee" * 100)
    shim.roll()
    shim.write(b"after\n")
    found = drain(open_reader(shim.directory))
    assert [(read.payload, read.lost_bytes) for read in found] == [
        (b"before", 0),
        (b"", 777),
        (b"", 100),
        (b"after", 0),
    ]


def test_a_record_that_its_writer_never_finished_is_counted_once_there_is_a_later_segment(shim: Shim) -> None:
    shim.write(b"whole\n")
    torn = record(shim.tick(), 1, b"torn record\n")[:-4]
    shim.raw(torn)
    reader = open_reader(shim.directory)
    assert [read.payload for read in drain(reader)] == [b"whole"]
    shim.roll()
    shim.write(b"next\n")
    assert [(read.payload, read.lost_bytes) for read in drain(reader)] == [(b"", len(torn)), (b"next", 0)]


def test_a_record_larger_than_a_step_is_read(shim: Shim) -> None:
    shim.write(b"\n".join([b"x" * 50] * 1000) + b"\n")
    assert len(drain(open_reader(shim.directory))) == 1000


def test_segments_are_removed_only_when_read_and_the_last_one_stays(shim: Shim) -> None:
    for number in range(3):
        shim.write(b"%d\n" % number)
        shim.roll()
    reader = open_reader(shim.directory)
    reader.read()
    reader.discard_read_segments()
    assert numbers(shim.directory) == [0, 1, 2, 3]
    drain(reader)
    reader.discard_read_segments()
    assert numbers(shim.directory) == [3]


def test_a_record_of_many_lines_is_taken_in_steps_and_a_kill_between_them_costs_nothing(shim: Shim) -> None:
    wanted = [b"%d" % number for number in range(10_000)]
    shim.write(b"\n".join(wanted) + b"\n")
    shim.write(b"\n" * 20_000)
    got: list[bytes] = []
    reader = open_reader(shim.directory)
    while (step := reader.read()) is not None:
        assert len(step) < 1000 + 4096
        got += [read.payload for read in step]
        saved = msgspec.msgpack.encode(reader.cursor)
        reader = open_reader(shim.directory, msgspec.msgpack.decode(saved, type=Cursor))
    assert got == wanted + [b""] * 20_000


def test_what_has_not_been_read_is_known(shim: Shim) -> None:
    shim.write(b"x" * 100 + b"\n")
    reader = open_reader(shim.directory)
    shim.lose(1000)
    assert reader.unread_bytes() == 1101
    drain(reader)
    assert reader.unread_bytes() == 0


STEPS = st.lists(
    st.one_of(
        st.builds(lambda data, err: ("write", data, 1 + err), st.binary(min_size=1, max_size=90), st.booleans()),
        st.just(("roll",)),
        st.just(("read",)),
        st.just(("commit",)),
        st.just(("kill",)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_killed_at_any_point_nothing_is_lost_and_nothing_comes_twice(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    """Lines count when the transaction with their cursor is made; a kill forgets everything after it."""
    with TemporaryDirectory() as directory:
        shim = Shim(Path(directory) / "spool")
        stored: list[Read] = []
        saved = msgspec.msgpack.encode(Cursor())
        written = {1: b"", 2: b""}
        pending: list[Read] = []
        reader = open_reader(shim.directory)

        def commit() -> None:
            nonlocal saved, pending
            stored.extend(pending)
            pending = []
            saved = msgspec.msgpack.encode(reader.cursor)

        for step in steps:
            match step:
                case ("write", data, stream):
                    data = data.replace(b"\r", b"")
                    shim.write(data, stream)
                    written[stream] += data
                case ("roll",):
                    shim.roll()
                case ("read",):
                    pending += reader.read() or []
                case ("commit",):
                    commit()
                    reader.discard_read_segments()
                case ("kill",):
                    pending = []
                    reader = open_reader(shim.directory, msgspec.msgpack.decode(saved, type=Cursor))
        pending += [*drain(reader), *reader.flush()]
        commit()
        for stream, name in ((1, "OUT"), (2, "ERR")):
            expected = written[stream].split(b"\n")
            if not expected[-1]:
                expected.pop()
            got = [read.payload for read in stored if read.stream == name]
            assert [line[:64] for line in got] == [line[:64] for line in expected]
        times = [read.at_ns for read in stored]
        assert times == sorted(set(times))
