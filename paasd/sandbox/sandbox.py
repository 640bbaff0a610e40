"""The sandbox of a node: makes containers from all their parts, takes them down again, finds them after a restart."""

import fcntl
import hashlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import trio

from paasd.config import DiskConfig, NetworkConfig, SandboxConfig
from paasd.sandbox import adoption, seccomp, upper
from paasd.sandbox.cgroups import CgroupDriver, detect, read_mountinfo
from paasd.sandbox.container import Container
from paasd.sandbox.disk import Images, Stacks, open_disks, open_images, open_stacks
from paasd.sandbox.network import Network, Policies, open_network
from paasd.sandbox.parts import Parts
from paasd.sandbox.processes import GUID
from paasd.sandbox.records import ContainerSpec, Record, SandboxError, encode_record
from paasd.sandbox.slots import Slots, uid_base
from paasd.sandbox.takedown import mount_layers, take_down
from paasd.sandbox.treatment import Treatment
from paasd.sandbox.zygote import Zygote

SLOTS = Path("/run/paasd/slots.json")
_PREFIX_LENGTH = 6
A = TypeVar("A")
B = TypeVar("B")


def node_prefix(data_dir: Path) -> str:
    """Six letters and digits that mark everything on the host that belongs to the node with this data directory."""
    digest = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()
    return digest[:_PREFIX_LENGTH]


def _boot_clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@asynccontextmanager
async def open_sandbox(
    config: SandboxConfig,
    data_dir: Path,
    *,
    network: NetworkConfig | None = None,
    disk: DiskConfig | None = None,
    keep: bool = True,
    slots: Path = SLOTS,
    clock: Callable[[], float] = _boot_clock,
) -> AsyncIterator["Sandbox"]:
    """The containers of a data directory: those that run are taken over, all else that carries its mark is removed.

    Leaving keeps containers and their processes, unless `keep` is false (tests, embedded nodes): then all of it is
    taken down. `clock` never goes back while the host runs. Raises SandboxError when another daemon has the directory.
    """
    async with AsyncExitStack() as stack:
        configs = (config, network or NetworkConfig(), disk or DiskConfig())
        parts = await _open_parts(stack, *configs, data_dir, slots, clock)
        sandbox = Sandbox(parts, await adoption.adopt(parts))
        parts.nursery.start_soon(sandbox.treatment.keep)
        try:
            yield sandbox
        finally:
            with trio.CancelScope(shield=True):
                await sandbox.close(keep=keep)


async def _open_parts(
    stack: AsyncExitStack,
    config: SandboxConfig,
    network: NetworkConfig,
    disk: DiskConfig,
    data_dir: Path,
    slots: Path,
    clock: Callable[[], float],
) -> Parts:
    """Every driver, closed by `stack` in the opposite order; the nursery of watchers is the last to be opened."""
    directory, run_dir = _directories(data_dir)
    data_dir = directory.parent
    prefix = node_prefix(data_dir)
    cgroups = CgroupDriver(detect(read_mountinfo(), config.cgroup_parent), prefix)
    stack.callback(os.close, _lock(directory))
    await trio.to_thread.run_sync(cgroups.open)
    filter_path = directory / "seccomp.bpf"
    await trio.to_thread.run_sync(seccomp.write_filter, filter_path)
    zygote = Zygote(run_dir, prefix, cgroups.holder_files())
    await zygote.ensure()
    enter = stack.enter_async_context
    images = await enter(open_images(disk, directory=data_dir / "images", run_dir=run_dir / "images"))
    stacks = open_stacks(disk, directory=data_dir / "stacks", run_dir=run_dir / "stacks", images=images)
    return Parts(
        config=config,
        prefix=prefix,
        boot=_boot_id(),
        containers=directory / "containers",
        disk_mounts=run_dir / "disks",
        filter_path=filter_path,
        slots=Slots(slots, data_dir),
        cgroups=cgroups,
        zygote=zygote,
        network=await enter(open_network(network, prefix=prefix, run_dir=run_dir, clock=clock)),
        disks=await enter(open_disks(disk, directory=data_dir / "disks", run_dir=run_dir / "disks")),
        images=images,
        stacks=await enter(stacks),
        nursery=await enter(trio.open_nursery()),
    )


def _directories(data_dir: Path) -> tuple[Path, Path]:
    """Where records and where sockets and mounts are, made if missing."""
    data_dir = data_dir.resolve()
    directory, run_dir = data_dir / "sandbox", data_dir / "run"
    for path in (directory, directory / "containers", run_dir):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory, run_dir


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _lock(directory: Path) -> int:
    """Two daemons on one data directory would take down each other's containers."""
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise SandboxError(f"another daemon runs on {directory.parent}; stop it or name another --data") from error
    return fd


async def _together(first: Callable[[], Awaitable[A]], second: Callable[[], Awaitable[B]]) -> tuple[A, B]:
    """Both results. When one fails, its error, after the other has ended: the caller takes down what that made."""
    results: dict[int, Any] = {}
    errors: list[Exception] = []

    async def one(number: int, work: Callable[[], Awaitable[Any]]) -> None:
        try:
            results[number] = await work()
        except Exception as error:  # noqa: BLE001 (raised again below, alone instead of in a group)
            errors.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one, 0, first)
        nursery.start_soon(one, 1, second)
    if errors:
        raise errors[0]
    return results[0], results[1]


