"""The words in which attacks are written. Runs inside containers, and on the host for comparison.

The standard library only. What an attack finds out goes into `found`, which the test reads.
"""

import ctypes
import errno
import json  # noqa: F401 (for the last line of every probe)
import os
import socket

NUMBERS: dict[str, int] = {}
"""Of system calls, by name; filled in before this runs."""
found: dict[str, object] = {}
libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> str:
    """A system call by name: "ok", or the name of the error."""
    ctypes.set_errno(0)
    raw = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *raw)
    return "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]


def tried(work, *arguments: object) -> str:  # type: ignore[no-untyped-def]
    """The same for something that Python does."""
    try:
        work(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    except ValueError:
        return "ValueError"
    return "ok"


def read(path: str, size: int = 4096) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(fd, size)
    finally:
        os.close(fd)


def write(path: str, content: str = "x") -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, content.encode())
    finally:
        os.close(fd)


def connect(address: str, port: int, timeout_s: float = 2.0) -> str:
    """A TCP connection. Silence is "TimeoutError"."""
    return tried(lambda: socket.create_connection((address, port), timeout_s).close())


def open_socket(*kind: int) -> str:
    return tried(lambda: socket.socket(*kind).close())


def forked(work) -> int:  # type: ignore[no-untyped-def]
    """Run `work` in a child; its wait status as an exit code, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            status = work() or 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
