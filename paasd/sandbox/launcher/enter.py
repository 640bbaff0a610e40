"""Exec: one more process inside a running container, under the same bounds as its app.

A helper forked by the shim joins the pid namespace; its child joins the cgroups and the other namespaces and becomes
the tenant. The helper stays outside, holds the connection of the caller and lasts as long as the child: when the caller
goes away, the child is killed.
"""

import os
import select
import signal
import socket
from collections.abc import Callable
from typing import Any

from . import syscalls as sys_
from . import wire
from .tenant import become_tenant, prefer_for_oom, until_it_runs

_KINDS = {
    "ipc": sys_.CLONE_NEWIPC,
    "uts": sys_.CLONE_NEWUTS,
    "net": sys_.CLONE_NEWNET,
    "cgroup": sys_.CLONE_NEWCGROUP,
    "mnt": sys_.CLONE_NEWNS,
    "user": sys_.CLONE_NEWUSER,
}


def run_helper(
    request: dict[str, Any], pid1: int, connection: socket.socket, descriptors: tuple[int, int, int]
) -> None:
    """Serve one exec: send {"started": true} or {"error": text}, then {"exit": wait status}. Never returns."""
    try:
        child = _fork_inside(request, pid1, descriptors)
    except OSError as error:
        wire.send(connection, {"error": str(error)})
        os._exit(1)
    for fd in descriptors:
        os.close(fd)
    wire.send(connection, {"started": True})
    status = _attend(child, connection)
    try:
        wire.send(connection, {"exit": status})
    except OSError:
        pass  # The caller has gone; nobody is left to be told.
    os._exit(0)


def _fork_inside(request: dict[str, Any], pid1: int, descriptors: tuple[int, int, int]) -> int:
    reader, writer = os.pipe2(os.O_CLOEXEC)

    pid = fork_beside(
        request,
        pid1,
        lambda: become_tenant(request, descriptors),
        lambda text: os.write(writer, text),
    )
    until_it_runs(pid, reader, writer)
    return pid


def fork_beside(
    request: dict[str, Any], pid1: int, run: Callable[[], object], failed: Callable[[bytes], object]
) -> int:
    """The pid of a new process beside pid 1 of a container, in its cgroups and namespaces, as the root in there.

    It does `run`, and ends when that returns; what is raised on the way, `failed` is told. This process's own children
    are born into the container's pid namespace from now on.
    """
    namespaces = {name: os.open(f"/proc/{pid1}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in _KINDS}
    pid_namespace = os.open(f"/proc/{pid1}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    sys_.setns(pid_namespace, sys_.CLONE_NEWPID)
    pid = sys_.fork_into(request["cgroup"])
    if pid == 0:
        try:
            prefer_for_oom()
            sys_.enter_cgroups(request["cgroups"], request.get("processors"))
            for name, kind in _KINDS.items():
                sys_.setns(namespaces[name], kind)
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            run()
        except BaseException as error:  # noqa: BLE001 (nothing may run on in this fork)
            failed(str(error).encode()[:1000] or b"unknown")
        os._exit(127)
    for fd in (*namespaces.values(), pid_namespace):
        os.close(fd)
    return pid


def _attend(child: int, connection: socket.socket) -> int:
    """Until the child ends: pass signals on; kill it when the caller hangs up. Returns the wait status."""
    pidfd = os.pidfd_open(child)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(connection, select.POLLIN)
    while True:
        ready = [fd for fd, _event in poll.poll()]
        if pidfd in ready:
            return os.waitpid(child, 0)[1]
        try:
            message, _fds = wire.receive(connection)
            signal.pidfd_send_signal(pidfd, message["signal"])
        except (EOFError, OSError):
            poll.unregister(connection)
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
