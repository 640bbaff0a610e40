"""Refusals are kept so that nobody can change them later unnoticed, and so that a flood costs little."""

from pathlib import Path

import pytest

from paasd import chained_file
from paasd.chained_file import ChainedFile, Record, find_break, old_of, read_records


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def filled(path: Path, clock: Clock, count: int = 5) -> ChainedFile:
    made = ChainedFile(path, clock)
    for number in range(count):
        made.add("join", f"192.0.2.{number}", "token", "no")
    return made


def test_it_goes_on_where_it_ended(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "refusals"
    first = filled(path, clock)
    again = filled(path, clock)
    assert again.count == 10 and again.head != first.head
    records = read_records(path)
    assert [record.number for record in records] == list(range(1, 11))
    assert find_break(records) is None and records[-1].hash == again.head
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda lines: [lines[0], lines[1].replace("192.0.2.1", "192.0.2.9"), *lines[2:]], "record 2 was changed"),
        (lambda lines: [lines[0], *lines[2:]], "between records 1 and 3"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "between records 2 and 1"),
        (lambda lines: [lines[0], "{}", *lines[2:]], "between records 1 and 3"),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], "between records 2 and 2"),
    ],
)
def test_changes_are_seen(tmp_path: Path, clock: Clock, harm: object, says: str) -> None:
    path = tmp_path / "refusals"
    filled(path, clock)
    lines = path.read_text().splitlines()
    path.write_text("\n".join(harm(lines)) + "\n")  # type: ignore[operator]
    found = find_break(read_records(path))
    assert found is not None and says in found


def test_who_makes_the_chain_anew_cannot_make_the_witnessed_head(tmp_path: Path, clock: Clock) -> None:
    witnessed = filled(tmp_path / "one", clock).head
    records = read_records(tmp_path / "one")
    forged: list[Record] = []
    for record in records:
        why = "other" if record.number == 2 else record.why
        previous = forged[-1].hash if forged else record.previous
        forged.append(
            Record(
                number=record.number,
                at=record.at,
                door=record.door,
                address=record.address,
                subject=record.subject,
                why=why,
                previous=previous,
            ).sealed()
        )
    assert find_break(forged) is None
    assert forged[-1].hash != witnessed == records[-1].hash


@pytest.mark.parametrize("torn", [b'{"number":6,"at":1', b"\xff\xff", b'{"number":6}'])
def test_a_line_cut_off_by_a_crash_is_no_break(tmp_path: Path, clock: Clock, torn: bytes) -> None:
    path = tmp_path / "refusals"
    filled(path, clock)
    with path.open("ab") as file:
        file.write(torn)
    filled(path, clock, 2)
    records = read_records(path)
    assert [record.number for record in records] == list(range(1, 8))
    assert find_break(records) is None


def test_a_flood_is_counted_and_not_written(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "refusals"
    made = filled(path, clock, chained_file.PER_MINUTE + 500)
    assert made.count == chained_file.PER_MINUTE
    clock.now += 60
    made.add("join", "198.51.100.1", "", "no")
    assert [record.why for record in read_records(path)[-2:]] == [
        "500 more were turned away and not recorded one by one",
        "no",
    ]


def test_the_files_do_not_grow_for_ever(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chained_file, "FILE_LIMIT_BYTES", 2000)
    path = tmp_path / "refusals"
    made = ChainedFile(path, clock)
    for _ in range(50):
        made.add("join", "a" * 1000, "b" * 1000, "c" * 1000)
        clock.now += 60
    assert path.stat().st_size < 2000 + 1500 and old_of(path).stat().st_size < 2000 + 1500
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["refusals", "refusals.old"]
    assert find_break(read_records(path)) is None
    path.unlink()
    assert ChainedFile(path, clock).count == read_records(path)[-1].number


def test_a_full_disk_closes_no_door(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "refusals"
    made = filled(path, clock)

    def full(*_: object) -> int:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(chained_file.os, "open", full)
        made.add("join", "192.0.2.1", "", "lost")
    made.add("join", "192.0.2.1", "", "kept")
    assert [record.why for record in read_records(path)[-2:]] == [
        "1 more were turned away and not recorded one by one",
        "kept",
    ]
