"""Layer images: content-addressed squashfs files, mounted once per node and shared by all containers that use them."""

import hashlib
import os
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from paasd.config import DiskConfig
from paasd.errors import PaasdError
from paasd.sandbox import mounts
from paasd.sandbox.disk import convert
from paasd.sandbox.disk.loops import mount_image
from paasd.sandbox.disk.places import check_places
from paasd.sandbox.disk.probe import squashfs_can_be_idmapped

_SHA256 = re.compile(r"[0-9a-f]{64}")


class ImageDamaged(PaasdError):
    """A layer's bytes are not what its name says."""


@asynccontextmanager
async def open_images(
    config: DiskConfig, *, directory: Path, run_dir: Path, clock: Callable[[], float] = time.time
) -> AsyncIterator["Images"]:
    """Images mounted below `run_dir`; `directory` (data) holds copies for kernels that cannot idmap squashfs.

    Leaving unmounts nothing: containers outlive the daemon. After re-adoption, `mount` what they use and `sweep`.
    """
    for path in (directory, run_dir):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    direct = config.image_format == "squashfs"
    if config.image_format == "auto":
        direct = await trio.to_thread.run_sync(squashfs_can_be_idmapped, run_dir)
    yield Images(config, directory, run_dir, direct=direct, clock=clock)


class Images:
    """Made by `open_images`."""

    def __init__(
        self, config: DiskConfig, directory: Path, run_dir: Path, *, direct: bool, clock: Callable[[], float]
    ) -> None:
        self.direct = direct
        """Whether squashfs is mounted as it is; otherwise an ext4 copy is made at first use."""
        self._directory = directory
        self._run_dir = run_dir
        self._copy_keep_s = config.image_copy_keep_s
        self._copy_limit_bytes = config.image_copy_limit_mb * 1024 * 1024
        self._clock = clock
        self._users: dict[str, int] = {}
        self._locks: dict[str, trio.Lock] = {}

    async def mount(self, path: Path, sha256: str | None = None) -> Path:
        """Mount the image file, count one user, return the mount point. The second user costs microseconds.

        The bytes are checked against `sha256`, or the file's name if that is one, once between boots. Raises
        ImageDamaged, MountError, FileNotFoundError.
        """
        key = _key(path)
        async with self._locks.setdefault(key, trio.Lock()):
            target = self._run_dir / key
            if not self._users.get(key):
                await trio.to_thread.run_sync(partial(self._mount, path, target, sha256))
            self._users[key] = self._users.get(key, 0) + 1
            return target

    async def mount_layer(self, path: Path) -> Path:
        """The same for what lies over a stack. Raises LayerRefused, too, when it would hide files of the stack."""
        target = await self.mount(path)
        try:
            await trio.to_thread.run_sync(check_places, target)
        except BaseException:
            with trio.CancelScope(shield=True):
                await self.release(path)
            raise
        return target

    async def release(self, path: Path) -> None:
        """One user less; the last one unmounts. Releasing what is not counted does nothing."""
        key = _key(path)
        async with self._locks.setdefault(key, trio.Lock()):
            users = self._users.get(key, 0)
            if users > 1:
                self._users[key] = users - 1
            elif users == 1:
                del self._users[key]
                await trio.to_thread.run_sync(partial(_unmount, self._run_dir / key))

    async def sweep(self) -> set[str]:
        """Unmount every image that nobody counts and delete copies unused for long. Returns the keys."""
        gone = set()
        for key in await trio.to_thread.run_sync(self._found):
            async with self._locks.setdefault(key, trio.Lock()):
                if not self._users.get(key):
                    await trio.to_thread.run_sync(partial(self._forget, key))
                    gone.add(key)
        return gone

    def counted(self) -> dict[str, int]:
        """Users by image key."""
        return dict(self._users)

    def _mount(self, path: Path, target: Path, sha256: str | None) -> None:
        if target in mounts.mounted_below(target):
            return
        expected = sha256 or (path.name if _SHA256.fullmatch(path.name) else None)
        if expected is not None:
            self._verify(path, expected)
        if self.direct:
            mount_image(path, target, "squashfs", read_only=True)
            return
        copy = self._directory / f"{target.name}.ext4"
        if not copy.exists():
            convert.squashfs_to_ext4(path, copy, self._run_dir, limit_bytes=self._copy_limit_bytes)
        os.utime(copy, (now := self._clock(), now))
        mount_image(copy, target, "ext4", read_only=True, options="noload")

    def _verify(self, path: Path, expected: str) -> None:
        status = path.stat()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        seen = f"{boot} {status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
        mark = self._run_dir / f"{expected}.verified"
        if mark.exists() and mark.read_text() == seen:
            return
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != expected:
            raise ImageDamaged(
                f"layer {expected[:12]} is damaged on this node (its bytes give {digest[:12]}): restage the app, and "
                "check the disk under the data directory"
            )
        mark.write_text(seen)

    def _found(self) -> set[str]:
        mounted = {
            path.name for path in self._run_dir.iterdir() if path.is_dir() and not path.name.startswith("probe-")
        }
        oldest = self._clock() - self._copy_keep_s
        return mounted | {path.stem for path in self._directory.glob("*.ext4") if path.stat().st_mtime <= oldest}

    def _forget(self, key: str) -> None:
        _unmount(self._run_dir / key)
        copy = self._directory / f"{key}.ext4"
        if copy.exists() and copy.stat().st_mtime <= self._clock() - self._copy_keep_s:
            copy.unlink()


def _key(path: Path) -> str:
    """A neutral name that tenants may see: of the content where the name tells it, else of the file's path."""
    text = path.name if _SHA256.fullmatch(path.name) else str(path)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _unmount(target: Path) -> None:
    # Containers have copies of the mount, so it is busy only while somebody looks into it by this path.
    mounts.unmount_all(target)
    if target.exists():
        target.rmdir()
