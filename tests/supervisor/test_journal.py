from pathlib import Path

from paasd.supervisor.journal import Journal, Memory

MEMORY = Memory(epoch=3, crash_count=2, crashed_at=10.5, details="fell")


def test_a_memory_belongs_to_its_epoch_and_survives_a_new_journal(tmp_path: Path) -> None:
    Journal(tmp_path).write("i", MEMORY)
    assert Journal(tmp_path).read("i", 3) == MEMORY
    assert Journal(tmp_path).read("i", 4) == Memory(epoch=4)
    assert Journal(tmp_path).read("other", 1) == Memory(epoch=1)


def test_a_torn_file_is_as_good_as_none(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write("i", MEMORY)
    (tmp_path / "i.json").write_bytes(b'{"epoch": 3, "cra')
    assert journal.read("i", 3) == Memory(epoch=3)


def test_what_is_left_of_instances_that_are_no_more_is_removed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for guid in ("kept", "gone"):
        journal.write(guid, MEMORY)
    (tmp_path / "half.new").touch()
    journal.keep_only({"kept"})
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]
    journal.forget("kept")
    journal.forget("kept")
    assert list(tmp_path.iterdir()) == []
