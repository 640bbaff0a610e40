"""Loop devices that free themselves: every one is attached with LO_FLAGS_AUTOCLEAR. Functions block for milliseconds.

The device lives as long as somebody holds it open or mounted, so a crash at any point leaks none. Source: loop(4).
"""

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from paasd.errors import PaasdError, Unavailable
from paasd.sandbox.mounts import MS_NOATIME, MS_NODEV, MS_NOSUID, MS_RDONLY, mount

_CONTROL = "/dev/loop-control"
_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_READ_ONLY, _AUTOCLEAR = 1, 4
_MAJOR = 7
# struct loop_config: fd, block size, loop_info64 (flags in its 9th field, then names, key and init), reserved words.
_LOOP_CONFIG = struct.Struct("=II5Q4I64s64s32s2Q8Q")
_ATTEMPTS = 64


class MountError(PaasdError):
    """An image or a quota disk could not be mounted; the detail has the kernel's reason and what to do."""


@contextmanager
def _attached(backing: Path, *, read_only: bool) -> Iterator[str]:
    """Attach `backing` to a free loop device for the time of the block; a mount made in it keeps the device."""
    mode = os.O_RDONLY if read_only else os.O_RDWR
    flags = _AUTOCLEAR | (_READ_ONLY if read_only else 0)
    file = os.open(backing, mode | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        device, path = _configure(file, flags, str(backing))
    finally:
        os.close(file)
    try:
        yield path
    finally:
        os.close(device)


def _configure(file: int, flags: int, name: str) -> tuple[int, str]:
    config = _LOOP_CONFIG.pack(file, 0, 0, 0, 0, 0, 0, 0, 0, 0, flags, os.fsencode(name)[-63:], b"", b"", *([0] * 10))
    control = os.open(_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTEMPTS):
            # The kernel makes a further device when all are taken; another process may still be quicker than we are.
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            path = f"/dev/loop{number}"
            device = os.open(_node(path, number), os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, config)
                return device, path
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:
                    raise
    finally:
        os.close(control)
    raise Unavailable(f"no loop device became free in {_ATTEMPTS} attempts; see losetup -a")


def _node(path: str, number: int) -> str:
    """devtmpfs makes the node; in a container with a /dev of its own nobody does."""
    if not Path(path).exists():
        try:
            os.mknod(path, 0o660 | stat.S_IFBLK, os.makedev(_MAJOR, number))
        except FileExistsError:
            pass
    return path


def mount_image(backing: Path, target: Path, fstype: str, *, read_only: bool, options: str = "") -> None:
    """Mount a file as `fstype` at `target` (made if missing), nosuid and nodev. Raises MountError."""
    target.mkdir(parents=True, exist_ok=True)
    flags = MS_NOSUID | MS_NODEV | MS_NOATIME | (MS_RDONLY if read_only else 0)
    try:
        with _attached(backing, read_only=read_only) as device:
            mount(device, target, fstype, flags, options)
    except OSError as error:
        raise MountError(f"cannot mount {backing.name} as {fstype}: {error.strerror}{_hint(error, fstype)}") from error


def _hint(error: OSError, fstype: str) -> str:
    if error.filename == _CONTROL:
        return "; this kernel has no loop devices: modprobe loop"
    return f"; does this kernel know {fstype}? modprobe {fstype}" if error.errno == errno.ENODEV else ""


def loops_below(directory: Path) -> dict[str, str]:
    """Loop devices whose backing file is (or was) below `directory`: device name to file."""
    prefix = str(directory.resolve()) + "/"
    found = {}
    for link in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            backing = link.read_text().rstrip("\n")
        except OSError:
            continue
        if backing.startswith(prefix):
            found[link.parts[3]] = backing
    return found
