"""The keeper: the one parent of an embedded node's plain processes, which lets nothing of them outlive their owner.

It takes its orders from a socket that is its standard input, and forks a shim for each container. When the owner says
so, hangs up or dies by whatever cause, it kills everything that stems from it. An owner that died unawares cannot tidy
up, so the keeper also removes the files that it was told of.
"""

import os
import select
import shutil
import signal
import socket

from . import syscalls as sys_
from . import wire
from .family import children_of, end_descendants, reap
from .plain import run_plain_shim


def main(owner: str, title: str, doomed: list[str]) -> None:
    """Serve until the owner, a pid, is done with it. `doomed` are directories to remove if that ends unawares."""
    keeper = Keeper(int(owner), title)
    orderly = keeper.serve()
    keeper.end()
    if not orderly:
        for path in doomed:
            # Keepers of one cluster do this at once, each when its own processes are gone; the last one meets no other.
            shutil.rmtree(path, ignore_errors=True)


class Keeper:
    """Signals wake it by a byte, so that it waits for everything in one place."""

    def __init__(self, owner: int, title: str) -> None:
        os.setsid()
        sys_.prctl(sys_.PR_SET_CHILD_SUBREAPER, 1)
        sys_.set_title(title)
        self._orders = socket.socket(fileno=os.dup(0))
        try:
            self._owner = os.pidfd_open(owner)
        except ProcessLookupError:
            os._exit(1)
        self._woken, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, _pass)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        sys_.close_range(3, self._orders.fileno() - 1) if self._orders.fileno() > 3 else None
        self._shims: set[int] = set()

    def serve(self) -> bool:
        """Whether the owner said that this is the end."""
        poll = select.poll()
        for fd in (self._orders.fileno(), self._owner, self._woken):
            poll.register(fd, select.POLLIN)
        while True:
            ready = {fd for fd, _event in poll.poll()}
            if self._orders.fileno() in ready:
                try:
                    message, fds = wire.receive(self._orders)
                except (EOFError, OSError):
                    return False
                if message["verb"] == "end":
                    return True
                self._start(message, fds)
            if self._owner in ready:
                return False
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._reap()

    def end(self) -> None:
        end_descendants(lambda _pid, _status: None)

    def _start(self, request: dict[str, object], fds: list[int]) -> None:
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for fd in (self._owner, self._woken):
                os.close(fd)
            self._orders.close()
            run_plain_shim(request, socket.socket(fileno=fds[0]))
        self._shims.add(pid)
        for fd in fds:
            os.close(fd)

    def _reap(self) -> None:
        """A shim that was killed left what it held to this process, which ends it in its stead."""
        ended: list[int] = []
        reap(lambda pid, _status: ended.append(pid))
        if not self._shims.intersection(ended):
            return
        self._shims.difference_update(ended)
        while orphans := [pid for pid in children_of(os.getpid()) if pid not in self._shims]:
            for pid in orphans:
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                except (ProcessLookupError, ChildProcessError):
                    continue


def _pass(_signum: int, _frame: object) -> None:
    """A handler of our own, or no byte would be written."""
