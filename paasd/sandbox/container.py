"""One container: start its program, see how it ends, reach into it, measure it. `Sandbox` makes and destroys it."""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import trio

from paasd.containment import contained
from paasd.processors import GIVEN
from paasd.sandbox import channel, upper
from paasd.sandbox.exits import read_exit
from paasd.sandbox.network import Attachment
from paasd.sandbox.parts import Parts
from paasd.sandbox.processes import open_process
from paasd.sandbox.records import (
    ContainerSpec,
    Exit,
    NotRunning,
    ProcessSpec,
    Record,
    SandboxError,
    Terminal,
    Usage,
    encode_record,
)
from paasd.sandbox.session import Exec, Session, session_message, started
from paasd.sandbox.slots import UIDS_PER_SLOT, uid_base
from paasd.sandbox.takedown import mount_layers

PORT = 8080
_RETRY_S = 0.01
_FALLBACK_PATH = "/usr/local/bin:/usr/bin:/bin"


class Container:
    """A place for one program at a time. After the program has ended another one may be started on the same disk."""

    def __init__(self, parts: Parts, record: Record, attachment: Attachment, disk: Path) -> None:
        self.record = record
        self._parts = parts
        self._attachment = attachment
        self._disk = disk
        self._busy = trio.Lock()
        self._pidfds: dict[str, int] = {}
        self._ended = trio.Event()
        self._watching = trio.CancelScope()
        self._doomed = False
        self.removal = trio.Lock()
        """Held while the container is destroyed, which happens once however many ask for it."""
        self._exit: Exit | None = None
        self.owner: Callable[[str], Awaitable[None]] | None = None

    @property
    def guid(self) -> str:
        return self.record.spec.guid

    @property
    def spec(self) -> ContainerSpec:
        return self.record.spec

    @property
    def address(self) -> str:
        """Where its ports are; only this host reaches it."""
        return self._attachment.address

    @property
    def port(self) -> int:
        """Where its program is to listen: the same in every container, for each has an address of its own."""
        return PORT

    @property
    def root(self) -> str:
        """Nothing: paths of the container are what its programs see."""
        return ""

    @property
    def has_run(self) -> bool:
        """Whether a program was ever started in it."""
        return self.record.run > 0

    @property
    def spool(self) -> Path:
        """Directory of its output, written by the shim, also while no daemon runs."""
        return self._parts.directory_of(self.guid) / "spool"

    @property
    def running(self) -> bool:
        """Whether a program was started and has not been seen to end."""
        return "shim" in self._pidfds and self._exit is None

    @property
    def oom_kills(self) -> int:
        """How often the kernel killed for memory in here, since `create`."""
        return self._parts.cgroups.oom_kills(self.guid)

    @property
    def forks_refused(self) -> int:
        """How often a new process was refused in here for the limit of `pids`, since `create`."""
        return self._parts.cgroups.forks_refused(self.guid)

    async def start(self, process: ProcessSpec, layers: tuple[Path, ...] | None = None) -> None:
        """Run a program; returns when it has been executed. `layers`, if given, replace those of the specification.

        Raises SandboxError when it cannot be executed (the text names the step), or when one is running already.
        """
        async with self._busy:
            if self._doomed:
                raise SandboxError(f"container {self.guid} is being destroyed")
            if self.running:
                raise SandboxError(f"container {self.guid} is running already")
            self._close()
            self._ended, self._exit = trio.Event(), None
            if layers is not None:
                await self._replace_layers(layers)
            previous = self.run_directory
            self.record = msgspec.structs.replace(self.record, run=self.record.run + 1)
            await trio.to_thread.run_sync(self._prepare_run, previous)
            try:
                facts = await self._start_shim(process)
            except BaseException:
                with trio.CancelScope(shield=True):
                    await self._end_start()
                raise
            self.hold(facts)

    async def _start_shim(self, process: ProcessSpec) -> dict[str, Any]:
        limit_s = self._parts.config.start_timeout_s
        try:
            with trio.fail_after(limit_s):
                return await self._parts.zygote.start_shim(await self._request(process))
        except trio.TooSlowError as error:
            raise SandboxError(f"the container did not start within {limit_s:g} s; is the disk busy?") from error

    def hold(self, facts: dict[str, Any]) -> None:
        """Take over the processes of a run, named by pid and start time, and watch for their end."""
        for name in ("shim", "pid1", "app"):
            pid = facts.get(name, -1)
            pidfd = open_process(pid, facts.get(f"{name}_started", -1)) if pid > 0 else None
            if pidfd is not None:
                self._pidfds[name] = pidfd
        # Shielded: also a node that is being cancelled must see its containers end, for it waits for that.
        self._watching = trio.CancelScope(shield=True)
        self._parts.nursery.start_soon(self._watch, self.run_directory, self._watching)

    async def wait(self) -> Exit:
        """How the run ended, as soon as it has. May be called any number of times. NotRunning before the first run."""
        if self.record.run == 0:
            raise NotRunning(f"container {self.guid} was never started")
        await self._ended.wait()
        if self._exit is None:
            raise NotRunning(f"container {self.guid} did not start")
        return self._exit

    def signal(self, signum: int) -> None:
        """Send a signal to the app (its first process). Raises NotRunning."""
        app = self._pidfds.get("app")
        try:
            if app is None or self._exit is not None:
                raise ProcessLookupError
            signal.pidfd_send_signal(app, signum)
        except ProcessLookupError as error:
            raise NotRunning(f"container {self.guid} has no running app") from error

    async def set_deadline(self, deadline: float | None) -> None:
        """Let the run end at this time of CLOCK_BOOTTIME, whatever becomes of this daemon; None lets it run.

        Raises NotRunning, also for a run of an earlier paasd, which knows no deadlines.
        """
        try:
            await channel.send_datagram(self.run_directory, "deadline.sock", {"deadline": deadline})
        except OSError as error:
            raise NotRunning(f"container {self.guid} takes no deadline: {error.strerror}") from error

    async def kill(self) -> None:
        """SIGKILL to everything inside, at once; returns when all of it is gone and the exit is known."""
        if not self.running:
            return
        marker = self.run_directory / "killed"
        with contextlib.suppress(OSError):  # no space for the word "killed" is no reason to let it live
            await trio.to_thread.run_sync(marker.write_text, str(self.oom_kills))
        self._kill_processes()
        with trio.move_on_after(self._parts.config.kill_timeout_s):
            await self._ended.wait()
            return
        shim = self._pidfds.get("shim")
        if shim is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(shim, signal.SIGKILL)
        await self._ended.wait()

    async def exec(
        self, argv: Sequence[str], env: dict[str, str], cwd: str, fds: tuple[int, int, int] | None = None
    ) -> Exec:
        """Run one more program inside, held by the same bounds. `fds` become its 0, 1 and 2 (the caller keeps its own).

        Without `fds` it reads nothing and writes into the container's spool. Raises NotRunning, or SandboxError when
        the program cannot be executed.
        """
        connection = await self._control()
        try:
            message = {"argv": list(argv), "env": {"PATH": _FALLBACK_PATH, **env}, "cwd": cwd}
            await channel.send(connection, message, fds or ())
            answer = await channel.receive(connection)
        except (OSError, EOFError) as error:
            connection.close()
            raise NotRunning(f"container {self.guid} ended meanwhile") from error
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
        """Run a program for a person, beside the container's own and with its environment, to which `env` is added.

        Raises NotRunning, or SandboxError when the program cannot be executed.
        """
        connection = await self._control()
        try:
            await channel.send(connection, session_message(argv, env, cwd, terminal))
        except OSError as error:
            connection.close()
            raise NotRunning(f"container {self.guid} ended meanwhile") from error
        return Session(connection, await started(connection, f"cannot run {argv[0]}"))

    async def connect(self, host: str, port: int, *, datagrams: bool = False) -> int:
        """A socket inside that is connected to a numeric address, with the tenant's rights and under its rules.

        The caller closes it. Raises NotRunning, or SandboxError with the reason of the refusal.
        """
        connection = await self._control()
        try:
            await channel.send(connection, {"connect": [host, port, datagrams]})
        except OSError as error:
            connection.close()
            raise NotRunning(f"container {self.guid} ended meanwhile") from error
        made = await started(connection, f"cannot connect to {host} port {port}")
        connection.close()
        return made[0]

    async def _control(self) -> trio.socket.SocketType:
        if not self.running:
            raise NotRunning(f"container {self.guid} is not running")
        try:
            return await channel.connect(self.run_directory, "control.sock")
        except OSError as error:
            raise NotRunning(f"container {self.guid} is not running") from error

    def usage(self) -> Usage:
        """What it uses now. Reads a few kernel files, about 0.1 ms. NotRunning when the container is destroyed."""
        try:
            tally = self._parts.cgroups.tally(self.guid)
            disk = self._parts.disks.usage(self.guid).used_bytes
        except OSError as error:
            raise NotRunning(f"container {self.guid} is gone") from error
        return Usage(cpu_ns=tally.cpu_ns, memory_bytes=tally.memory_bytes, disk_bytes=disk, pids=tally.pids)

    def open_output(self, relative: str, limit_bytes: int) -> int:
        """An fd on a regular file that was written inside, by its path below the root. The caller closes it.

        Raises Unprocessable when there is none or it is a link, TooLarge above the limit.
        """
        return upper.open_regular(self._disk / "upper", relative, limit_bytes)

    async def destroy(self) -> None:
        """Kill what runs and remove every kernel object and file of it; see `Sandbox.destroy`."""
        if self.owner is not None:
            await self.owner(self.guid)

    @property
    def run_directory(self) -> Path:
        return self._parts.directory_of(self.guid) / f"run-{self.record.run}"

    def save(self, record: Record) -> None:
        """Replace the record, in memory and on disk. Blocks for a rename."""
        self.record = record
        self._parts.write_record(self.guid, encode_record(record))

    async def doom(self) -> None:
        """Kill what runs, also what is just starting, let nothing start again, and give the layers back."""
        self._doomed = True
        while self._busy.locked():
            await trio.to_thread.run_sync(partial(self._parts.kill_remains, self.guid))
            await trio.sleep(_RETRY_S)
        await self.kill()
        self.release()
        layers = self.record.layers
        self.record = msgspec.structs.replace(self.record, layers=())
        for layer in layers:
            await self._parts.images.release(layer)

    def release(self) -> None:
        """Let go of the processes without touching them. A `wait` that has no answer yet never gets one."""
        self._watching.cancel()
        self._close()

    def _prepare_run(self, previous: Path) -> None:
        shutil.rmtree(previous, ignore_errors=True)
        self.run_directory.mkdir(mode=0o700)
        self.spool.mkdir(mode=0o700, exist_ok=True)
        self.save(self.record)

    async def _replace_layers(self, layers: tuple[Path, ...]) -> None:
        await mount_layers(self._parts.images, layers)
        old = self.record.layers
        self.record = msgspec.structs.replace(self.record, layers=layers)
        for layer in old:
            await self._parts.images.release(layer)

    async def _request(self, process: ProcessSpec) -> dict[str, Any]:
        """The message for the shim. Mounts are counted already: asking for their paths costs nothing."""
        parts, spec = self._parts, self.spec
        stack = await parts.stacks.prepare(spec.stack)
        layers = []
        for layer in self.record.layers:
            layers.append(str(await parts.images.mount(layer)))
            await parts.images.release(layer)
        binds = [{"source": str(source), "target": target, "read_only": True} for source, target in stack.binds]
        binds += [{"source": str(b.source), "target": b.target, "read_only": b.read_only} for b in spec.binds]
        return {
            "guid": self.guid,
            "hostname": parts.hostname_of(self.guid),
            "run_directory": str(self.run_directory),
            "scratch": str(self.run_directory),
            "spool": str(self.spool),
            "spool_limit_bytes": process.spool_limit_bytes,
            "filter_path": str(parts.filter_path),
            "uid_base": uid_base(self.record.slot),
            "uid_count": UIDS_PER_SLOT,
            "netns": str(self._attachment.netns_path),
            "cgroup": parts.cgroups.birthplace(self.guid),
            "cgroups": parts.cgroups.entry_files(self.guid),
            "processors": sorted(GIVEN),
            "oom_file": str(parts.cgroups.oom_file(self.guid)),
            "lowers": [str(stack.lower), *layers],
            "disk": str(self._disk),
            "binds": binds,
            "shm_bytes": parts.config.shm_bytes,
            "open_files": spec.limits.open_files,
            "deadline": process.deadline,
            "argv": list(process.argv),
            "env": {"PATH": _FALLBACK_PATH, **process.env},
            "cwd": process.cwd,
        }

    async def _end_start(self) -> None:
        """After a start that failed or was given up: nothing of it may go on, not even half-started."""
        await trio.to_thread.run_sync(partial(self._parts.kill_remains, self.guid))
        self._ended.set()

    def _kill_processes(self) -> None:
        if not self._parts.cgroups.kill_all(self.guid):
            pid1 = self._pidfds.get("pid1")
            if pid1 is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pid1, signal.SIGKILL)

    async def _watch(self, run_directory: Path, scope: trio.CancelScope) -> None:
        """Until the shim is gone; then its last word is the exit. `release` cancels."""
        with scope:
            shim = self._pidfds.get("shim")
            if shim is not None:
                await trio.lowlevel.wait_readable(shim)
            found: Exit | None = None

            async def look() -> None:
                nonlocal found
                found = await trio.to_thread.run_sync(read_exit, run_directory)
                if found is None:
                    # Pid 1 dies with its shim, by the kernel's hand; this is for one that was not yet so bound.
                    await trio.to_thread.run_sync(partial(self._parts.kill_remains, self.guid))

            # Whatever goes wrong, as with what lives on for ever: those who wait for the end are to hear of it.
            await contained("end of a container", look, container=self.guid)
            self._exit = found or Exit(code=None, signal=None, reason="lost", at=time.time())
            self._close()
            self._ended.set()

    def _close(self) -> None:
        for fd in self._pidfds.values():
            trio.lowlevel.notify_closing(fd)
            os.close(fd)
        self._pidfds.clear()
