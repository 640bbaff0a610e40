"""The zygote: a small, single-threaded process that forks shims. One per node; it outlives the daemon.

Every connection is answered by a fork, so nothing that one request does can hold up or break the next.
"""

import contextlib
import gc
import os
import resource
import signal
import socket
import sys
import time

from . import syscalls as sys_
from . import wire
from .shim import run_shim

_BACKLOG = 256
_LOOK_AROUND_S = 20.0


def main(socket_path: str, prefix: str, holder_cgroups: list[str]) -> None:
    """Listen at `socket_path` until told to stop, or until the socket file is no longer ours."""
    os.umask(0o077)
    os.setsid()
    for name in holder_cgroups:
        with contextlib.suppress(OSError), open(name, "w") as procs:
            procs.write("0")
    with contextlib.suppress(OSError):  # A host may forbid it: everything works, and slower beside busy neighbours.
        sys_.take_turns(sys_.LONG_TURN_NS)
    # What it passes on to the first process of a container has the tenant's environment.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys_.prctl(sys_.PR_SET_DUMPABLE, 0)
    sys_.set_title(f"paasd-zygote {prefix}")
    listener = _listen(socket_path)
    own = os.stat(socket_path).st_ino
    os.chdir("/")
    os.write(1, b"ready\n")
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    sys_.close_range(3, listener.fileno() - 1) if listener.fileno() > 3 else None
    sys_.close_range(listener.fileno() + 1)
    # Children are reaped by the kernel; a shim takes the default back for its own children.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.disable()
    gc.freeze()
    listener.settimeout(_LOOK_AROUND_S)
    _serve(listener, socket_path, own)


def _listen(socket_path: str) -> socket.socket:
    """Bind under another name and rename: a socket file that exists is one that listens."""
    directory, name = os.path.split(socket_path)
    os.chdir(directory)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name + ".new")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(name + ".new")
    listener.listen(_BACKLOG)
    os.rename(name + ".new", name)
    return listener


def _serve(listener: socket.socket, socket_path: str, own: int) -> None:
    while True:
        try:
            connection, _address = listener.accept()
        except TimeoutError:
            if not _is_ours(socket_path, own):
                return
            continue
        try:
            pid = os.fork()
        except OSError:
            connection.close()
            time.sleep(0.1)  # Out of processes or memory: the caller sees the hang-up and reports it.
            continue
        if pid == 0:
            listener.close()
            connection.settimeout(None)
            _answer(connection)
        connection.close()


def _is_ours(socket_path: str, own: int) -> bool:
    """A data directory that was deleted, or taken over by a newer zygote, leaves nobody to work for."""
    try:
        return os.stat(socket_path).st_ino == own
    except OSError:
        return False


def _answer(connection: socket.socket) -> None:
    try:
        request, _fds = wire.receive(connection)
        if request["verb"] == "hello":
            zygote = os.getppid()
            facts = {"program": wire.PROGRAM, "python": sys.version}
            wire.send(connection, {**facts, "pid": zygote, "started": wire.start_time(zygote)})
        elif request["verb"] == "start":
            run_shim(request, connection)
    except EOFError:
        pass
    finally:
        os._exit(1)