class Sandbox:
    """Made by `open_sandbox`. `containers` holds every container there is, by guid."""

    def __init__(self, parts: Parts, containers: dict[str, Container]) -> None:
        self.containers = containers
        self.prepared: Callable[[Policies], AbstractAsyncContextManager[object]] = nullcontext
        """Entered while a container is made: sees to it that its shared network rules are there before it is."""
        self.on_removed: Callable[[], None] = lambda: None
        """Called when a container is gone: its rules may be nobody's any more."""
        self._parts = parts
        self._making: set[str] = set()
        self.treatment = Treatment(parts, containers)
        for container in containers.values():
            container.owner = self.destroy

    @property
    def prefix(self) -> str:
        """The mark of this node's objects on the host."""
        return self._parts.prefix

    @property
    def holder_files(self) -> tuple[Path, ...]:
        """The `cgroup.procs` files that a process joins in order to outlive the daemon's service."""
        return tuple(Path(path) for path in self._parts.cgroups.holder_files())

    @property
    def network(self) -> Network:
        """The network of the containers, for the resolver."""
        return self._parts.network

    @property
    def stacks(self) -> Stacks:
        """What containers can start from."""
        return self._parts.stacks

    @property
    def images(self) -> Images:
        """The mounted layers."""
        return self._parts.images

    async def create(self, spec: ContainerSpec) -> Container:
        """Make a container in which nothing runs yet. After an error nothing of it is left.

        Raises SandboxError, and what the parts raise: Unavailable (disk, addresses, slots), Unprocessable (egress,
        binds), MountError, StackMissing.
        """
        if GUID.fullmatch(spec.guid) is None:
            raise SandboxError(f"not a container name: {spec.guid!r}")
        if spec.guid in self.containers or spec.guid in self._making:
            raise SandboxError(f"container {spec.guid} exists already")
        self._making.add(spec.guid)
        try:
            async with self.prepared(spec.policies):
                container = await self._make(spec)
                container.owner = self.destroy
                self.containers[spec.guid] = container
        except BaseException:
            with trio.CancelScope(shield=True):
                await take_down(self._parts, spec.guid)
            raise
        finally:
            self._making.discard(spec.guid)
        return container

    async def destroy(self, guid: str) -> None:
        """Kill what runs in a container and remove every trace of it. Nothing happens when there is none.

        Cannot be cancelled half-way. Raises SandboxError when the kernel does not let go of something; calling again
        goes on where it stopped.
        """
        container = self.containers.get(guid)
        if container is None:
            return
        with trio.CancelScope(shield=True):
            async with container.removal:
                if self.containers.get(guid) is not container:
                    return
                await container.doom()
                await take_down(self._parts, guid, watched=True)
                del self.containers[guid]
                self.on_removed()

    async def destroy_all(self) -> None:
        """Destroy every container, several at a time."""
        async with trio.open_nursery() as nursery:
            for guid in list(self.containers):
                nursery.start_soon(self.destroy, guid)

    async def close(self, *, keep: bool) -> None:
        """Let go of all containers, or take them down with all else that the node has on the host."""
        self.treatment.stop()
        try:
            if not keep:
                await self.destroy_all()
        finally:
            for container in self.containers.values():
                container.release()
        if not keep:
            await self._parts.images.sweep()
            await self._parts.zygote.stop()
            await trio.to_thread.run_sync(self._parts.cgroups.close)

    async def _make(self, spec: ContainerSpec) -> Container:
        parts = self._parts
        slot = await trio.to_thread.run_sync(parts.slots.take, spec.guid)
        record = Record(spec=spec, boot=parts.boot, slot=slot)
        await trio.to_thread.run_sync(self._record_first, record)
        await parts.stacks.prepare(spec.stack)
        await trio.to_thread.run_sync(parts.cgroups.create, spec.guid, spec.limits)
        base, limits = uid_base(slot), spec.limits
        attachment, disk = await _together(
            partial(parts.network.attach, slot, spec.egress, spec.policies),
            partial(parts.disks.create, spec.guid, limits.disk_bytes, limits.inodes, base),
        )
        if parts.config.disk_write_bytes_per_s:
            device = disk.stat().st_dev
            parts.cgroups.throttle(spec.guid, device, parts.config.disk_write_bytes_per_s)
        hostname = parts.hostname_of(spec.guid)
        await trio.to_thread.run_sync(upper.prepare, disk, base, hostname, attachment.address, spec.hosts, spec.binds)
        await mount_layers(parts.images, spec.layers)
        container = Container(parts, record, attachment, disk)
        try:
            container.save(msgspec.structs.replace(record, layers=spec.layers, complete=True))
        except OSError:
            for layer in spec.layers:
                await parts.images.release(layer)
            raise
        return container

    def _record_first(self, record: Record) -> None:
        self._parts.directory_of(record.spec.guid).mkdir(mode=0o700, exist_ok=True)
        self._parts.write_record(record.spec.guid, encode_record(record))
