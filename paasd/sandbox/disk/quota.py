"""Quota disks: a sparse ext4 file of fixed size per container, loop-mounted. Full means ENOSPC for its owner alone."""

import os
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
import trio

from paasd.config import DiskConfig
from paasd.errors import Unavailable
from paasd.sandbox import mounts
from paasd.sandbox.disk.blank import BLOCK_BYTES, INODE_BYTES, Blanks
from paasd.sandbox.disk.loops import mount_image

_GUID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_MIB = 1024 * 1024
T = TypeVar("T")


class DiskUsage(msgspec.Struct, frozen=True):
    """What a container uses of its disk. `size_bytes` is what it may use."""

    used_bytes: int
    size_bytes: int
    used_inodes: int
    inodes: int


@asynccontextmanager
async def open_disks(config: DiskConfig, *, directory: Path, run_dir: Path) -> AsyncIterator["Disks"]:
    """Disks in `directory` (data), mounted below `run_dir`. Leaving keeps them: containers outlive the daemon."""
    for path in (directory, run_dir):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    yield Disks(config, directory, run_dir)


class Disks:
    """Made by `open_disks`. Methods may run at the same time for different guids."""

    def __init__(self, config: DiskConfig, directory: Path, run_dir: Path) -> None:
        self._config = config
        self._directory = directory
        self._run_dir = run_dir
        # Reserving looks at all disks and then adds one: one at a time, or two could take the same space.
        self._reserving = trio.Lock()
        self._limiter = trio.CapacityLimiter(4)
        self._blanks = Blanks()

    async def create(self, guid: str, size_bytes: int, inodes: int, uid_base: int) -> Path:
        """Make and mount a disk with room for `size_bytes`; its root belongs to `uid_base`. Returns the mount point.

        A disk of the same guid is destroyed first. Raises Unavailable when the node has not that much space to
        promise, MountError when the kernel refuses. After an error nothing is left.
        """
        if _GUID.fullmatch(guid) is None:
            raise ValueError(f"not a disk name: {guid!r}")
        await self.destroy(guid)
        file, target = self._file(guid), self._run_dir / guid
        try:
            async with self._reserving:
                await self._in_thread(partial(self._reserve, file, size_bytes, inodes))
            await self._in_thread(partial(_make, self._blanks, file, target, inodes, uid_base))
        except BaseException:
            with trio.CancelScope(shield=True):
                await self.destroy(guid)
            raise
        return target

    async def destroy(self, guid: str) -> None:
        """Unmount and delete; nothing happens when there is none. A disk still in use goes away with its last user."""
        await self._in_thread(partial(_remove, self._file(guid), self._run_dir / guid))

    async def mount(self, guid: str) -> Path:
        """Mount an existing disk again, for instance after a reboot; returns the mount point."""
        target = self._run_dir / guid
        await self._in_thread(partial(_mount, self._file(guid), target))
        return target

    async def sweep(self, keep: Iterable[str]) -> set[str]:
        """Destroy every disk outside `keep`, also half-made ones. Returns their guids."""
        extra = await self.leftovers() - set(keep)
        for guid in extra:
            await self.destroy(guid)
        return extra

    async def leftovers(self) -> set[str]:
        """Guids of which there is a file, a mount point or a mount."""
        return await self._in_thread(self._found)

    def usage(self, guid: str) -> DiskUsage:
        """Space and inodes in use. Raises FileNotFoundError when there is no such disk; takes microseconds."""
        found = os.statvfs(self._run_dir / guid)
        return DiskUsage(
            (found.f_blocks - found.f_bfree) * found.f_frsize,
            found.f_blocks * found.f_frsize,
            found.f_files - found.f_ffree,
            found.f_files,
        )

    def available_bytes(self) -> int:
        """What may still be promised: free space, less what disks may yet fill, less the node's reserve."""
        found = os.statvfs(self._directory)
        unfilled = 0
        for file in self._directory.glob("*.ext4"):
            try:
                status = file.stat()
            except FileNotFoundError:
                continue
            unfilled += max(status.st_size - status.st_blocks * 512, 0)
        free = found.f_bavail * found.f_frsize - self._config.reserve_mb * _MIB
        return int(free * self._config.overcommit) - unfilled

    def _file(self, guid: str) -> Path:
        return self._directory / f"{guid}.ext4"

    def _reserve(self, file: Path, size_bytes: int, inodes: int) -> None:
        # Inode tables come on top of what the container was promised.
        total = size_bytes + inodes * INODE_BYTES + 2 * _MIB
        total += -total % BLOCK_BYTES
        available = self.available_bytes()
        if total > available:
            raise Unavailable(
                f"this node cannot promise {size_bytes // _MIB} MB of disk: {max(available, 0) // _MIB} MB are left "
                "after what running apps may still write; lower disk_quota, stop apps, or enlarge the data directory"
            )
        with file.open("xb") as out:
            out.truncate(total)

    def _found(self) -> set[str]:
        files = {path.stem for path in self._directory.glob("*.ext4")}
        return files | {path.name for path in self._run_dir.iterdir()}

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(work, limiter=self._limiter)


def _make(blanks: Blanks, file: Path, target: Path, inodes: int, uid_base: int) -> None:
    blanks.write(file, inodes)
    _mount(file, target)
    (target / "lost+found").rmdir()
    os.chown(target, uid_base, uid_base)


def _mount(file: Path, target: Path) -> None:
    mount_image(file, target, "ext4", read_only=False, options="errors=remount-ro,init_itable=0")


def _remove(file: Path, target: Path) -> None:
    mounts.unmount_all(target)
    if target.exists():
        target.rmdir()
    file.unlink(missing_ok=True)
