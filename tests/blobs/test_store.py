import hashlib
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from paasd.blobs import BlobDamaged, Blobs, DiskFull, open_blobs
from paasd.config import BlobsConfig
from paasd.errors import BadRequest, NotFound, TooLarge
from tests.disks import small_disk_at

CONFIG = BlobsConfig(buffer_bytes=4096, reserve_percent=0)


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def blobs(tmp_path: Path, clock: Clock) -> AsyncIterator[Blobs]:
    async with open_blobs(tmp_path / "blobs", CONFIG, clock=clock, steady=clock) as opened:
        yield opened


def files_in(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


async def store(blobs: Blobs, data: bytes, limit_bytes: int = 1 << 20) -> str:
    async with blobs.writer(limit_bytes) as writer:
        await writer.write(data)
        return (await writer.commit()).sha256


async def test_what_is_streamed_in_is_found_under_its_hash(blobs: Blobs) -> None:
    data = os.urandom(100_000)
    async with blobs.writer(1 << 20) as writer:
        for start in range(0, len(data), 999):
            await writer.write(data[start : start + 999])
        blob = await writer.commit()
    assert blob.sha256 == hashlib.sha256(data).hexdigest()
    assert blob.size_bytes == len(data)
    assert blobs.has(blob.sha256)
    assert blobs.path(blob.sha256).read_bytes() == data
    assert await blobs.verify(blob.sha256) == blobs.stat(blob.sha256) == blob


async def test_an_empty_blob_is_a_blob(blobs: Blobs) -> None:
    async with blobs.writer(10) as writer:
        blob = await writer.commit()
    assert blobs.path(blob.sha256).read_bytes() == b""


async def test_an_upload_left_without_commit_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    async with blobs.writer(1 << 20) as writer:
        await writer.write(bytes(10_000))
        assert len(files_in(tmp_path)) == 1
    assert files_in(tmp_path) == []


async def test_an_upload_that_fails_or_is_cancelled_leaves_nothing(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with blobs.writer(1 << 20) as writer:
            await writer.write(bytes(10_000))
            _ = 1 / 0
    with trio.CancelScope() as scope:
        async with blobs.writer(1 << 20) as writer:
            await writer.write(bytes(10_000))
            scope.cancel()
            await writer.write(bytes(10_000))
    assert scope.cancelled_caught
    assert files_in(tmp_path) == []


async def test_one_byte_above_the_limit_is_too_large(blobs: Blobs, tmp_path: Path) -> None:
    async with blobs.writer(10_000) as writer:
        await writer.write(bytes(10_000))
        kept = await writer.commit()
    with pytest.raises(TooLarge, match="10000 bytes"):
        async with blobs.writer(10_000) as writer:
            await writer.write(bytes(10_000))
            await writer.write(b"x")
    assert files_in(tmp_path) == [blobs.path(kept.sha256)]


async def test_a_writer_that_failed_cannot_be_committed(blobs: Blobs) -> None:
    async with blobs.writer(10) as writer:
        with pytest.raises(TooLarge):
            await writer.write(bytes(11))
        with pytest.raises(RuntimeError, match="failed"):
            await writer.commit()


async def test_the_same_content_twice_is_one_file(blobs: Blobs, tmp_path: Path) -> None:
    assert await store(blobs, b"same") == await store(blobs, b"same")
    assert len(files_in(tmp_path)) == 1


async def test_a_name_that_is_no_hash_never_reaches_the_disk(blobs: Blobs) -> None:
    for name in ("../../etc/passwd", "", "A" * 64, "a" * 63, "a" * 64 + "\n"):
        with pytest.raises(NotFound):
            blobs.path(name)
    with pytest.raises(NotFound, match="not on this node"):
        blobs.path("a" * 64)


async def test_an_adopted_file_is_a_copy_from_its_beginning(blobs: Blobs, tmp_path: Path) -> None:
    source = tmp_path / "image"
    source.write_bytes(b"layer" * 5000)
    with source.open("r+b") as file:
        file.seek(7)
        blob = await blobs.adopt_fd(file.fileno(), 1 << 20)
        file.seek(0)
        file.write(b"changed later")
    assert blobs.path(blob.sha256).read_bytes() == b"layer" * 5000
    with source.open("rb") as file, pytest.raises(TooLarge):
        await blobs.adopt_fd(file.fileno(), 1000)


async def test_only_a_regular_file_is_adopted(blobs: Blobs) -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(BadRequest):
            await blobs.adopt_fd(reader, 1000)
    finally:
        os.close(reader)
        os.close(writer)


async def test_a_damaged_blob_is_found_put_aside_and_can_be_stored_again(blobs: Blobs) -> None:
    sha256 = await store(blobs, b"precious" * 100)
    path = blobs.path(sha256)
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.write(b"P")
    with pytest.raises(BlobDamaged, match="store it again"):
        await blobs.verify(sha256)
    assert not blobs.has(sha256)
    assert await store(blobs, b"precious" * 100) == sha256
    assert (await blobs.verify(sha256)).size_bytes == 800


async def test_a_blob_is_collected_a_day_after_its_last_reference(blobs: Blobs, clock: Clock) -> None:
    used, unused = await store(blobs, b"used"), await store(blobs, b"unused")
    clock.now += 86_399
    assert await blobs.collect({used}) == []
    clock.now += 2
    assert await blobs.collect(set()) == [unused]
    assert blobs.has(used)
    clock.now += 86_399
    assert await blobs.collect(set()) == [used]
    assert not blobs.has(used)


async def test_what_was_put_aside_as_damaged_goes_after_a_day_too(blobs: Blobs, clock: Clock) -> None:
    sha256 = await store(blobs, b"content")
    path = blobs.path(sha256)
    path.chmod(0o600)
    path.write_bytes(b"CONTENT")
    with pytest.raises(BlobDamaged):
        await blobs.verify(sha256)
    aside = path.with_name(path.name + ".damaged")
    clock.now += 86_399
    await blobs.collect(set())
    assert aside.exists()
    clock.now += 2
    await blobs.collect(set())
    assert not aside.exists()


@pytest.mark.parametrize("referenced", [False, True])
async def test_a_blob_that_goes_while_others_are_collected_is_passed_over(
    blobs: Blobs, clock: Clock, monkeypatch: pytest.MonkeyPatch, referenced: bool
) -> None:
    one, two = await store(blobs, b"one"), await store(blobs, b"two")
    clock.now += 86_401

    def listed() -> Iterator[Path]:
        for sha256 in (one, two):
            place = blobs.path(sha256)
            if sha256 == one:
                assert blobs._give_up(one, 0.0)
            yield place

    monkeypatch.setattr(blobs, "_files", listed)
    assert await blobs.collect({one} if referenced else set()) == [two]
    assert not blobs.has(one)


async def test_storing_a_blob_again_counts_as_a_reference(blobs: Blobs, clock: Clock) -> None:
    sha256 = await store(blobs, b"again")
    clock.now += 86_401
    await store(blobs, b"again")
    assert await blobs.collect(set()) == []
    assert blobs.has(sha256)


async def test_leftovers_of_a_killed_upload_are_swept_at_open_and_blobs_stay(tmp_path: Path) -> None:
    script = (
        "import sys, os, signal, trio, pathlib\n"
        "from paasd.blobs import open_blobs\n"
        "async def main():\n"
        "    async with open_blobs(pathlib.Path(sys.argv[1])) as blobs:\n"
        "        async with blobs.writer(1 << 24) as writer:\n"
        "            await writer.write(b'kept')\n"
        "            await writer.commit()\n"
        "        async with blobs.writer(1 << 24) as writer:\n"
        "            await writer.write(bytes(1 << 21))\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "trio.run(main)\n"
    )
    done = await trio.run_process([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert len(files_in(tmp_path)) == 2
    async with open_blobs(tmp_path) as blobs:
        kept = hashlib.sha256(b"kept").hexdigest()
        assert files_in(tmp_path) == [blobs.path(kept)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk_at(tmp_path / "small", "2m") as mount:
        yield mount


@pytest.mark.root
async def test_a_full_disk_is_a_clear_error_and_leaves_nothing(small_disk: Path) -> None:
    async with open_blobs(small_disk, CONFIG) as blobs:
        kept = await store(blobs, b"fits" * 1000)
        with pytest.raises(DiskFull, match="no space left"):
            async with blobs.writer(1 << 30) as writer:
                for _ in range(5000):
                    await writer.write(os.urandom(4096))
        assert files_in(small_disk) == [blobs.path(kept)]
        again = await store(blobs, b"fits too" * 1000)
        assert (await blobs.verify(again)).size_bytes == 8000


@pytest.mark.root
async def test_what_is_new_leaves_a_reserve_of_the_disk_that_copies_may_use(small_disk: Path) -> None:
    async def written(blobs: Blobs, *, secure: bool) -> int:
        """Bytes that go in before there is no more room; in the end nothing of them is left."""
        with pytest.raises(DiskFull, match="blobs.reserve_percent" if secure else "no space left"):
            async with blobs.writer(1 << 30, secure=secure) as writer:
                while True:
                    await writer.write(os.urandom(4096))
        return writer.size_bytes

    async with open_blobs(small_disk, BlobsConfig(buffer_bytes=4096, reserve_percent=25)) as blobs:
        free = os.statvfs(small_disk).f_bavail * 4096
        assert free - await written(blobs, secure=True) in range(480 << 10, 520 << 10)
        assert await written(blobs, secure=False) >= free
    limited = BlobsConfig(buffer_bytes=4096, reserve_percent=25, reserve_limit_bytes=64 << 10)
    async with open_blobs(small_disk, limited) as blobs:
        assert free - await written(blobs, secure=True) in range(50 << 10, 70 << 10)
