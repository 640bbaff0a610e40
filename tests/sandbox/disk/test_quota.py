"""Quota disks with a real kernel: bounds, reservations, and that nothing is left after any end."""

import errno
import os
import stat
import statistics
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from paasd.config import DiskConfig
from paasd.errors import Unavailable
from paasd.sandbox import mounts
from paasd.sandbox.disk import Disks, MountError, loops_below, open_disks

pytestmark = pytest.mark.root
MIB = 1024 * 1024
UID = 1879048192


async def all_released(place: Path) -> None:
    """A mount namespace that another process made meanwhile holds its copy of a mount until it ends."""
    with trio.fail_after(20):
        while loops_below(place) != {}:
            await trio.sleep(0.02)


@pytest.fixture
async def disks(place: Path) -> AsyncIterator[Disks]:
    async with open_disks(DiskConfig(), directory=place / "disks", run_dir=place / "run") as opened:
        yield opened
        await opened.sweep(())
        assert await opened.leftovers() == set()
    await all_released(place)
    assert mounts.mounted_below(place) == []


def fill(path: Path) -> int:
    """Bytes written before the disk was full."""
    written = 0
    with path.open("wb", buffering=0) as file:
        while True:
            try:
                written += file.write(b"x" * MIB)
            except OSError as error:
                assert error.errno == errno.ENOSPC
                return written


def flood(directory: Path, limit: int) -> int:
    """Files made before the inodes ran out."""
    for number in range(limit):
        try:
            (directory / str(number)).touch()
        except OSError as error:
            assert error.errno == errno.ENOSPC
            return number
    return limit


async def test_a_full_disk_is_full_for_its_owner_alone(disks: Disks):
    one, two = await disks.create("one", 16 * MIB, 1000, UID), await disks.create("two", 16 * MIB, 1000, UID)
    assert 16 * MIB - 64 * 1024 <= await trio.to_thread.run_sync(fill, one / "big") <= 18 * MIB
    assert await trio.to_thread.run_sync(fill, two / "big") >= 15 * MIB
    usage = disks.usage("one")
    assert usage.used_bytes >= 15 * MIB
    assert usage.size_bytes - usage.used_bytes < MIB


async def test_files_run_out_before_the_host_notices(disks: Disks):
    few, many = await disks.create("few", 16 * MIB, 200, UID), await disks.create("many", 16 * MIB, 2000, UID)
    made = await trio.to_thread.run_sync(flood, few, 1000)
    assert 190 <= made < 300
    assert await trio.to_thread.run_sync(flood, many, 1000) == 1000
    assert disks.usage("few").used_inodes == disks.usage("few").inodes


async def test_the_root_belongs_to_the_container_and_is_empty(disks: Disks):
    root = await disks.create("one", 16 * MIB, 100, UID)
    status = root.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (UID, UID, 0o755)
    assert list(root.iterdir()) == []


