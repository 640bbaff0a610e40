"""A simulated machine: its clocks, its disk, and containers with shims, all of which outlive the daemon.

In place of `paasd.sandbox`: a container is a promise that its program runs from `start` until it exits, is killed, or
its shim ends it at the deadline, by this machine's own clock. A machine that is paused does nothing, its shims
included; when it goes on they look at the clock before anything else happens.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import trio

from paasd.config import LogsConfig
from paasd.sandbox import ContainerSpec, Exit, NotRunning, ProcessSpec, Usage
from paasd.supervisor.launch import Identity, identity_of
from tests.simulation.joint.fabric import Fabric

T = TypeVar("T")
BEGINNING_S = 1_700_000_000.0
NOWHERE = Path("/nonexistent/spool")


class Machine:
    """One machine with its containers. `rate` and `offset_s` are those of its clocks."""

    def __init__(self, fabric: Fabric, seed: int, guid: str, zone: str, directory: Path) -> None:
        self.fabric = fabric
        self.guid = guid
        self.zone = zone
        self.directory = directory
        self.random = Random(f"machine {seed} {guid}")
        self.rate = 1.0
        self.offset_s = 0.0
        self.slow_disk_s = 0.0
        self.containers: dict[str, Container] = {}
        self.on_change: Callable[[Container], None] = lambda _container: None
        self._booted_at = 0.0
        self._names = 0

    def boot_s(self) -> float:
        """In place of CLOCK_BOOTTIME."""
        return (trio.current_time() - self._booted_at) * self.rate

    def wall_s(self) -> float:
        return BEGINNING_S + self.offset_s + trio.current_time() * self.rate

    def when(self, boot_s: float) -> float:
        """The moment at which its clock shows this."""
        return self._booted_at + boot_s / self.rate

    async def on_disk(self, function: Callable[..., T], *arguments: Any) -> T:
        """What runs SQLite's calls: at once, or after as long as the disk takes."""
        if self.slow_disk_s:
            await trio.sleep(self.random.uniform(0.0, self.slow_disk_s))
        else:
            await trio.lowlevel.checkpoint()
        return function(*arguments)

    def lose(self) -> None:
        """Power is gone, and everything with it that runs."""
        self.fabric.down.add(self.guid)
        for container in list(self.containers.values()):
            container.end(Exit(code=None, signal=None, reason="lost", at=self.wall_s()))
        self.containers.clear()

    def boot(self) -> None:
        self.fabric.down.discard(self.guid)
        self._booted_at = trio.current_time()

    def resume(self) -> None:
        for container in self.containers.values():
            container.look()

    @property
    def paused(self) -> bool:
        return self.guid in self.fabric.paused

    def free_address(self) -> str:
        """What no container here has: of two instances at one address routers see one."""
        taken = {one.address for one in self.containers.values()}
        network = f"10.1.{self.fabric.nodes.index(self.guid)}"
        return next(one for number in count(2) if (one := f"{network}.{number}") not in taken)

    def new_name(self) -> str:
        self._names += 1
        return f"{self.guid}-{self._names}"


