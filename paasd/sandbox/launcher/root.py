"""The root file system that a container sees, put together by its pid 1 in a mount namespace of its own.

Everything outside is opened first, as detached mounts; then pid 1 pivots into the overlay and places them there, so
that a symbolic link which a tenant left in its own files can lead to nothing but its own files. Sources are shown in
/proc/self/mountinfo of the tenant, hence short names that tell nothing.
"""

import errno
import os
import stat
from typing import Any

from . import syscalls as sys_

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
# What tells about the host or reaches into it. Names that this kernel does not have are passed over.
_MASKED = (  # noqa: SIM905
    "acpi asound config.gz kallsyms kcore key-users keys kmsg kpagecount kpageflags kpagecgroup latency_stats "
    "modules sched_debug scsi slabinfo sysrq-trigger timer_list timer_stats vmallocinfo"
).split()
_READ_ONLY = ("bus", "driver", "fs", "irq", "sys", "tty")
_TTY_GROUP = 5
# Of the host's 4096; without a limit one tenant could take all that are not reserved for the host itself.
_TERMINALS = 64


def build_root(request: dict[str, Any], userns_fd: int) -> int:
    """Make the root and pivot into it. Returns an fd of a writable /proc that only this process can reach."""
    # Slave, not private: a disk that the host unmounts in this moment must not stay busy here.
    sys_.mount("", "/", None, sys_.MS_REC | sys_.MS_SLAVE)
    outside = [(_open_mount(bind["source"], userns_fd, bind["read_only"]), bind["target"]) for bind in request["binds"]]
    devices = [(_open_mount(f"/dev/{name}", None, read_only=False, device=True), f"/dev/{name}") for name in _DEVICES]
    _mount_overlay(request, userns_fd)
    sys_.pivot_root(".", ".")
    sys_.unmount(".", sys_.MNT_DETACH)
    os.chdir("/")
    base = request["uid_base"]
    _make_dev(base, request["shm_bytes"])
    for fd, target in devices:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666))
        _place(fd, target)
    proc_fd = _make_proc()
    for fd, target in outside:
        _place(fd, target)
    return proc_fd


def _open_mount(path: str, userns_fd: int | None, read_only: bool, device: bool = False) -> int:
    """A detached copy of the mount at `path`, with uids as the user namespace maps them where that is possible."""
    fd = sys_.copy_tree(path)
    attributes = sys_.MOUNT_ATTR_NOSUID | (sys_.MOUNT_ATTR_RDONLY if read_only else 0)
    if device:
        attributes |= 0x8  # MOUNT_ATTR_NOEXEC; device files must not be nodev.
    else:
        attributes |= sys_.MOUNT_ATTR_NODEV
    if userns_fd is not None:
        try:
            sys_.set_attributes(fd, attributes | sys_.MOUNT_ATTR_IDMAP, userns_fd)
            return fd
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EPERM):
                raise
    sys_.set_attributes(fd, attributes)
    return fd


def _place(fd: int, target: str) -> None:
    sys_.attach(fd, target)
    os.close(fd)


def _mount_overlay(request: dict[str, Any], userns_fd: int) -> None:
    """Work in a small tmpfs at a path that exists on the host; nothing of it is seen outside this namespace."""
    lowers = [_open_mount(lower, userns_fd, read_only=True) for lower in request["lowers"]]
    disk = _open_mount(request["disk"], None, read_only=False)
    sys_.mount("none", request["scratch"], "tmpfs", sys_.MS_NOSUID | sys_.MS_NODEV, "size=64k,mode=700")
    os.chdir(request["scratch"])
    names = [f"l{number}" for number in range(len(lowers))]
    for fd, name in [*zip(lowers, names, strict=True), (disk, "d")]:
        os.mkdir(name)
        _place(fd, name)
    os.mkdir("r")
    # overlayfs wants the topmost layer first.
    options = f"lowerdir={':'.join(reversed(names))},upperdir=d/upper,workdir=d/work"
    sys_.mount("overlay", "r", "overlay", sys_.MS_NOSUID | sys_.MS_NODEV, options)
    os.chdir("r")


def _make_dev(base: int, shm_bytes: int) -> None:
    owner = f"uid={base},gid={base}"
    sys_.mount("dev", "/dev", "tmpfs", sys_.MS_NOSUID | sys_.MS_NOEXEC, f"size=64k,mode=755,{owner}")
    os.umask(0)
    for name, target in _DEVICE_LINKS.items():
        os.symlink(target, f"/dev/{name}")
    os.mkdir("/dev/pts")
    options = f"newinstance,ptmxmode=0666,mode=0620,gid={base + _TTY_GROUP},max={_TERMINALS}"
    sys_.mount("devpts", "/dev/pts", "devpts", sys_.MS_NOSUID | sys_.MS_NOEXEC, options)
    os.mkdir("/dev/shm")
    flags = sys_.MS_NOSUID | sys_.MS_NODEV | sys_.MS_NOEXEC
    sys_.mount("shm", "/dev/shm", "tmpfs", flags, f"size={shm_bytes},nr_inodes=4096,mode=1777,{owner}")


def _make_proc() -> int:
    flags = sys_.MS_NOSUID | sys_.MS_NODEV | sys_.MS_NOEXEC
    sys_.mount("proc", "/proc", "proc", flags)
    writable = sys_.copy_tree("/proc")
    for name in _MASKED:
        path = f"/proc/{name}"
        try:
            directory = stat.S_ISDIR(os.stat(path).st_mode)
        except OSError:
            continue
        if directory:
            sys_.mount("none", path, "tmpfs", flags | sys_.MS_RDONLY, "size=0,mode=755")
        else:
            sys_.mount("/dev/null", path, None, sys_.MS_BIND)
    for name in _READ_ONLY:
        path = f"/proc/{name}"
        if os.path.isdir(path):
            sys_.mount(path, path, None, sys_.MS_BIND | sys_.MS_REC)
            sys_.mount("", path, None, sys_.MS_REMOUNT | sys_.MS_BIND | sys_.MS_RDONLY | flags)
    return writable
