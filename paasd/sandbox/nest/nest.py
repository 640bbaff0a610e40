"""The nest of a node: makes containers of plain processes, and takes every one of them down with it."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path

import trio

from paasd.errors import Unprocessable
from paasd.sandbox.disk.stacks import ALIASES, NAMES, StackRoot
from paasd.sandbox.nest.container import PlainContainer
from paasd.sandbox.nest.keeper import Keeper
from paasd.sandbox.nest.layers import Layers
from paasd.sandbox.nest.ports import Ports
from paasd.sandbox.network import Policies
from paasd.sandbox.processes import GUID
from paasd.sandbox.records import ContainerSpec, SandboxError


class PlainStacks:
    """Every stack is the host as it is: an app may ask for the one that it has in production."""

    def names(self) -> tuple[str, ...]:
        return tuple(sorted((*NAMES, *ALIASES)))

    async def prepare(self, name: str) -> StackRoot:
        """Raises Unprocessable for a name that no platform has."""
        if name not in self.names():
            raise Unprocessable(f"unknown stack {name!r}: this platform has {', '.join(self.names())}")
        return StackRoot(ALIASES.get(name, name), "plain", Path("/"))


class Nest:
    """Made by `open_nest`. Its containers end with it: nothing is ever found again."""

    holder_files: tuple[Path, ...] = ()
    network = None

    def __init__(self, directory: Path, keeper: Keeper, layers: Layers, ports: Ports, nursery: trio.Nursery) -> None:
        self.containers: dict[str, PlainContainer] = {}
        self.prepared: Callable[[Policies], AbstractAsyncContextManager[object]] = nullcontext
        """Without a network of its own nothing has rules."""
        self.on_removed: Callable[[], None] = lambda: None
        self.stacks = PlainStacks()
        self.prefix = directory.parent.name
        self._directory = directory
        self._keeper = keeper
        self._layers = layers
        self._ports = ports
        self._nursery = nursery

    @property
    def keeper_pid(self) -> int:
        """The process from which all others of the nest stem."""
        return self._keeper.pid

    async def create(self, spec: ContainerSpec) -> PlainContainer:
        """A container in which nothing runs yet. Raises SandboxError, Unavailable (no port)."""
        if GUID.fullmatch(spec.guid) is None:
            raise SandboxError(f"not a container name: {spec.guid!r}")
        if spec.guid in self.containers:
            raise SandboxError(f"container {spec.guid} exists already")
        parts = self._keeper, self._layers, self._nursery
        container = PlainContainer(spec, self._directory / spec.guid, self._ports.take(), self.destroy, *parts)
        self.containers[spec.guid] = container
        try:
            await trio.to_thread.run_sync(container.make)
        except BaseException:
            with trio.CancelScope(shield=True):
                await self.destroy(spec.guid)
            raise
        return container

    async def destroy(self, guid: str) -> None:
        """Kill what runs in a container and remove every trace of it. Nothing happens when there is none."""
        container = self.containers.get(guid)
        if container is None:
            return
        with trio.CancelScope(shield=True):
            await container.take_down()
        if self.containers.pop(guid, None) is not None:
            self._ports.give_back(container.port)

    async def kill(self) -> None:
        """SIGKILL to every process at once, as when the machine loses its power. Nothing can be started afterwards."""
        await self._keeper.end()


@asynccontextmanager
async def open_nest(
    data_dir: Path, *, layers: Layers, ports: Ports, doomed: Iterable[Path] = ()
) -> AsyncIterator[Nest]:
    """The containers of an absolute data directory that lies in `layers.family`; all of them end with the block.

    When this process dies before that, they end as well, and the directories `doomed` are removed.
    """
    directory = data_dir / "nest"
    await trio.to_thread.run_sync(shutil.rmtree, directory, True)
    directory.mkdir(mode=0o700, parents=True)
    keeper = Keeper(data_dir.name, doomed)
    async with trio.open_nursery() as nursery:
        nest = Nest(directory, keeper, layers, ports, nursery)
        try:
            yield nest
        finally:
            with trio.CancelScope(shield=True):
                await nest.kill()
                for guid in list(nest.containers):
                    await nest.destroy(guid)
                await trio.to_thread.run_sync(shutil.rmtree, directory, True)
            nursery.cancel_scope.cancel()
