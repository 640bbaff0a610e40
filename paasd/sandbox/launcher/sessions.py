"""Sessions: a person's program inside a running container, on a terminal or on pipes, and all that it starts.

As with exec, a helper outside holds the caller's connection. Inside, between it and the program, stands a keeper: the
subreaper of the program, which ends whatever stems from it when the program ends or the caller goes away. The keeper is
the root of the container with the one right to kill there, so that the tenant cannot end it first.

The caller gets descriptors: the master of the terminal, or the ends of three pipes.
"""

import fcntl
import os
import select
import signal
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn, Protocol

from . import syscalls as sys_
from . import wire
from .enter import fork_beside
from .family import end_descendants, reap
from .tenant import UID, Descriptors, become_nobody, become_tenant

_CAP_KILL = 1 << 5
_TIOCSCTTY, _TIOCSWINSZ, _TIOCSPTLCK, _TIOCGPTPEER = 0x540E, 0x5414, 0x40045431, 0x5441
_CONNECT_TIMEOUT_S = 10.0


class Become(Protocol):
    """Makes a forked child the program; see `become_tenant`."""

    def __call__(
        self, request: dict[str, Any], descriptors: Descriptors, terminal: Callable[[], Descriptors] | None
    ) -> object: ...


def run_session(request: dict[str, Any], pid1: int, connection: socket.socket) -> NoReturn:
    """Serve one session in the container of `pid1`; see `serve_session`."""

    def fork(run: Callable[[], object], failed: Callable[[bytes], object]) -> int:
        return fork_beside(request, pid1, run, failed)

    serve_session(request, connection, fork, become_tenant, drop_all_but_kill, request["uid_base"] + UID)


def serve_session(
    request: dict[str, Any],
    connection: socket.socket,
    fork: Callable[[Callable[[], object], Callable[[bytes], object]], int],
    become: Become,
    drop: Callable[[dict[str, Any]], object],
    owner: int,
) -> NoReturn:
    """Tell {"started": true} with descriptors or {"error": text}, then {"exit": wait status}.

    The keeper is a process of `fork`; the program is made by `become`, and may open its pipes anew as `owner` (a uid).
    """
    request["env"] = {**request["env"], **request["session"]["env"]}
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ends, inner = open_pipes(request["session"]["terminal"], owner)
    keeper = fork(
        lambda: keep_session(request, theirs, partial(become, request, inner), drop),
        lambda text: theirs.send(b"error " + text),
    )
    theirs.close()
    for fd in set(inner):
        os.close(fd)
    failure, master = await_start(ours)
    if failure is not None:
        wire.send(connection, {"error": failure})
        os._exit(1)
    wire.send(connection, {"started": True}, ends or master)
    for fd in (*ends, *master):
        os.close(fd)
    status = _attend(keeper, ours, connection)
    try:
        wire.send(connection, {"exit": status})
    except OSError:
        pass  # The caller has gone; nobody is left to be told.
    os._exit(0)


def run_connector(request: dict[str, Any], pid1: int, connection: socket.socket) -> NoReturn:
    """Connect a socket inside the container as its tenant: {"started": true} with it, or {"error": text}."""
    host, port, datagrams = request["connect"]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def run() -> None:
        sys_.close_all_but(theirs.fileno())
        become_nobody(request)
        with connect(host, port, datagrams) as made:
            socket.send_fds(theirs, [b"started"], [made.fileno()])
        os._exit(0)

    child = fork_beside(request, pid1, run, lambda text: theirs.send(b"error " + text))
    theirs.close()
    failure, made = await_start(ours)
    os.waitpid(child, 0)
    wire.send(connection, {"started": True} if failure is None else {"error": failure}, made)
    os._exit(0)


