"""Mounts by system call: bind, unmount, idmapped copies of a tree, and what is mounted below a directory.

Every call blocks for milliseconds at most, but may wait for the kernel: call them through `trio.to_thread`. Errors are
OSError with the kernel's errno. Sources: mount(2), open_tree(2), mount_setattr(2), proc_pid_mountinfo(5).
"""

import ctypes
import errno
import os
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND = 1, 2, 4, 8, 4096
MS_NOATIME = 1024
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV, _MOUNT_ATTR_IDMAP = 0x1, 0x2, 0x4, 0x100000
# The numbers are the same on every architecture that Linux added after 2019.
_SYS_OPEN_TREE, _SYS_MOUNT_SETATTR = 428, 442

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttr(ctypes.Structure):
    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def _check(result: int, path: object) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    return result


def mount(source: str | Path, target: Path, fstype: str | None, flags: int, options: str = "") -> None:
    """mount(2). `fstype` None is for bind mounts and remounts."""
    _check(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            fstype.encode() if fstype else None,
            ctypes.c_ulong(flags),
            options.encode() if options else None,
        ),
        target,
    )


def bind_file(source: Path | str, target: Path) -> None:
    """Bind one file (for a namespace: /proc/.../ns/net) onto `target`, which is made if it is missing."""
    target.touch(mode=0o600, exist_ok=True)
    mount(source, target, None, MS_BIND)


def unmount(target: Path, *, lazy: bool = False) -> bool:
    """Unmount the topmost mount at `target`; False when there is none. A busy mount raises EBUSY unless `lazy`."""
    flags = UMOUNT_NOFOLLOW | (MNT_DETACH if lazy else 0)
    try:
        _check(_libc.umount2(os.fsencode(target), flags), target)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return False
        raise
    return True


def unmount_all(target: Path) -> None:
    """Unmount whatever is stacked at `target`. What somebody still looks at goes away with that last user."""
    try:
        while unmount(target):
            pass
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        while unmount(target, lazy=True):
            pass


def idmapped(path: Path, userns_fd: int | None) -> int:
    """A detached copy of the mount at `path`, read-only, nosuid and nodev, owned as the user namespace maps it.

    Returns an fd to give to move_mount(2); closing it drops the mount. EINVAL: this file system cannot be idmapped.
    """
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC
    fd = _check(_libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags), path)
    attributes = _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV
    attributes |= _MOUNT_ATTR_IDMAP if userns_fd is not None else 0
    attr = _MountAttr(attributes, 0, 0, userns_fd if userns_fd is not None else 0)
    size = ctypes.c_size_t(ctypes.sizeof(attr))
    try:
        _check(
            _libc.syscall(_SYS_MOUNT_SETATTR, fd, b"", _AT_EMPTY_PATH, ctypes.byref(attr), size),
            path,
        )
    except OSError:
        os.close(fd)
        raise
    return fd


def mounted_below(directory: Path) -> list[Path]:
    """Mount points at or below `directory` in this mount namespace, deepest and newest first."""
    prefix = str(directory.resolve())
    found: list[Path] = []
    with Path("/proc/self/mountinfo").open() as lines:
        for line in lines:
            target = line.split(" ", 5)[4].encode().decode("unicode_escape")
            if target == prefix or target.startswith(prefix + "/"):
                found.append(Path(target))
    found.reverse()
    return found
