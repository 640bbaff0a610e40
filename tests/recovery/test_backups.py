"""The file of a backup: only the whole one, unchanged, under its passphrase, opens."""

from pathlib import Path

import pytest

from paasd.state import take_snapshot
from paasd.state.backups import (
    BackupRefused,
    Cost,
    check_passphrase,
    read_head,
    read_kept_files,
    seal_backup,
    unpack_backup,
)
from paasd.state.checking import contents
from tests.state.things import AddThing, add_thing, open_things

PASSPHRASE = "correct horse battery"
CHEAP = Cost(memory_kib=64, passes=1)
FILES = {"root-key": b"key of keys", "certificates/ca.key": b"ca"}


async def made(folder: Path, things: int = 3, padding: int = 0) -> Path:
    """A backup of a database with so many things, whose names are that much longer."""
    async with open_things(folder / "data") as database:
        for number in range(things):
            await database.write(add_thing, AddThing(f"n{number}" + "x" * padding))
        manifest = take_snapshot(database.path, folder / "snapshots", 1234.5)
    file = folder / "one.backup"
    snapshot = folder / "snapshots" / manifest.folder / "state.db"
    file.write_bytes(b"".join(seal_backup(snapshot, manifest, FILES, PASSPHRASE, "1.2.3", CHEAP)))
    return file


async def test_a_backup_gives_back_the_database_and_the_files(tmp_path: Path) -> None:
    file = await made(tmp_path, things=40, padding=60_000)
    assert file.stat().st_size > 2_200_000, "several boxes"
    head, files = unpack_backup(file, PASSPHRASE, tmp_path / "out.db")
    assert files == FILES
    assert (head.paasd, head.manifest.taken_at_s) == ("1.2.3", 1234.5)
    assert read_head(file) == head
    assert contents(tmp_path / "out.db") == contents(tmp_path / "data" / "state.db")


async def test_nothing_of_it_can_be_read_without_the_passphrase(tmp_path: Path) -> None:
    file = await made(tmp_path)
    assert b"key of keys" not in file.read_bytes()
    assert b"SQLite format" not in file.read_bytes()
    with pytest.raises(BackupRefused, match="passphrase"):
        unpack_backup(file, "correct horse batterie", tmp_path / "out.db")
    assert (tmp_path / "out.db").stat().st_size == 0 if (tmp_path / "out.db").exists() else True


async def test_a_backup_that_was_changed_anywhere_does_not_open(tmp_path: Path) -> None:
    file = await made(tmp_path)
    whole = file.read_bytes()
    for place in [*range(0, 400, 7), *range(400, len(whole), len(whole) // 40), len(whole) - 1]:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(BackupRefused):
            unpack_backup(file, PASSPHRASE, None)


async def test_a_backup_that_was_cut_off_anywhere_does_not_open(tmp_path: Path) -> None:
    file = await made(tmp_path, things=40, padding=60_000)
    whole = file.read_bytes()
    first_box = len(whole.split(b"\n")[0]) + len(whole.split(b"\n")[1]) + 2
    ends = [0, 5, first_box - 1, first_box]
    while first_box < len(whole):  # behind each box too, where only the mark of the last one tells
        first_box += 4 + int.from_bytes(whole[first_box : first_box + 4])
        ends += [first_box - 1, first_box]
    assert len(ends) > 10
    for end in ends[:-1]:
        file.write_bytes(whole[:end])
        with pytest.raises(BackupRefused):
            unpack_backup(file, PASSPHRASE, None)
    file.write_bytes(whole + whole[-40:])
    with pytest.raises(BackupRefused):
        unpack_backup(file, PASSPHRASE, None)


async def test_a_head_cannot_make_the_reader_spend_all_its_memory(tmp_path: Path) -> None:
    file = await made(tmp_path)
    file.write_bytes(file.read_bytes().replace(b'"memory_kib":64', b'"memory_kib":640000000'))
    with pytest.raises(BackupRefused, match="memory"):
        unpack_backup(file, PASSPHRASE, None)


async def test_a_short_passphrase_and_a_node_without_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BackupRefused, match="needs 12"):
        check_passphrase("short")
    with pytest.raises(BackupRefused, match="control node"):
        read_kept_files(tmp_path)