async def test_devices_and_setuid_do_not_work_on_it(disks: Disks, tmp_path: Path):
    root = await disks.create("one", 16 * MIB, 100, UID)
    for directory in (root, tmp_path):
        os.mknod(directory / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (tmp_path / "null").read_bytes()
    with pytest.raises(PermissionError):
        (root / "null").read_bytes()
    assert os.statvfs(root).f_flag & os.ST_NOSUID


async def test_space_is_promised_once(place: Path):
    """On a file system of 64 MiB of its own, so that nobody else moves its free space."""
    small = place / "small"
    small.mkdir()
    mounts.mount("none", small, "tmpfs", 0, "size=64m")
    async with open_disks(DiskConfig(reserve_mb=10), directory=small / "disks", run_dir=place / "run") as disks:
        await disks.create("one", 30 * MIB, 100, UID)
        with pytest.raises(Unavailable, match=r"cannot promise 30 MB of disk: \d+ MB are left.*lower disk_quota"):
            await disks.create("two", 30 * MIB, 100, UID)
        assert await disks.leftovers() == {"one"}
        await trio.to_thread.run_sync(fill, place / "run/one/big")
        assert disks.available_bytes() < 24 * MIB, "what was written is not counted twice, nor forgotten"
        await disks.destroy("one")
        await disks.create("two", 30 * MIB, 100, UID)
        await disks.sweep(())
    async with open_disks(
        DiskConfig(reserve_mb=10, overcommit=2), directory=small / "disks", run_dir=place / "run"
    ) as disks:
        for name in ("one", "two"):
            await disks.create(name, 30 * MIB, 100, UID)
        await disks.sweep(())


async def test_sixty_disks_come_and_go_twice_without_a_trace(disks: Disks, place: Path):
    """Also shows that loop devices beyond the eight of a fresh kernel are made on demand."""
    descriptors = sum(1 for _ in Path("/proc/self/fd").iterdir())
    up, down = [], []
    for _ in range(2):
        for number in range(60):
            start = time.perf_counter()
            await disks.create(f"disk-{number}", 16 * MIB, 10_000, UID)
            up.append(time.perf_counter() - start)
        assert len(loops_below(place)) == 60
        for number in range(60):
            start = time.perf_counter()
            await disks.destroy(f"disk-{number}")
            down.append(time.perf_counter() - start)
        await all_released(place)
    print(f"create p50 {statistics.median(up) * 1000:.1f} ms, destroy p50 {statistics.median(down) * 1000:.1f} ms")
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == descriptors


async def test_many_at_once_do_not_fight_over_loop_devices(disks: Disks, place: Path):
    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(disks.create, f"disk-{number}", 8 * MIB, 100, UID)
    assert len(set(loops_below(place).values())) == 20


async def test_a_disk_in_use_goes_with_its_last_user(disks: Disks, place: Path):
    root = await disks.create("one", 16 * MIB, 100, UID)
    with (root / "held").open("wb") as held:
        await disks.destroy("one")
        held.write(b"still there")
        held.flush()
        assert len(loops_below(place)) == 1
    with trio.fail_after(5):
        while loops_below(place):
            await trio.sleep(0.01)


CRASHES = {
    "mounted": """
async def main():
    async with open_disks(DiskConfig(), directory=place / "disks", run_dir=place / "run") as disks:
        await disks.create("one", 1 << 24, 100, 0)
        os.kill(os.getpid(), 9)
trio.run(main)
""",
    "attached": """
(place / "disks").mkdir()
(place / "disks/one.ext4").write_bytes(bytes(1 << 20))
with loops._attached(place / "disks/one.ext4", read_only=False):
    assert loops.loops_below(place)
    os.kill(os.getpid(), 9)
""",
    "reserved": """
async def main():
    async with open_disks(DiskConfig(), directory=place / "disks", run_dir=place / "run") as disks:
        disks._reserve(place / "disks/one.ext4", 1 << 24, 100)
        os.kill(os.getpid(), 9)
trio.run(main)
""",
}


@pytest.mark.parametrize("moment", CRASHES)
async def test_a_killed_daemon_leaves_nothing_that_a_sweep_does_not_find(place: Path, moment: str):
    head = "import os, sys, trio\nfrom pathlib import Path\nfrom paasd.config import DiskConfig\n"
    head += "from paasd.sandbox.disk import loops, open_disks\nplace = Path(sys.argv[1])\n"
    died = await trio.run_process([sys.executable, "-c", head + CRASHES[moment], str(place)], check=False)
    assert died.returncode == -9
    assert bool(loops_below(place)) == (moment == "mounted")
    async with open_disks(DiskConfig(), directory=place / "disks", run_dir=place / "run") as disks:
        assert await disks.sweep(()) == {"one"}
    await all_released(place)
    assert not any((place / "disks").iterdir())


async def test_a_cancelled_create_leaves_nothing(disks: Disks, place: Path):
    for after_s in (0.0, 0.002, 0.005, 0.01):
        with trio.move_on_after(after_s):
            await disks.create("one", 16 * MIB, 100, UID)
            await trio.sleep_forever()
        await disks.destroy("one")
        assert await disks.leftovers() == set()
        await all_released(place)


async def test_a_copied_file_system_is_as_sound_as_a_made_one(disks: Disks, place: Path):
    first = await disks.create("one", 16 * MIB, 1000, UID)
    await trio.to_thread.run_sync(fill, first / "big")
    other = await disks.create("two", 16 * MIB, 1000, 2 * UID)
    larger = await disks.create("three", 32 * MIB, 1000, UID)
    assert list(other.iterdir()) == []
    assert other.stat().st_uid == other.stat().st_gid == 2 * UID
    assert disks.usage("two").size_bytes == disks.usage("one").size_bytes < disks.usage("three").size_bytes
    assert disks.usage("two").inodes == disks.usage("one").inodes
    (other / "file").write_text("kept")
    (larger / "file").write_text("kept")
    for guid, target in (("two", other), ("three", larger)):
        mounts.unmount_all(target)
        done = await trio.run_process(
            ["e2fsck", "-f", "-n", str(place / "disks" / f"{guid}.ext4")], check=False, capture_stdout=True
        )
        assert done.returncode == 0, done.stdout


async def test_what_cannot_be_made_says_why(disks: Disks, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with pytest.raises(MountError, match=r"mkfs\.ext4 failed: .*inodes"):
        await disks.create("one", 4096, 3_000_000, UID)
    monkeypatch.setattr("paasd.programs.DIRECTORIES", (str(tmp_path),))
    with pytest.raises(MountError, match=r"mkfs\.ext4 is not installed: apt-get install e2fsprogs"):
        await disks.create("one", 16 * MIB, 100, UID)
    assert await disks.leftovers() == set()
    with pytest.raises(ValueError, match="not a disk name"):
        await disks.create("../one", 16 * MIB, 100, UID)


async def test_a_disk_is_mounted_again_after_a_reboot(disks: Disks, place: Path):
    root = await disks.create("one", 16 * MIB, 100, UID)
    (root / "kept").write_text("yes")
    mounts.unmount(root)
    assert not (root / "kept").exists()
    assert (await disks.mount("one") / "kept").read_text() == "yes"
