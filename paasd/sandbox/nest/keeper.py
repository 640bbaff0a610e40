"""The node's side of the keeper: the process that holds all others of a nest. It ends when we do, whatever ends us."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import trio

from paasd.sandbox import channel
from paasd.sandbox.records import SandboxError

_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from launcher.keeper import main; main(*sys.argv[2:4], sys.argv[4:])"
)


class Keeper:
    """Started at once, which takes a moment. It removes the directories `doomed` if we die without `end`."""

    def __init__(self, prefix: str, doomed: Iterable[Path]) -> None:
        ours, theirs = socket.socketpair()
        package = str(Path(__file__).parent.parent)
        arguments = [str(os.getpid()), f"paasd-keeper {prefix}", *map(str, doomed)]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BOOT, package, *arguments],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={},
                cwd="/",
            )
        self._prefix = prefix
        self._orders = trio.socket.from_stdlib_socket(ours)
        self._sending = trio.Lock()

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    async def start_shim(self, request: dict[str, Any]) -> tuple[trio.socket.SocketType, dict[str, int]]:
        """The connection of a shim whose program runs, and their pids. Raises SandboxError when it does not start."""
        plain, theirs = socket.socketpair()
        connection = trio.socket.from_stdlib_socket(plain)
        try:
            with theirs:
                async with self._sending:
                    message = {"verb": "start", "prefix": self._prefix, **request}
                    await channel.send(self._orders, message, [theirs.fileno()])
            answer = await channel.receive(connection)
        except (OSError, EOFError) as error:
            connection.close()
            raise SandboxError("the process that holds this node's programs is gone") from error
        except BaseException:
            connection.close()  # Which is the end of what may have been started.
            raise
        if "error" in answer:
            connection.close()
            raise SandboxError(f"the container did not start: {answer['error']}")
        return connection, answer["started"]

    async def end(self) -> None:
        """Kill everything, and return when nothing of it is left."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(OSError):
            async with self._sending:
                await channel.send(self._orders, {"verb": "end"})
        pidfd = os.pidfd_open(self._process.pid)
        try:
            await trio.lowlevel.wait_readable(pidfd)
        finally:
            os.close(pidfd)
        self._process.wait()
        self._orders.close()
