"""The same cluster for test suites that do not run on trio: it lives in a thread of its own, and calls wait for it."""

import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
import trio

from paasd.config.section import Section
from paasd.errors import PaasdError
from paasd.testing.client import SPACE, Files
from paasd.testing.cluster import UNTIL_S, Cluster
from paasd.testing.embedded import EmbeddedNode
from paasd.testing.opening import cluster

T = TypeVar("T")
_POLL_S = 0.02


class BlockingNode:
    """One node; see `EmbeddedNode`, which `embedded` is."""

    def __init__(self, owner: "BlockingCluster", embedded: EmbeddedNode) -> None:
        self._owner = owner
        self.embedded = embedded
        self.name, self.zone = embedded.name, embedded.zone

    @property
    def alive(self) -> bool:
        return self.embedded.alive

    def kill(self) -> None:
        self._owner.call(self.embedded.kill)

    def stop(self) -> None:
        self._owner.call(self.embedded.stop)

    def start(self) -> None:
        self._owner.call(self.embedded.start)

    def restart(self) -> None:
        self._owner.call(self.embedded.restart)

    def pause(self) -> None:
        self._owner.call_soon(self.embedded.pause)

    def resume(self) -> None:
        self._owner.call_soon(self.embedded.resume)

    def slow_disk(self, delay_s: float) -> None:
        self._owner.call_soon(self.embedded.slow_disk, delay_s)


class BlockingCluster:
    """Made by `running_cluster`; `cluster` is the one that it waits for."""

    def __init__(self, made: Cluster, token: trio.lowlevel.TrioToken) -> None:
        self.cluster = made
        self.nodes: Sequence[BlockingNode] = [BlockingNode(self, node) for node in made.nodes]
        self._token = token

    @property
    def authority(self) -> Path:
        return self.cluster.authority

    def call(self, work: Callable[..., Awaitable[T]], *arguments: Any, **options: Any) -> T:
        """Run an async function in the cluster's thread; gives what it returns, raises what it raises."""
        return trio.from_thread.run(partial(work, **options), *arguments, trio_token=self._token)

    def call_soon(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run an ordinary function in the cluster's thread; gives what it returns."""
        return trio.from_thread.run_sync(work, *arguments, trio_token=self._token)

    def cut(self, one: str | BlockingNode, other: str | BlockingNode, *, one_way: bool = False) -> None:
        """See `Cluster.cut`."""
        sides = [side if isinstance(side, str) else side.embedded for side in (one, other)]
        self.call_soon(partial(self.cluster.cut, *sides, one_way=one_way))

    def heal(self) -> None:
        """See `Cluster.heal`."""
        self.call_soon(self.cluster.heal)

    def push(self, name: str, files: Files, *, manifest: str | None = None, space: str = SPACE) -> dict[str, Any]:
        return self.call(self.cluster.push, name, files, manifest=manifest, space=space)

    def get(self, host: str, path: str = "/", *, node: BlockingNode | None = None, **options: Any) -> httpx.Response:
        return self.call(self.cluster.get, host, path, node=node and node.embedded, **options)

    def api(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request to the API as root, at the first node that lives."""
        return self.call(self.cluster.api.request, method, path, **options)

    def until(self, condition: Callable[[], T], *, within_s: float = UNTIL_S) -> T:
        """Ask again until the answer is true, and give it. Raises TimeoutError when that takes too long."""
        deadline = time.monotonic() + within_s
        while not (found := condition()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not true after {within_s:g} s")
            time.sleep(_POLL_S)
        return found


@contextmanager
def running_cluster(
    zones: int | Sequence[str] = 1,
    *,
    nodes_per_zone: int = 1,
    log: Literal["memory", "etcd"] = "memory",
    launcher: Literal["plain", "sandbox"] = "plain",
    directory: Path | None = None,
    **sections: Section,
) -> Iterator[BlockingCluster]:
    """`cluster` with the same arguments, in a thread that ends with the block."""
    make = partial(cluster, zones, nodes_per_zone=nodes_per_zone, log=log, launcher=launcher, directory=directory)
    thread = _Thread(partial(make, **sections))
    thread.start()
    try:
        yield thread.wait()
    finally:
        thread.end()


class _Thread(threading.Thread):
    """Runs trio until it is told to end; what ended it earlier is raised by `wait` and `end`."""

    def __init__(self, make: Callable[[], Any]) -> None:
        super().__init__(name="paasd.testing", daemon=True)
        self._make = make
        self._ready = threading.Event()
        self._made: BlockingCluster | None = None
        self._over: trio.Event
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:  # noqa: BLE001, ASYNC103 (raised again in the thread that waits)
            self._error = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._over = trio.Event()
        async with self._make() as made:
            self._made = BlockingCluster(made, trio.lowlevel.current_trio_token())
            self._ready.set()
            await self._over.wait()

    def wait(self) -> BlockingCluster:
        self._ready.wait()
        if self._made is None:
            self.join()
            raise self._error or PaasdError("the cluster did not start")
        return self._made

    def end(self) -> None:
        if self._made is not None:
            try:
                trio.from_thread.run_sync(self._over.set, trio_token=self._made._token)
            except trio.RunFinishedError:
                pass  # It ended by an error, which is raised below.
        self.join()
        if self._error is not None and self._made is not None:
            raise self._error
