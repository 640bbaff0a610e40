import base64
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from paasd.state import Database
from paasd.state.sealing import (
    DataKey,
    RootKey,
    Sealer,
    SealingError,
    change_root_key,
    load_root_key,
    open_sealer,
    rotate_data_key,
)
from tests.state.things import open_things


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with open_things(tmp_path / "data") as opened:
        yield opened


ROOT = RootKey(bytes(range(32)))


async def test_a_secret_opens_in_its_own_context_only(database: Database) -> None:
    sealer = await open_sealer(database, ROOT)
    sealed = sealer.seal(b"hunter2", "apps/1/environment")
    assert sealer.open(sealed, "apps/1/environment") == b"hunter2"
    with pytest.raises(SealingError, match="does not open as apps/2/environment"):
        sealer.open(sealed, "apps/2/environment")
    assert sealer.open(sealer.seal(b"", "x"), "x") == b""


@pytest.mark.parametrize("value", ["", "p1.x", "p1.x.\u00e9", "p1.x.a", "p2.x.AAAA"])
async def test_what_was_never_sealed_is_refused_in_one_way(database: Database, value: str) -> None:
    sealer = await open_sealer(database, ROOT)
    with pytest.raises(SealingError):
        sealer.open(value, "x")


async def test_the_same_secret_is_never_sealed_the_same_way_twice(database: Database) -> None:
    sealer = await open_sealer(database, ROOT)
    assert len({sealer.seal(b"a", "x") for _ in range(100)}) == 100


async def test_neither_secrets_nor_keys_stand_in_the_database_file(database: Database) -> None:
    sealer = await open_sealer(database, ROOT)
    sealed = sealer.seal(b"a very secret text", "x")
    with database.read() as tx:
        [row] = tx.all(DataKey)
    key = ROOT.open_key(row)
    assert len(key) == 32
    data = database.path.with_name("state.db-wal").read_bytes()
    for secret in (key, base64.b64encode(key), base64.urlsafe_b64encode(key), bytes(range(32))):
        assert secret not in data
    assert row.guid.encode() in data, "the file that was searched has the row"
    assert b"very secret" not in base64.urlsafe_b64decode(sealed.split(".")[2])


@pytest.mark.parametrize("position", [0, 3, 22, 40, -1])
async def test_a_changed_value_does_not_open(database: Database, position: int) -> None:
    sealer = await open_sealer(database, ROOT)
    sealed = sealer.seal(b"twenty bytes of text", "x")
    letters = list(sealed)
    letters[position] = "A" if letters[position] != "A" else "B"
    with pytest.raises(SealingError):
        sealer.open("".join(letters), "x")
    assert sealer.open(sealed, "x")


@pytest.mark.parametrize("value", ["", "p1", "p1.", "p1.nokey.AAAA", "p2.a.b", "p1.k.%%%", "plain text"])
async def test_what_is_no_sealed_value_is_an_error(database: Database, value: str) -> None:
    sealer = await open_sealer(database, ROOT)
    with pytest.raises(SealingError):
        sealer.open(value, "x")


async def test_after_rotation_new_secrets_use_the_new_key_and_old_ones_open(database: Database) -> None:
    sealer = await open_sealer(database, ROOT)
    old = sealer.seal(b"old", "x")
    guid = await rotate_data_key(database, ROOT)
    new = sealer.seal(b"new", "x")
    assert old.split(".")[1] != guid == new.split(".")[1]
    assert (sealer.open(old, "x"), sealer.open(new, "x")) == (b"old", b"new")
    with database.read() as tx:
        assert tx.count(DataKey) == 2
        assert [key.guid for key in tx.all(DataKey, active=True)] == [guid]


async def test_the_root_key_can_be_changed_without_sealing_secrets_again(database: Database) -> None:
    sealed = (await open_sealer(database, ROOT)).seal(b"kept", "x")
    await rotate_data_key(database, ROOT)
    new = RootKey(os.urandom(32))
    assert await change_root_key(database, ROOT, new) == 2
    assert (await open_sealer(database, new)).open(sealed, "x") == b"kept"
    with pytest.raises(SealingError, match="restore the root-key file"):
        await open_sealer(database, ROOT)


async def test_a_second_node_opens_what_the_first_sealed(tmp_path: Path) -> None:
    async with open_things(tmp_path / "one") as database:
        sealed = (await open_sealer(database, ROOT)).seal(b"shared", "x")
    async with open_things(tmp_path / "one") as database:
        assert (await open_sealer(database, ROOT)).open(sealed, "x") == b"shared"
        with database.read() as tx:
            assert tx.count(DataKey) == 1


def test_without_an_active_key_nothing_is_sealed() -> None:
    with pytest.raises(SealingError, match="no active data key"):
        Sealer(ROOT, list).seal(b"x", "x")


def test_the_root_key_is_made_once_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "root-key"
    made = load_root_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_root_key(path).id == made.id
    assert load_root_key(tmp_path / "other").id != made.id
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "root-key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_root_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "root-key"
    load_root_key(path)
    path.chmod(mode)
    with pytest.raises(SealingError, match="chmod 600"):
        load_root_key(path)
    path.chmod(0o600)
    load_root_key(path)


@pytest.mark.parametrize("text", [b"", b"short", base64.b64encode(bytes(31)), b"\xff" * 44])
def test_a_file_that_is_no_root_key_is_refused_and_left_alone(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "root-key"
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(SealingError, match="restore it from a backup"):
        load_root_key(path)
    assert path.read_bytes() == text


def test_a_root_key_behind_a_link_is_refused(tmp_path: Path) -> None:
    load_root_key(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(SealingError, match="cannot read"):
        load_root_key(tmp_path / "link")
