"""One node of an embedded cluster: started, killed as by a power cut, and started again on the same disk."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import trio

from paasd.config import Config
from paasd.errors import Unavailable
from paasd.node import Node, Substitutes, open_node
from paasd.node.joining import join_node
from paasd.node.removed import until_removed
from paasd.sandbox.launcher.family import children_of, descendants_of
from paasd.sandbox.nest import Layers, Nest, Ports, open_nest
from paasd.state.log import MemoryLog
from paasd.testing.faults import QuorumLog, SlowRunner
from paasd.testing.links import Links

START_LIMIT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What the nodes of a cluster have in common in this process."""

    directory: Path
    links: Links
    ports: Ports
    layers: Layers
    log: MemoryLog | None
    """None takes the logs of production."""
    voters: Sequence[str]
    """Addresses of those without most of which the log answers nobody."""
    plain: bool
    """Plain processes instead of the sandbox."""


class EmbeddedNode:
    """Made by `cluster`. Its `directory` stays when it is killed, as a disk does."""

    def __init__(self, shared: Shared, config: Config, nursery: trio.Nursery) -> None:
        self.config = config
        self.directory = Path(config.data)
        self._shared = shared
        self._nursery = nursery
        self._scope = trio.CancelScope()
        self._leave = trio.Event()
        self._ended = trio.Event()
        self._ended.set()
        self._disk = SlowRunner()
        self._node: Node | None = None
        self._nest: Nest | None = None
        self._transport: httpx.AsyncHTTPTransport | None = None
        self._api: httpx.AsyncClient | None = None

    @property
    def name(self) -> str:
        return self.config.node.name

    @property
    def zone(self) -> str:
        return self.config.node.zone

    @property
    def alive(self) -> bool:
        """Whether it serves: started, and not killed since."""
        return self._node is not None

    @property
    def node(self) -> Node:
        """The node itself, with all its parts. Raises Unavailable when it does not run."""
        if self._node is None:
            raise Unavailable(f"{self.name} does not run")
        return self._node

    @property
    def api(self) -> httpx.AsyncClient:
        """A client of this node's API as root, by its Unix socket. Raises Unavailable when it does not run."""
        if self._api is None:
            raise Unavailable(f"{self.name} does not run")
        return self._api

    @property
    def transport(self) -> httpx.AsyncHTTPTransport:
        """What `api` sends its requests by. Raises Unavailable when the node does not run."""
        if self._transport is None:
            raise Unavailable(f"{self.name} does not run")
        return self._transport

    @property
    def address(self) -> str:
        """Its own on the network of the cluster."""
        return self.config.cluster.listen

    @property
    def https_port(self) -> int:
        return self.config.router.https_port

    async def start(self) -> None:
        """Returns when it serves. Raises what the node raises when it cannot start."""
        if not self._ended.is_set():
            return
        self._ended, self._leave = trio.Event(), trio.Event()
        self._scope = trio.CancelScope()
        self._shared.links.set_down(self.address, False)
        with trio.fail_after(START_LIMIT_S):
            await self._nursery.start(self._run)

    async def join(self, token: str) -> None:
        """Become a member by this token, and start. Raises PaasdError."""
        await join_node(self.config, token, _nothing_to_say)
        await self.start()

    async def kill(self) -> None:
        """A power cut: every process of the node gets SIGKILL at once, and the others hear nothing, not even an end."""
        self._shared.links.set_down(self.address, True)
        if self._nest is None and self._node is not None:
            for container in list(self._node.sandbox.containers.values()):
                await container.kill()
        # In one step with the end of the daemon, which would see them die, and start some again.
        self._signal_processes(signal.SIGKILL)
        self._scope.cancel()
        await self._ended.wait()

    async def stop(self) -> None:
        """An orderly end, as of a daemon that gets SIGTERM, with everything that it runs."""
        self._leave.set()
        await self._ended.wait()

    async def restart(self) -> None:
        """Killed, if it still runs, and started on what it has on its disk."""
        await self.kill()
        await self.start()

    def slow_disk(self, delay_s: float) -> None:
        """Let each call of the database to its disk take so much longer; 0 ends it."""
        self._disk.delay_s = delay_s

    def pause(self) -> None:
        """As a machine that stands still: its processes are stopped and its links silent, until `resume`.

        Its daemon shares this process and goes on, but reaches nobody, and its log is closed to it.
        """
        self._shared.links.set_down(self.address, True)
        self._signal_processes(signal.SIGSTOP)

    def resume(self) -> None:
        """The end of `pause`: everything goes on where it stood."""
        self._signal_processes(signal.SIGCONT)
        self._shared.links.set_down(self.address, False)

    def _signal_processes(self, signum: signal.Signals) -> None:
        """To all that this node started: by descent from its nest, and by where the others have their files."""
        found = [] if self._nest is None else descendants_of(self._nest.keeper_pid)
        found += [pid for pid in children_of(os.getpid()) if self._owns(pid)]
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)

    def _owns(self, pid: int) -> bool:
        folder, process = os.fsencode(self.directory) + b"/", Path("/proc", str(pid))
        try:
            place = os.fsencode(process.joinpath("cwd").readlink()) + b"/"
            return place.startswith(folder) or folder in process.joinpath("cmdline").read_bytes()
        except OSError:
            return False

    async def _run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        shared, log = self._shared, self._shared.log
        substitutes = Substitutes(
            open_sandbox=self._open_nest if shared.plain else None,
            log=None if log is None else QuorumLog(log.client(), self.address, shared.voters, shared.links),
            sync=False,
            source=self.address,
            runner=self._disk,
            runtime=self.directory / "router",
        )
        try:
            with self._scope:
                async with open_node(self.config, outlive=False, substitutes=substitutes) as node:
                    self._transport = httpx.AsyncHTTPTransport(uds=str(node.doors.unix_path))
                    client = httpx.AsyncClient(transport=self._transport, base_url="http://localhost", timeout=120)
                    async with client as self._api:
                        self._node = node
                        task_status.started()
                        await until_removed(node, self._leave.wait)
        finally:
            self._node = self._nest = self._api = self._transport = None
            self._ended.set()

    @asynccontextmanager
    async def _open_nest(self, directory: Path) -> AsyncIterator[Nest]:
        shared = self._shared
        doomed = [shared.directory]
        async with open_nest(directory, layers=shared.layers, ports=shared.ports, doomed=doomed) as self._nest:
            yield self._nest


def _nothing_to_say(_text: str) -> None:
    """What joining says is for a person who waits."""
