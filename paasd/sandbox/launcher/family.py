"""Processes by descent: who stems from whom, and the end of all that stem from here.

A subreaper sees everything that its children start, however that detaches itself: what loses its parent becomes its own
child. So it can end all of it without a cgroup or a pid namespace.
"""

import os
import signal
import time
from collections.abc import Callable

_PAUSE_S = 0.001


def children_of(pid: int) -> list[int]:
    """The living and unreaped children of all threads of `pid`; none when it is gone."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as line:
                found += map(int, line.read().split())
    except (FileNotFoundError, ProcessLookupError):
        if os.path.exists(f"/proc/{pid}/task/{pid}") and not os.path.exists(f"/proc/{pid}/task/{pid}/children"):
            return _children_by_search(pid)
    return found


def descendants_of(pid: int) -> list[int]:
    """Children, their children, and so on; parents stand before their children."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        new = children_of(waiting.pop())
        found += new
        waiting += new
    return found


def end_descendants(reaped: Callable[[int, int], None]) -> None:
    """Kill everything below this process, which must be a subreaper, and return when nothing of it is left.

    `reaped` is told pid and wait status of each process that was collected here.
    """
    while True:
        for pid in descendants_of(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if not reap(reaped):
            return
        time.sleep(_PAUSE_S)


def reap(reaped: Callable[[int, int], None]) -> bool:
    """Collect every child that has ended, without waiting. Whether any child is left."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        reaped(pid, status)


def _children_by_search(pid: int) -> list[int]:
    """For kernels that keep no lists of children."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as line:
                    parent = int(line.read().rpartition(b")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == pid:
                found.append(int(name))
    return found
