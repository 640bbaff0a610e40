"""The last steps before a tenant's program runs: everything that it must not have is given up, in this order.

Used by pid 1 for the app and by the exec helper for what joins it, so that both are held by the same bounds.
"""

import os
import resource
import signal
from collections.abc import Callable
from typing import Any

from . import syscalls as sys_
from .deadline import check_time_left

UID = 2000
_LAST_CAPABILITY = 63
_OOM_SCORE = "500"


Descriptors = tuple[int, int, int]


def prefer_for_oom() -> None:
    """When the whole host runs out of memory, tenants go first. Call while /proc is the host's."""
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write(_OOM_SCORE)


def become_tenant(
    request: dict[str, Any],
    descriptors: Descriptors,
    terminal: Callable[[], Descriptors] | None = None,
    *,
    deadline: float | None = None,
) -> None:
    """Does not return: ends in execve. Call in a forked child that is in all namespaces of the container.

    Once everything is dropped, `terminal` may give descriptors in place of the first ones. Raises OSError when the
    program cannot be run, or not before `deadline`; everything is dropped by then.
    """
    os.setsid()
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    _arrange(descriptors)
    _limit(request)
    _drop()
    if terminal is not None:
        _arrange(terminal())
    os.umask(0o022)
    program = _find(request["argv"][0], request["env"].get("PATH", "/usr/bin:/bin"), request["cwd"])
    sys_.prctl(sys_.PR_SET_NO_NEW_PRIVS, 1)
    sys_.install_filter(request["filter"])
    check_time_left(deadline)
    os.execve(program, request["argv"], request["env"])


def until_it_runs(pid: int, reader: int, writer: int) -> None:
    """Return when the forked child `pid` has executed its program, which closes its end of the pipe; both ends of this
    process are closed then. Raises OSError with what the child wrote instead, when it has been reaped.
    """
    os.close(writer)
    failure = os.read(reader, 1000)
    os.close(reader)
    if failure:
        os.waitpid(pid, 0)
        raise OSError(failure.decode(errors="replace"))


def _arrange(descriptors: Descriptors) -> None:
    """Move the three descriptors to 0, 1 and 2 by way of high numbers, for they may overlap."""
    high = [os.dup2(fd, 200 + number, inheritable=False) for number, fd in enumerate(descriptors)]
    for number, fd in enumerate(high):
        os.dup2(fd, number, inheritable=True)
    # Descriptors that came over a socket are inheritable, whatever socket.recv_fds is told.
    sys_.close_on_exec(3)


def become_nobody(request: dict[str, Any]) -> None:
    """As `become_tenant`, but for code of ours that runs on in the tenant's place and executes nothing."""
    _limit(request)
    _drop()
    sys_.prctl(sys_.PR_SET_DUMPABLE, 0)
    sys_.prctl(sys_.PR_SET_NO_NEW_PRIVS, 1)
    sys_.install_filter(request["filter"])


def _limit(request: dict[str, Any]) -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = request["open_files"] if hard == resource.RLIM_INFINITY else min(request["open_files"], hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name, ceiling in ((resource.RLIMIT_MEMLOCK, 64 * 1024), (resource.RLIMIT_MSGQUEUE, 819200)):
        _soft, hard = resource.getrlimit(name)
        ceiling = ceiling if hard == resource.RLIM_INFINITY else min(ceiling, hard)
        resource.setrlimit(name, (ceiling, ceiling))


def _drop() -> None:
    for capability in range(_LAST_CAPABILITY + 1):
        try:
            sys_.prctl(sys_.PR_CAPBSET_DROP, capability)
        except OSError:
            break  # The first number that this kernel does not know.
    os.setgroups([])
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, UID, UID)
    sys_.drop_capabilities()
    sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)


def _find(name: str, path: str, cwd: str) -> str:
    """The program by the tenant's own PATH, looked up with the tenant's rights."""
    os.chdir(cwd)
    if "/" in name:
        return name
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    raise FileNotFoundError(2, "no such program in PATH", name)
