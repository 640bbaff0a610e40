"""The writable part of a container's root: as it is before anything has run, and the safe way to read from it later.

`prepare` runs once, on a disk that no tenant has touched. Afterwards paths inside are the tenant's to bend: the host
opens them only through `open_regular`, which follows nothing.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from paasd.errors import TooLarge, Unprocessable
from paasd.sandbox.launcher.tenant import UID
from paasd.sandbox.records import Bind

_HOME_DIRECTORIES = ("", "app", "deps", "tmp", "profile.d", "logs", "staging")
_SYS_OPENAT2 = 437
_RESOLVE_NO_XDEV, _RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 1, 2, 4, 8
_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("flags", "mode", "resolve")]


def prepare(disk: Path, base: int, hostname: str, address: str, hosts: dict[str, str], binds: Iterable[Bind]) -> None:
    """Make the overlay's directories on a fresh disk, the tenant's home, /tmp, /etc/hosts and what binds need."""
    (disk / "work").mkdir()
    upper = disk / "upper"
    _directory(upper, base)
    for name in ("dev", "etc", "home", "proc", "sys"):
        _directory(upper / name, base)
    _directory(upper / "tmp", base, mode=0o1777)
    for name in _HOME_DIRECTORIES:
        _directory(upper / "home/vcap" / name, base + UID)
    names = [f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n{address}\t{hostname}\n"]
    names += [f"{target}\t{name}\n" for name, target in sorted(hosts.items())]
    _file(upper / "etc/hosts", base, "".join(names))
    _file(upper / "etc/hostname", base, hostname + "\n")
    for bind in binds:
        _bind_target(upper, base, bind)


def _bind_target(upper: Path, base: int, bind: Bind) -> None:
    target = PurePosixPath(bind.target)
    if not target.is_absolute() or ".." in target.parts or len(target.parts) < 2:
        raise Unprocessable(f"bind target {bind.target!r} must be an absolute path below /")
    path = upper
    for part in target.parts[1:-1]:
        path /= part
        if not path.exists():
            _directory(path, base)
    path /= target.name
    if path.exists():
        return
    if bind.source.is_dir():
        _directory(path, base)
    else:
        _file(path, base, "")


def _directory(path: Path, owner: int, mode: int = 0o755) -> None:
    path.mkdir(exist_ok=True)
    path.chmod(mode)
    os.chown(path, owner, owner)


def _file(path: Path, owner: int, text: str) -> None:
    path.write_text(text)
    path.chmod(0o644)
    os.chown(path, owner, owner)


def open_regular(root: Path, relative: str, limit_bytes: int) -> int:
    """An fd for reading a regular file below `root`, with no symbolic link, mount or special file on the way.

    Raises Unprocessable when it is not such a file, TooLarge when it is larger than `limit_bytes`.
    """
    directory = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    # Without O_NONBLOCK the open of a fifo would wait for a writer.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    resolve = _RESOLVE_NO_XDEV | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH
    how = _OpenHow(flags, 0, resolve)
    try:
        fd: int = _libc.syscall(
            _SYS_OPENAT2, directory, os.fsencode(relative), ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how))
        )
        number = ctypes.get_errno()
    finally:
        os.close(directory)
    if fd < 0:
        text = "a link or leads outside" if number in (errno.ELOOP, errno.EXDEV) else os.strerror(number)
        raise Unprocessable(f"{relative} in the container cannot be read: {text}")
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise Unprocessable(f"{relative} in the container is not a regular file")
        if status.st_size > limit_bytes:
            raise TooLarge(f"{relative} in the container has {status.st_size} bytes; the limit is {limit_bytes}")
    except BaseException:
        os.close(fd)
        raise
    return fd
