"""The shim of a plain container: no namespaces, no cgroup, no other user. It holds output, exit status and exec.

Its owner is at the other end of a socket, by which everything is asked and told; when that closes, the container ends.
As the subreaper of its program it can end all that this starts, as pid 1 of a sandbox's container does.
"""

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any, NoReturn

from . import syscalls as sys_
from . import wire
from .deadline import check_time_left
from .family import end_descendants, reap
from .sessions import serve_session
from .spool import ERR, OUT, SpoolWriter
from .tenant import Descriptors, until_it_runs

_READ_BYTES = 64 * 1024


def run_plain_shim(request: dict[str, Any], connection: socket.socket) -> NoReturn:
    """Start the program of `request` and stay until it has ended. Tells "started" or "error", at last "exit"."""
    try:
        os.setsid()
        sys_.prctl(sys_.PR_SET_CHILD_SUBREAPER, 1)
        sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGTERM)
        sys_.set_title(f"paasd-shim {request['prefix']} {request['guid']}")
        shim = _Shim(request, connection)
        try:
            shim.start()
        except OSError as error:
            wire.send(connection, {"error": f"start: {error}"})
            os._exit(1)
        shim.serve()
    finally:
        os._exit(0)


class _Shim:
    def __init__(self, request: dict[str, Any], connection: socket.socket) -> None:
        self._request = request
        self._connection = connection
        self._spool = SpoolWriter(request["spool"], request["spool_limit_bytes"])
        self._outputs = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        self._streams = {self._outputs[0][0]: OUT, self._outputs[1][0]: ERR}
        for fd in self._streams:
            os.set_blocking(fd, False)
        self._helpers: dict[int, socket.socket] = {}
        self._app = 0
        self._status: int | None = None
        self._leaving = False
        self._woken, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        for signum in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(signum, self._note)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)

    def start(self) -> None:
        descriptors = (os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC), self._outputs[0][1], self._outputs[1][1])
        self._app = _fork_program(self._request, descriptors)
        wire.send(self._connection, {"started": {"shim": os.getpid(), "app": self._app}})

    def serve(self) -> None:
        poll = select.poll()
        for fd in (*self._streams, self._woken, self._connection.fileno()):
            poll.register(fd, select.POLLIN)
        while self._status is None and not self._leaving:
            known = {helper.fileno(): pid for pid, helper in self._helpers.items()}
            for fd in known:
                poll.register(fd, select.POLLIN)
            ready = {fd for fd, _event in poll.poll()}
            for fd in known:
                poll.unregister(fd)
            for fd in self._streams:
                if fd in ready:
                    self._copy(fd)
            if self._connection.fileno() in ready:
                self._obey()
            for fd in known.keys() & ready:
                self._pass_on(known[fd])
            if self._woken in ready:
                os.read(self._woken, 4096)
                reap(self._reaped)
        end_descendants(self._reaped)
        for fd in self._streams:
            while self._copy(fd):
                pass
        self._spool.close()
        with contextlib.suppress(OSError):
            wire.send(self._connection, {"exit": self._status, "at": time.time()})

    def _note(self, signum: int, _frame: object) -> None:
        self._leaving |= signum == signal.SIGTERM  # Its keeper was killed.

    def _copy(self, fd: int) -> bool:
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            self._spool.write(self._streams[fd], data)
        return bool(data)

    def _obey(self) -> None:
        try:
            message, fds = wire.receive(self._connection)
        except (EOFError, OSError):
            self._leaving = True
            return
        if message["verb"] == "signal":
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._app, message["signal"])
        elif message["verb"] == "kill":
            end_descendants(self._reaped)
        elif message["verb"] == "exec":
            self._exec(message, fds)
        elif message["verb"] == "session":
            self._session(message, fds[0])

    def _session(self, message: dict[str, Any], caller_fd: int) -> None:
        """Held by a process of its own, which attends to the caller in this one's stead."""
        caller = socket.socket(fileno=caller_fd)
        if os.fork() == 0:
            signal.set_wakeup_fd(-1)
            try:
                run_plain_session({**self._request, "deadline": None, **message}, caller)
            finally:
                os._exit(1)
        caller.close()

    def _exec(self, message: dict[str, Any], fds: list[int]) -> None:
        caller = socket.socket(fileno=fds[0])
        own = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        given = (fds[1], fds[2], fds[3]) if len(fds) == 4 else (own, self._outputs[0][1], self._outputs[1][1])
        try:
            pid = _fork_program({**self._request, "deadline": None, **message}, given)
            self._helpers[pid] = caller
            wire.send(caller, {"started": True})
        except OSError as error:
            with contextlib.suppress(OSError):
                wire.send(caller, {"error": str(error)})
            caller.close()
        for fd in (own, *fds[1:]):
            os.close(fd)

    def _pass_on(self, helper: int) -> None:
        """A signal from the caller of an exec; its going away is the strongest one."""
        try:
            signum = int(wire.receive(self._helpers[helper])[0]["signal"])
        except (EOFError, OSError):
            signum = signal.SIGKILL
        with contextlib.suppress(ProcessLookupError):
            os.kill(helper, signum)
        if signum == signal.SIGKILL:
            self._helpers.pop(helper).close()

    def _reaped(self, pid: int, status: int) -> None:
        if pid == self._app:
            self._status = status
        caller = self._helpers.pop(pid, None)
        if caller is not None:
            with contextlib.suppress(OSError):
                wire.send(caller, {"exit": status})
            caller.close()


def run_plain_session(request: dict[str, Any], connection: socket.socket) -> NoReturn:
    """As `serve_session`, without any wall. Dies with the shim, and so does what it keeps."""
    sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)

    def fork(run: Callable[[], object], failed: Callable[[bytes], object]) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                run()
            except BaseException as error:  # noqa: BLE001 (nothing may run on in this fork)
                failed(str(error).encode()[:1000] or b"unknown")
            os._exit(127)
        return pid

    serve_session(request, connection, fork, _become, lambda _request: None, -1)


def _fork_program(request: dict[str, Any], descriptors: Descriptors) -> int:
    """The pid of the program; returns when execve has succeeded, raises OSError with its reason when not."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            _become(request, descriptors)
        except BaseException as error:  # noqa: BLE001 (nothing may run on in this fork)
            os.write(writer, str(error).encode()[:1000] or b"unknown")
        os._exit(127)
    until_it_runs(pid, reader, writer)
    return pid


def _become(
    request: dict[str, Any], descriptors: Descriptors, terminal: Callable[[], Descriptors] | None = None
) -> NoReturn:
    signal.set_wakeup_fd(-1)
    os.setsid()
    if terminal is not None:
        descriptors = terminal()
    for number in range(1, signal.NSIG):
        if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    high = [os.dup2(fd, 200 + number, inheritable=False) for number, fd in enumerate(descriptors)]
    for number, fd in enumerate(high):
        os.dup2(fd, number, inheritable=True)
    sys_.close_on_exec(3)
    sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)
    os.umask(0o022)
    os.chdir(request["cwd"])
    check_time_left(request["deadline"])
    os.execvpe(request["argv"][0], request["argv"], request["env"])
