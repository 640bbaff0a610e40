"""Programs beside that of a container, seen from the daemon; `launcher/sessions.py` is the other side of a session.

Both kinds of container answer the same messages, so what is here is theirs together.
"""

import contextlib
import fcntl
import os
import termios
from collections.abc import Sequence
from typing import Any

import trio

from paasd.sandbox import channel
from paasd.sandbox.launcher.sessions import window
from paasd.sandbox.records import NotRunning, SandboxError, Terminal


class Exec:
    """A program that was started by `exec` of a container. Closing it, or the end of the daemon, kills the program."""

    def __init__(self, connection: trio.socket.SocketType) -> None:
        self._connection = connection

    async def wait(self) -> int:
        """Exit code; 128 + number when a signal ended it, as shells say it. Call once. NotRunning when it was lost."""
        try:
            answer = await channel.receive(self._connection)
        except (EOFError, OSError) as error:
            raise NotRunning("the program ended with its container") from error
        finally:
            self._connection.close()
        code = os.waitstatus_to_exitcode(answer["exit"])
        return code if code >= 0 else 128 - code

    async def signal(self, signum: int) -> None:
        """Send a signal to the program."""
        with contextlib.suppress(OSError, trio.ClosedResourceError):  # it has ended
            await channel.send(self._connection, {"signal": signum})

    def close(self) -> None:
        self._connection.close()


class Session:
    """A program that a person sits before. Closing it, or the end of the daemon, ends it and all that it started.

    `ends` are descriptors: the master of its terminal, or the near ends of its 0, 1 and 2.
    """

    def __init__(self, connection: trio.socket.SocketType, ends: Sequence[int]) -> None:
        self.ends = tuple(ends)
        self.has_terminal = len(self.ends) == 1
        self._connection = connection

    async def wait(self) -> int:
        """The exit code, negative for the signal that ended it. Call once. NotRunning when it was lost."""
        try:
            answer = await channel.receive(self._connection)
        except (EOFError, OSError) as error:
            raise NotRunning("the instance has ended") from error
        return os.waitstatus_to_exitcode(answer["exit"])

    async def signal(self, signum: int) -> None:
        """Send a signal to the program and what it runs in its own process group."""
        with contextlib.suppress(OSError, trio.ClosedResourceError):  # it has ended
            await channel.send(self._connection, {"signal": signum})

    def resize(self, size: Terminal) -> None:
        """Tell its terminal, if there is one; programs in it get SIGWINCH."""
        if self.has_terminal and self.ends:
            fcntl.ioctl(self.ends[0], termios.TIOCSWINSZ, window(measures(size)))

    def close(self) -> None:
        """End it, and let go of its descriptors. Whoever has duplicates keeps them."""
        self._connection.close()
        self.let_go()

    def let_go(self) -> None:
        """Close its descriptors alone."""
        ends, self.ends = self.ends, ()
        for fd in ends:
            os.close(fd)


def measures(size: Terminal) -> list[int]:
    """As the launcher takes them."""
    return [size.columns, size.rows, size.width, size.height]


def session_message(
    argv: Sequence[str], env: dict[str, str], cwd: str | None, terminal: Terminal | None
) -> dict[str, Any]:
    """What the shim is asked. `env` is added to that of the container's program."""
    message: dict[str, Any] = {
        "argv": list(argv),
        "session": {"env": env, "terminal": None if terminal is None else measures(terminal)},
    }
    return message if cwd is None else {**message, "cwd": cwd}


async def started(connection: trio.socket.SocketType, what: str) -> list[int]:
    """The descriptors that come with the good news. Raises NotRunning, SandboxError; closes the connection then."""
    try:
        answer, fds = await channel.receive_with_fds(connection)
    except (OSError, EOFError) as error:
        connection.close()
        raise NotRunning("the instance has ended") from error
    except BaseException:
        connection.close()
        raise
    if "error" in answer or not fds:
        connection.close()
        why = answer.get("error", "the instance was started by an older paasd; restart it")
        raise SandboxError(f"{what}: {why}")
    return fds