def connect(host: str, port: int, datagrams: bool) -> socket.socket:
    """A socket that is connected to a numeric address. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM)
    made.settimeout(_CONNECT_TIMEOUT_S)
    try:
        made.connect((host, port))
    except TimeoutError as error:
        raise OSError("it does not answer") from error
    made.settimeout(None)
    return made


def open_pipes(terminal: list[int] | None, owner: int) -> tuple[list[int], Descriptors]:
    """The caller's ends of the program's 0, 1 and 2, and the program's own; none and /dev/null for a terminal.

    The tenant may open /dev/stdout, which is opening the pipe anew: it must be its own.
    """
    if terminal is not None:
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        return [], (null, null, null)
    pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(3)]
    if owner >= 0:
        for reader, _writer in pipes:
            os.fchown(reader, owner, owner)
    (zero, to_zero), (from_one, one), (from_two, two) = pipes
    return [to_zero, from_one, from_two], (zero, one, two)


def await_start(keeper: socket.socket) -> tuple[str | None, list[int]]:
    """What went wrong (None when the program runs), and the descriptors that came with the good news."""
    word, fds, _flags, _address = socket.recv_fds(keeper, 2048, 1)
    if word.startswith(b"started"):
        return None, fds
    return word.decode(errors="replace").removeprefix("error ") or "it was killed while starting", fds


def keep_session(
    request: dict[str, Any],
    channel: socket.socket,
    become: Callable[[Callable[[], Descriptors] | None], object],
    drop: Callable[[dict[str, Any]], object],
) -> NoReturn:
    """The keeper: make the program by `become`, give up rights by `drop`, and stay until all of the session is over."""
    sys_.set_title("session")
    sys_.prctl(sys_.PR_SET_DUMPABLE, 0)
    sys_.prctl(sys_.PR_SET_CHILD_SUBREAPER, 1)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    masters = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    size = request["session"]["terminal"]
    child = os.fork()
    if child == 0:
        try:
            become(None if size is None else lambda: open_terminal(size, masters[1]))
        except BaseException as error:  # noqa: BLE001 (nothing may run on in this fork)
            os.write(writer, str(error).encode()[:1000] or b"unknown")
        os._exit(127)
    os.close(writer)
    masters[1].close()
    # The ends of the program's pipes are the program's alone, and what the shim has open is nobody's in here.
    sys_.close_all_but(channel.fileno(), reader, masters[0].fileno())
    drop(request)
    _word, master, _flags, _address = socket.recv_fds(masters[0], 16, 1) if size is not None else (b"", [], 0, None)
    failure = os.read(reader, 1000)
    if failure:
        channel.send(b"error " + failure)
        os._exit(1)
    socket.send_fds(channel, [b"started"], master) if master else channel.send(b"started")
    for fd in master:
        os.close(fd)
    status = _watch(child, channel)
    end_descendants(lambda _pid, _status: None)
    try:
        channel.send(b"exit %d" % status)
    except OSError:
        pass  # The helper has gone, and the caller before it.
    os._exit(0)


def _watch(child: int, channel: socket.socket) -> int:
    """The wait status of the child; that of SIGKILL when the other end of the channel closed before it ended."""
    woken, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, _pass)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    poll = select.poll()
    poll.register(woken, select.POLLIN)
    poll.register(channel, select.POLLIN)
    ended: dict[int, int] = {}
    while True:
        reap(ended.__setitem__)
        if child in ended:
            return ended[child]
        ended.clear()
        ready = {fd for fd, _event in poll.poll()}
        if woken in ready:
            os.read(woken, 4096)
        if channel.fileno() in ready:
            word = channel.recv(64)
            if not word:
                return int(signal.SIGKILL)
            try:
                os.killpg(child, int(word.split()[1]))
            except OSError:
                pass  # It ended before the signal came.


def open_terminal(size: list[int], master_to: socket.socket) -> Descriptors:
    """A new terminal of the container, made with the tenant's rights; its master goes to the keeper.

    `size` is columns, rows, width and height in pixels. The program is the leader of a session already.
    """
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    fcntl.ioctl(master, _TIOCSWINSZ, window(size))
    # Not opened by its name: that could lead anywhere by now.
    terminal = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(terminal, _TIOCSCTTY, 0)
    socket.send_fds(master_to, [b"master"], [master])
    os.close(master)
    return terminal, terminal, terminal


def window(size: list[int]) -> bytes:
    """As the kernel wants it: rows, columns, width and height."""
    columns, rows, width, height = (min(max(number, 0), 65535) for number in size)
    return struct.pack("HHHH", rows, columns, width, height)


def drop_all_but_kill(request: dict[str, Any]) -> None:
    """The keeper needs to end processes of the tenant, and nothing else."""
    sys_.drop_capabilities(keep=_CAP_KILL)
    sys_.prctl(sys_.PR_SET_NO_NEW_PRIVS, 1)
    sys_.install_filter(request["filter"])


def _attend(keeper: int, channel: socket.socket, connection: socket.socket) -> int:
    """Pass signals on; let the keeper end everything when the caller hangs up. Returns the program's wait status."""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    poll.register(connection, select.POLLIN)
    status = int(signal.SIGKILL)
    while True:
        ready = {fd for fd, _event in poll.poll()}
        if channel.fileno() in ready:
            try:
                word = channel.recv(64)
            except OSError:
                word = b""
            if word:
                status = int(word.split()[1])
            break
        try:
            message, _fds = wire.receive(connection)
            channel.send(b"signal %d" % message["signal"])
        except (EOFError, OSError):
            poll.unregister(connection)
            channel.shutdown(socket.SHUT_WR)
    os.waitpid(keeper, 0)
    return status


def _pass(_signum: int, _frame: object) -> None:
    """A handler of our own, or no byte would be written."""
