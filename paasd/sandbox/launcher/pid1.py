"""Pid 1 of a container: makes its namespaces and root, forks the app, reaps, and reports how the app ended.

It is the only process of ours inside the tenant's cgroup and pid namespace, into which the shim forks it. The mount,
network, IPC and UTS namespaces are made before it joins the user namespace, so they belong to the host's: nothing
inside has a capability over them.
Signals for the app do not pass through here: the shim holds a pidfd of the app.
"""

import os
import signal
import socket
from typing import Any

from . import syscalls as sys_
from .root import build_root
from .tenant import become_tenant, prefer_for_oom, until_it_runs


def run_pid1(request: dict[str, Any], status: socket.socket, outputs: tuple[int, int]) -> None:
    """Never returns. Tells `status` "error STEP: text", or "app" with a pidfd; at the end "exit WAITSTATUS"."""
    step = "cgroups"
    try:
        sys_.enter_cgroups(request["cgroups"], request.get("processors"))
        step = "user namespace"
        userns_fd = _make_user_namespace(request["uid_base"], request["uid_count"])
        prefer_for_oom()
        step = "namespaces"
        sys_.set_title("init")
        netns_fd = os.open(request["netns"], os.O_RDONLY | os.O_CLOEXEC)
        sys_.unshare(sys_.CLONE_NEWNS | sys_.CLONE_NEWIPC | sys_.CLONE_NEWUTS | sys_.CLONE_NEWCGROUP)
        sys_.setns(netns_fd, sys_.CLONE_NEWNET)
        os.close(netns_fd)
        socket.sethostname(request["hostname"])
        step = "root file system"
        proc_fd = build_root(request, userns_fd)
        step = "user namespace"
        sys_.setns(userns_fd, sys_.CLONE_NEWUSER)
        os.close(userns_fd)
        _forbid_user_namespaces(proc_fd)
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        # The shim is in the pid namespace above, so even pid 1 cannot outlive it.
        sys_.prctl(sys_.PR_SET_DUMPABLE, 0)
        sys_.prctl(sys_.PR_SET_PDEATHSIG, signal.SIGKILL)
        step = "start"
        app = _fork_app(request, status, outputs)
    except OSError as error:
        status.send(f"error {step}: {error}".encode())
        os._exit(1)
    for fd in (0, 1, 2, *outputs):
        os.close(fd)
    _reap(app, status)


def _make_user_namespace(base: int, count: int) -> int:
    """A namespace fd that maps 0..count to base..base+count. A child makes it, for one cannot map oneself so."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    hold_reader, hold_writer = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        os.close(hold_writer)
        try:
            # The kernel charges inotify instances, message queues, pending signals and the like to the maker of the
            # namespace too. Made by root, one tenant could use up what root and all tenants have together.
            os.setresgid(base, base, base)
            os.setresuid(base, base, base)
            sys_.unshare(sys_.CLONE_NEWUSER)
            # /proc is still the host's, and so is the number that it gives.
            os.write(writer, os.readlink("/proc/self").encode())
            os.read(hold_reader, 1)
        finally:
            os._exit(0)
    os.close(writer)
    os.close(hold_reader)
    try:
        pid = os.read(reader, 32).decode()
        if not pid:
            raise OSError("the kernel refuses a user namespace; check user.max_user_namespaces")
        # Project ids too: a map that is not set may be set, to any numbers of the host's, by everybody inside.
        for name in ("uid_map", "gid_map", "projid_map"):
            fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
            os.write(fd, f"0 {base} {count}\n".encode())
            os.close(fd)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(reader)
        os.close(hold_writer)
        os.waitpid(child, 0)


def _forbid_user_namespaces(proc_fd: int) -> None:
    """A second lock beside seccomp; the value belongs to the container's user namespace, the host's stays."""
    fd = os.open("sys/user/max_user_namespaces", os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc_fd)
    os.write(fd, b"0")
    os.close(fd)
    os.close(proc_fd)


def _fork_app(request: dict[str, Any], status: socket.socket, outputs: tuple[int, int]) -> int:
    """The app; returns when execve has succeeded, raises OSError with its reason when not.

    The close-on-exec end of a pipe tells: end of file is success, anything else is the text of the error.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
            become_tenant(request, (null, *outputs), deadline=request.get("deadline"))
        except BaseException as error:  # noqa: BLE001 (nothing may run on in this fork)
            os.write(writer, str(error).encode()[:1000])
        os._exit(127)
    until_it_runs(pid, reader, writer)
    try:
        pidfd = os.pidfd_open(pid)
        socket.send_fds(status, [b"app"], [pidfd])
        os.close(pidfd)
    except ProcessLookupError:
        status.send(b"app")  # It cannot happen before it is reaped; kept for a kernel that thinks otherwise.
    return pid


def _reap(app: int, status: socket.socket) -> None:
    """Wait for everything; the container ends with its app, and the kernel kills what is left with pid 1."""
    sys_.drop_capabilities()
    while True:
        pid, wait_status = os.wait()
        if pid == app:
            status.send(b"exit %d" % wait_status)
            os._exit(0)
