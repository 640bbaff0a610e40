"""One container of a nest: a directory, a port, and the programs that a shim runs there."""

import contextlib
import errno
import os
import shutil
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import trio

from paasd.sandbox import channel, upper
from paasd.sandbox.exits import name_reason
from paasd.sandbox.launcher.family import descendants_of
from paasd.sandbox.nest.keeper import Keeper
from paasd.sandbox.nest.layers import Layers
from paasd.sandbox.records import ContainerSpec, Exit, NotRunning, ProcessSpec, SandboxError, Terminal, Usage
from paasd.sandbox.session import Exec, Session, session_message, started

ADDRESS = "127.0.0.1"
_FALLBACK_PATH = "/usr/local/bin:/usr/bin:/bin"
_HOME_DIRECTORIES = ("app", "deps", "tmp", "profile.d", "logs", "staging")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class PlainContainer:
    """As `paasd.sandbox.Container`, whose docstrings count here too, without any wall or limit."""

    address = ADDRESS
    oom_kills = 0
    forks_refused = 0

    def __init__(
        self,
        spec: ContainerSpec,
        directory: Path,
        port: int,
        destroy: Callable[[str], Awaitable[None]],
        keeper: Keeper,
        layers: Layers,
        nursery: trio.Nursery,
    ) -> None:
        self.spec = spec
        self.port = port
        self.directory = directory
        self.spool = directory / "spool"
        self.root = str(directory / "root")
        self.has_run = False
        self._destroy = destroy
        self._keeper = keeper
        self._layers = layers
        self._nursery = nursery
        self._busy = trio.Lock()
        self._doomed = False
        self._killed = False
        self._deadline = trio.CancelScope()
        self._connection: trio.socket.SocketType | None = None
        self._telling = trio.Lock()
        self._shim = 0
        self._app = -1
        self._ended = trio.Event()
        self._exit: Exit | None = None
        self._shown: set[Path] = set()

    @property
    def guid(self) -> str:
        return self.spec.guid

    @property
    def running(self) -> bool:
        return self._connection is not None

    def make(self) -> None:
        """The directories, and links in place of mounts. Blocks."""
        root = Path(self.root)
        self.spool.mkdir(mode=0o700, parents=True)
        for path in (root / "tmp", *(root / "home/vcap" / name for name in _HOME_DIRECTORIES)):
            path.mkdir(parents=True)
        for bind in self.spec.binds:
            target = root / bind.target.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(bind.source)

    async def start(self, process: ProcessSpec, layers: tuple[Path, ...] | None = None) -> None:
        async with self._busy:
            if self._doomed:
                raise SandboxError(f"container {self.guid} is being destroyed")
            if self.running:
                raise SandboxError(f"container {self.guid} is running already")
            # What lies on top is copied first, since what is there already stays.
            for layer in reversed(self.spec.layers if layers is None else layers):
                if layer not in self._shown:
                    await self._layers.put(layer, Path(self.root))
                    self._shown.add(layer)
            self._ended, self._exit, self._killed = trio.Event(), None, False
            request = {
                "guid": self.guid,
                "spool": str(self.spool),
                "spool_limit_bytes": process.spool_limit_bytes,
                "argv": list(process.argv),
                "env": {"PATH": _FALLBACK_PATH, **process.env},
                "cwd": process.cwd,
                "deadline": process.deadline,
            }
            connection, pids = await self._keeper.start_shim(request)
            self._shim = pids["shim"]
            with contextlib.suppress(ProcessLookupError):
                self._app = os.pidfd_open(pids["app"])
            self._connection, self.has_run = connection, True
            self._nursery.start_soon(self._watch, connection)
        if process.deadline is not None:
            await self.set_deadline(process.deadline)

    async def wait(self) -> Exit:
        if not self.has_run:
            raise NotRunning(f"container {self.guid} was never started")
        await self._ended.wait()
        assert self._exit is not None
        return self._exit

    def signal(self, signum: int) -> None:
        try:
            if self._app < 0:
                raise ProcessLookupError
            signal.pidfd_send_signal(self._app, signum)
        except ProcessLookupError as error:
            raise NotRunning(f"container {self.guid} has no running app") from error

    async def set_deadline(self, deadline: float | None) -> None:
        if not self.running:
            raise NotRunning(f"container {self.guid} has no running app")
        self._deadline.cancel()
        if deadline is not None:
            self._deadline = trio.CancelScope()
            self._nursery.start_soon(self._end_at, deadline, self._deadline)

    async def _end_at(self, deadline: float, scope: trio.CancelScope) -> None:
        with scope:
            await trio.sleep(max(0.0, deadline - time.clock_gettime(time.CLOCK_BOOTTIME)))
            await self.kill()

    async def kill(self) -> None:
        if self._connection is None:
            return
        self._killed = True
        with contextlib.suppress(OSError):  # It has ended by itself.
            await self._tell({"verb": "kill"})
        await self._ended.wait()

    async def exec(
        self, argv: Sequence[str], env: dict[str, str], cwd: str, fds: tuple[int, int, int] | None = None
    ) -> Exec:
        ours, theirs = socket.socketpair()
        connection = trio.socket.from_stdlib_socket(ours)
        message = {"verb": "exec", "argv": list(argv), "env": {"PATH": _FALLBACK_PATH, **env}, "cwd": cwd}
        try:
            with theirs:
                await self._tell(message, (theirs.fileno(), *(fds or ())))
            answer = await channel.receive(connection)
        except (OSError, EOFError) as error:
            connection.close()
            raise NotRunning(f"container {self.guid} is not running") from error
        except BaseException:
            connection.close()
            raise
        if "error" in answer:
            connection.close()
            raise SandboxError(f"cannot run {argv[0]} in the container: {answer['error']}")
        return Exec(connection)

    async def open_session(
        self, argv: Sequence[str], env: dict[str, str], cwd: str | None, terminal: Terminal | None
    ) -> Session:
        ours, theirs = socket.socketpair()
        connection = trio.socket.from_stdlib_socket(ours)
        message = {"verb": "session", **session_message(argv, env, cwd, terminal)}
        try:
            with theirs:
                await self._tell(message, (theirs.fileno(),))
        except OSError as error:
            connection.close()
            raise NotRunning(f"container {self.guid} is not running") from error
        return Session(connection, await started(connection, f"cannot run {argv[0]}"))

    async def connect(self, host: str, port: int, *, datagrams: bool = False) -> int:
        """On the host itself, which is where its programs are."""
        kind = socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM
        made = trio.socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        try:
            await made.connect((host, port))
        except OSError as error:
            made.close()
            raise SandboxError(f"cannot connect to {host} port {port}: {error.strerror}") from error
        return made.detach()

    def usage(self) -> Usage:
        """Processor time and memory of what runs now; the disk is the host's and not counted."""
        if self._doomed:
            raise NotRunning(f"container {self.guid} is gone")
        ticks = pages = count = 0
        for pid in descendants_of(self._shim) if self.running else ():
            try:
                fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            # utime and stime, its own and those of its children that have ended; resident pages.
            ticks += sum(map(int, fields[11:15]))
            pages += int(fields[21])
            count += 1
        return Usage(cpu_ns=ticks * 10**9 // _TICKS_PER_S, memory_bytes=pages * _PAGE_BYTES, disk_bytes=0, pids=count)

    def open_output(self, relative: str, limit_bytes: int) -> int:
        return upper.open_regular(Path(self.root), relative, limit_bytes)

    async def destroy(self) -> None:
        await self._destroy(self.guid)

    async def take_down(self) -> None:
        """Kill what runs and remove the directory; for the nest, which forgets it then. May be called again."""
        self._doomed = True
        async with self._busy:
            await self.kill()
            await trio.to_thread.run_sync(shutil.rmtree, self.directory, True)

    async def _tell(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        async with self._telling:
            if self._connection is None:
                raise OSError(errno.ESRCH, "nothing runs")
            await channel.send(self._connection, message, fds)

    async def _watch(self, connection: trio.socket.SocketType) -> None:
        """Until the shim has told how its program ended, or is gone itself."""
        # Shielded: also a node that is being cancelled waits for the end of its containers.
        with trio.CancelScope(shield=True):
            try:
                end = await channel.receive(connection)
                killed_at = 0 if self._killed else None
                self._exit = name_reason(end["exit"], 0, 0, end["at"], killed_at_oom=killed_at)
            except (OSError, EOFError):
                self._exit = Exit(code=None, signal=None, reason="lost", at=time.time())
            self._connection = None
            connection.close()
            if self._app >= 0:
                os.close(self._app)
                self._app = -1
            self._ended.set()
