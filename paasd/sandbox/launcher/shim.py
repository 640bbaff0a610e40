"""The shim: one per running container, outside its cgroup. Holds its output, its exit status and the door for exec.

It outlives the daemon. What a new daemon needs is in files of the run directory: `shim.json` (who is running), `exit`
(how it ended, put there by rename), `control.sock`, `deadline.sock`.
"""

import contextlib
import os
import select
import signal
import socket
import time
from typing import Any

from . import syscalls as sys_
from . import wire
from .deadline import SOCKET as DEADLINE_SOCKET
from .deadline import Deadline
from .enter import run_helper
from .pid1 import run_pid1
from .sessions import run_connector, run_session
from .spool import ERR, OUT, SpoolWriter
from .tenant import UID

_READ_BYTES = 64 * 1024
_BACKLOG = 16


def run_shim(request: dict[str, Any], connection: socket.socket) -> None:
    """Start the container that `request` describes and stay until it has ended. Never returns."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    sys_.set_title(f"paasd-shim {request['prefix']} {request['guid']}")
    run_fd = os.open(request["run_directory"], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        shim = _Shim(request, run_fd)
    except OSError as error:
        wire.send(connection, {"error": str(error)})
        os._exit(1)
    try:
        shim.start()
    except OSError as error:
        shim.abandon()
        wire.send(connection, {"error": str(error)})
        os._exit(1)
    with contextlib.suppress(OSError):  # A daemon that died meanwhile finds shim.json.
        wire.send(connection, {"started": shim.facts})
    connection.close()
    shim.serve()
    os._exit(0)


class _Shim:
    def __init__(self, request: dict[str, Any], run_fd: int) -> None:
        self._request = request
        self._run_fd = run_fd
        with open(request["filter_path"], "rb") as program:
            request["filter"] = program.read()
        self.facts: dict[str, Any] = {
            "shim": os.getpid(),
            "shim_started": wire.start_time(os.getpid()),
        }
        self._oom_before = self._oom_kills()
        self._pid1 = 0
        self._deadline: Deadline | None = None
        # A first word before anything is made: a daemon that starts now can find and end this shim.
        wire.write_file("shim.json", self.facts, run_fd)

    def start(self) -> None:
        self._spool = SpoolWriter(self._request["spool"], self._request["spool_limit_bytes"])
        self._outputs = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        for pipe in self._outputs:
            # The tenant may open /dev/stderr, which is opening the pipe anew: it must be its own.
            owner = self._request["uid_base"] + UID
            os.fchown(pipe[1], owner, owner)
        self._control = self._listen()
        self._status, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # This process itself stays outside, so that exec helpers, its later forks, are not seen by the tenant.
        self._pid1 = sys_.fork_into(self._request["cgroup"], sys_.CLONE_NEWPID)
        if self._pid1 == 0:
            self._status.close()
            self._control.close()
            run_pid1(self._request, theirs, (self._outputs[0][1], self._outputs[1][1]))
        theirs.close()
        try:
            word, received, _flags, _address = socket.recv_fds(self._status, 2048, 1)
        except ConnectionResetError:
            # Pid 1 ended before it read our word; the kernel tells that first, and then what pid 1 has said.
            word, received, _flags, _address = socket.recv_fds(self._status, 2048, 1)
        if not word.startswith(b"app"):
            raise OSError(word.decode(errors="replace").removeprefix("error ") or "pid 1 was killed while starting")
        self.facts["pid1"] = self._pid1
        self.facts["pid1_started"] = wire.start_time(self._pid1)
        self.facts["started_at"] = time.time()
        app = _pid_of(received[0]) if received else -1
        for fd in received:
            os.close(fd)
        self.facts["app"] = app
        if app > 0:
            with contextlib.suppress(OSError):
                self.facts["app_started"] = wire.start_time(app)
        wire.write_file("shim.json", self.facts, self._run_fd)

    def abandon(self) -> None:
        if self._pid1:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid1, signal.SIGKILL)
            os.waitpid(self._pid1, 0)
        self._write_exit(None)

    def serve(self) -> None:
        pidfd = os.pidfd_open(self._pid1)
        streams = {self._outputs[0][0]: OUT, self._outputs[1][0]: ERR}
        deadline = self._deadline
        assert deadline is not None
        poll = select.poll()
        for fd in (*streams, pidfd, self._control.fileno(), deadline.timer, deadline.messages):
            poll.register(fd, select.POLLIN)
        for fd in streams:
            os.set_blocking(fd, False)
        while True:
            ready = {fd for fd, _event in poll.poll()}
            for fd in streams.keys() & ready:
                self._copy(fd, streams[fd])
            if pidfd in ready:
                break
            # The end before what might put it off: a shim that was held up for long must not be late as well.
            if deadline.timer in ready and not deadline.passed:
                deadline.passed = True
                poll.unregister(deadline.timer)
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)  # everything inside ends with its pid 1
            if deadline.messages in ready:
                deadline.take()
            if self._control.fileno() in ready:
                self._answer()
        os.waitpid(self._pid1, 0)
        for fd, stream in streams.items():
            while self._copy(fd, stream):
                pass
        self._spool.close()
        self._write_exit(self._last_word())

    def _copy(self, fd: int, stream: int) -> bool:
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            self._spool.write(stream, data)
        return bool(data)

    def _last_word(self) -> int | None:
        self._status.setblocking(False)
        try:
            word = self._status.recv(64)
        except OSError:
            return None
        return int(word.split()[1]) if word.startswith(b"exit ") else None

    def _write_exit(self, status: int | None) -> None:
        oom_kills = max(0, self._oom_kills() - self._oom_before)
        content = {
            "status": status,
            "oom_kills": oom_kills,
            "oom_total": self._oom_kills(),
            "at": time.time(),
            "lease_ended": self._deadline is not None and self._deadline.passed,
        }
        with contextlib.suppress(OSError):  # The directory may have been removed with its container.
            wire.write_file("exit", content, self._run_fd)
            for name in ("control.sock", DEADLINE_SOCKET):
                os.unlink(name, dir_fd=self._run_fd)

    def _oom_kills(self) -> int:
        try:
            with open(self._request["oom_file"]) as lines:
                return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
        except OSError:
            return 0

    def _listen(self) -> socket.socket:
        """The path may be longer than a socket address allows, so it is named relative to the run directory."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        os.fchdir(self._run_fd)
        with contextlib.suppress(FileNotFoundError):
            os.unlink("control.sock")
        listener.bind("control.sock")
        listener.listen(_BACKLOG)
        self._deadline = Deadline(self._request.get("deadline"))
        os.chdir("/")
        return listener

    def _answer(self) -> None:
        """Fork twice, so that the helper is reaped by init and this process waits for nothing but pid 1."""
        connection, _address = self._control.accept()
        child = os.fork()
        if child != 0:
            connection.close()
            os.waitpid(child, 0)
            return
        if os.fork() != 0:
            os._exit(0)
        self._control.close()
        try:
            message, fds = wire.receive(connection)
            request = {**self._request, **message}
            if "session" in message:
                run_session(request, self._pid1, connection)
            if "connect" in message:
                run_connector(request, self._pid1, connection)
            if len(fds) == 3:
                descriptors = (fds[0], fds[1], fds[2])
            else:
                null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
                descriptors = (null, self._outputs[0][1], self._outputs[1][1])
            run_helper(request, self._pid1, connection, descriptors)
        finally:
            os._exit(1)


def _pid_of(pidfd: int) -> int:
    """The number of a process as this pid namespace counts; -1 when it has ended."""
    with open(f"/proc/self/fdinfo/{pidfd}") as lines:
        return next((int(line.split()[1]) for line in lines if line.startswith("Pid:")), -1)
