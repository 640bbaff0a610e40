"""The daemon's side of the zygote: finds a living one or starts it, and asks it for shims."""

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trio

from paasd.sandbox import channel
from paasd.sandbox.launcher import wire
from paasd.sandbox.processes import open_process
from paasd.sandbox.records import SandboxError

_SOCKET = "zygote.sock"
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from launcher.zygote import main; main(*sys.argv[2:4], sys.argv[4:])"
)
_HELLO_S = 5.0


class Zygote:
    """Forks shims for one node. The process outlives the daemon; one of another build is replaced."""

    def __init__(self, directory: Path, prefix: str, holder_cgroups: Sequence[str]) -> None:
        """`directory` (0700) holds the socket; the path may be of any length."""
        self._directory = directory
        self._prefix = prefix
        self._holder_cgroups = tuple(holder_cgroups)
        self._starting = trio.Lock()

    async def ensure(self) -> None:
        """Return when a zygote answers. Raises SandboxError when none can be started."""
        async with self._starting:
            facts = await self._hello()
            if facts is not None and facts.get("program") == wire.PROGRAM and facts["python"] == sys.version:
                return
            if facts is not None:
                await trio.to_thread.run_sync(self._kill, facts)
            await trio.to_thread.run_sync(self._spawn)
            if await self._hello() is None:
                raise SandboxError("the launcher process does not answer; look for its messages in the daemon's log")

    async def start_shim(self, request: dict[str, Any]) -> dict[str, Any]:
        """The facts of a started shim. Raises SandboxError with the step that failed and the kernel's answer.

        A zygote that is not there is started first. The request itself is sent once: it may have had effect.
        """
        try:
            connection = await channel.connect(self._directory, _SOCKET)
        except OSError:
            await self.ensure()
            connection = await channel.connect(self._directory, _SOCKET)
        with connection:
            try:
                await channel.send(connection, {"verb": "start", "prefix": self._prefix, **request})
                answer = await channel.receive(connection)
            except (EOFError, OSError) as error:
                raise SandboxError("the shim died while it started the container") from error
        if "error" in answer:
            raise SandboxError(f"the container did not start: {answer['error']}")
        started: dict[str, Any] = answer["started"]
        return started

    async def stop(self) -> None:
        """End the zygote; its shims stay."""
        facts = await self._hello()
        if facts is not None:
            await trio.to_thread.run_sync(self._kill, facts)
        (self._directory / _SOCKET).unlink(missing_ok=True)

    async def _hello(self) -> dict[str, Any] | None:
        with trio.move_on_after(_HELLO_S):
            try:
                with await channel.connect(self._directory, _SOCKET) as connection:
                    await channel.send(connection, {"verb": "hello"})
                    return await channel.receive(connection)
            except (OSError, EOFError):
                return None
        return None

    def _spawn(self) -> None:
        """Start it by a fresh exec with an empty environment; it says a word on its output when it listens."""
        package = str(Path(__file__).parent)
        command = [sys.executable, "-I", "-S", "-c", _BOOT, package, str(self._directory / _SOCKET), self._prefix]
        process = subprocess.Popen(
            [*command, *self._holder_cgroups],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={},
            cwd="/",
        )
        assert process.stdout is not None
        with process.stdout:
            if process.stdout.read(6) != b"ready\n":
                raise SandboxError(f"the launcher process ended at once with status {process.wait()}")
        # It is never waited for: it outlives this object. A thread of the kernel's reaper list would warn about it.
        process.returncode = 0

    @staticmethod
    def _kill(facts: dict[str, Any]) -> None:
        pidfd = open_process(facts["pid"], facts["started"])
        if pidfd is None:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(_HELLO_S * 1000)
        os.close(pidfd)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(facts["pid"], 0)