class Container:
    """See `paasd.sandbox.AnyContainer`."""

    port = 8080
    root = ""
    oom_kills = 0
    forks_refused = 0
    spool = NOWHERE

    def __init__(self, machine: Machine, spec: ContainerSpec) -> None:
        self.guid = spec.guid
        self.spec = spec
        self.address = machine.free_address()
        self.identity: Identity | None = identity_of(spec.labels)
        self.machine = machine
        self.running = False
        self.has_run = False
        self.deadline: float | None = None
        self._stubborn = machine.random.random() < 0.15
        self._exit: Exit | None = None
        self._ended = trio.Event()

    async def start(self, process: ProcessSpec, layers: tuple[Path, ...] | None = None) -> None:
        await trio.sleep(self.machine.random.uniform(0.01, 0.1))
        while self.machine.paused:
            await trio.sleep(0.1)
        if self.machine.containers.get(self.guid) is not self:
            raise NotRunning("the container is gone")
        if process.deadline is not None and self.machine.boot_s() >= process.deadline:
            raise NotRunning("the lease under which it was to run has ended")
        self.deadline = process.deadline
        self.running = self.has_run = True
        self._exit = None
        self._ended = trio.Event()
        self.machine.on_change(self)
        self._watch()

    async def wait(self) -> Exit:
        if not self.has_run:
            raise NotRunning("nothing was started")
        await self._ended.wait()
        assert self._exit is not None
        return self._exit

    def signal(self, signum: int) -> None:
        if not self.running:
            raise NotRunning("it has ended")
        if not self._stubborn:
            after_s = self.machine.random.uniform(0.0, 1.5)
            self.machine.fabric.post.at(trio.current_time() + after_s, lambda: self._exits(signum))

    def _exits(self, signum: int) -> None:
        if self.machine.paused:
            self.machine.fabric.post.at(trio.current_time() + 0.5, lambda: self._exits(signum))
        else:
            self.end(Exit(code=None, signal=signum, reason="signal", at=self.machine.wall_s()))

    async def set_deadline(self, deadline: float | None) -> None:
        await trio.lowlevel.checkpoint()
        if not self.running or self.machine.paused:
            raise NotRunning("its shim does not answer")
        self.deadline = deadline
        self._watch()

    async def kill(self) -> None:
        await trio.lowlevel.checkpoint()
        self.end(Exit(code=None, signal=9, reason="killed", at=self.machine.wall_s()))

    async def destroy(self) -> None:
        await self.kill()

    def usage(self) -> Usage:
        return Usage(cpu_ns=0, memory_bytes=0, disk_bytes=0, pids=1)

    def crash(self) -> None:
        self.end(Exit(code=1, signal=None, reason="exited", at=self.machine.wall_s()))

    def end(self, how: Exit) -> None:
        if self.running:
            self.running = False
            self._exit = how
            self._ended.set()
            self.machine.on_change(self)

    def _watch(self) -> None:
        if self.deadline is not None:
            self.machine.fabric.post.at(self.machine.when(self.deadline), self.look)

    def look(self) -> None:
        """The shim looks at the clock."""
        due = self.deadline is not None and self.machine.boot_s() >= self.deadline - 1e-6
        if due and self.running and not self.machine.paused:
            self.end(Exit(code=None, signal=9, reason="lease ended", at=self.machine.wall_s()))


class Sandbox:
    """See `paasd.sandbox.AnySandbox`, as far as instances need it. A new one for each daemon; containers stay."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    @property
    def containers(self) -> dict[str, Container]:
        return self._machine.containers

    async def create(self, spec: ContainerSpec) -> Container:
        await trio.sleep(self._machine.random.uniform(0.02, 0.3))
        container = self._machine.containers[spec.guid] = Container(self._machine, spec)
        return container

    async def destroy(self, guid: str) -> None:
        await trio.lowlevel.checkpoint()
        container = self._machine.containers.get(guid)
        if container is not None:
            await container.kill()
            self._machine.containers.pop(guid, None)


class Silence:
    """In place of `paasd.logs.Logs`: nothing that an instance says is kept."""

    config = LogsConfig(spool_poll_s=1800.0)

    def __init__(self, machine: Machine) -> None:
        self.clock = machine.wall_s
        self.inotify = self
        self.pace = self

    def cursor(self, _key: str) -> None:
        return None

    @contextmanager
    def watching(self, _directory: Path) -> Iterator[None]:
        yield

    def armed(self, _handle: None) -> trio.Event:
        return trio.Event()

    async def take(self, _count: int) -> None:
        await trio.lowlevel.checkpoint()

    async def ingest(self, *_: Any) -> None:
        await trio.lowlevel.checkpoint()

    async def forget_cursor(self, _key: str) -> None:
        await trio.lowlevel.checkpoint()

    def append(self, *_: Any) -> None:
        """Not kept."""

    def say(self, *_: Any, **__: Any) -> None:
        """Not kept."""
