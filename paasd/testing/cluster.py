"""The cluster as a block: nodes started together, and nothing of them left after it."""

import inspect
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import trio

from paasd.config import ClusterConfig
from paasd.config.section import Section
from paasd.errors import PaasdError
from paasd.model.arguments import SYSTEM
from paasd.state.log import MemoryLog
from paasd.testing import client
from paasd.testing.client import SPACE, Files
from paasd.testing.embedded import EmbeddedNode, Shared
from paasd.testing.settings import node_config

UNTIL_S = 30.0
TOKEN_S = 600
_POLL_S = 0.02
# Unix sockets have names of at most 107 bytes, and ours have 40 of their own.
_PATH_LIMIT_BYTES = 60


class Cluster:
    """Made by `cluster`."""

    def __init__(self, directory: Path, nodes: Sequence[EmbeddedNode], web: httpx.AsyncClient) -> None:
        self.directory = directory
        self.nodes = nodes
        self.api = httpx.AsyncClient(transport=client.AnyNode(nodes), base_url="http://localhost", timeout=120)
        """The API as root, at the first node that lives."""
        self._web = web

    @property
    def authority(self) -> Path:
        """The certificate authority of the cluster's routers, for other clients."""
        return self.nodes[0].directory / "certificates" / "ca.pem"

    async def push(self, name: str, files: Files, *, manifest: str | None = None, space: str = SPACE) -> dict[str, Any]:
        """Push a folder (its manifest.yml counts) or files by name; returns when it runs. Raises PushFailed."""
        return await client.push(self.api, name, files, manifest, space)

    async def get(
        self, host: str, path: str = "/", *, node: EmbeddedNode | None = None, **options: Any
    ) -> httpx.Response:
        """GET (or `method`) from an app, by name or host, as a client outside does; `node` says whose router."""
        return await client.get(self._web, node or client.living(self.nodes), host, path, **options)

    async def until(
        self, condition: Callable[[], object] | Callable[[], Awaitable[object]], *, within_s: float = UNTIL_S
    ) -> Any:
        """Ask again until the answer is true, and give it. Raises TimeoutError when that takes too long."""
        found: object = None
        with trio.move_on_after(within_s):
            while True:
                found = condition()
                if inspect.isawaitable(found):
                    found = await found
                if found:
                    return found
                await trio.sleep(_POLL_S)
        raise TimeoutError(f"not true after {within_s:g} s: {inspect.getsource(condition).strip()}")


@asynccontextmanager
async def cluster(
    zones: int | Sequence[str] = 1, *, nodes_per_zone: int = 1, directory: Path | None = None, **sections: Section
) -> AsyncIterator[Cluster]:
    """Nodes in one process, ready to be pushed to. `zones` is how many, or their names.

    `sections` replace those of the nodes' configuration (`supervisor=SupervisorConfig(...)`). Files go below
    `directory`, which is removed at the end, or into a temporary one. What the block raises comes out as it is.
    """
    names = [f"zone-{number + 1}" for number in range(zones)] if isinstance(zones, int) else list(zones)
    with _directory(directory) as home, _alone():
        shared = Shared(home, MemoryLog(seed=0))
        try:
            async with trio.open_nursery() as nursery:
                zoned = [zone for zone in names for _ in range(nodes_per_zone)]
                nodes = [_node(shared, number, zone, nursery, sections) for number, zone in enumerate(zoned, 1)]
                try:
                    await _start(nodes)
                    async with client.web_client(nodes[0].node.certificates.authority_path) as web:
                        yield Cluster(home, nodes, web)
                finally:
                    with trio.CancelScope(shield=True):
                        async with trio.open_nursery() as ending:
                            for node in nodes:
                                ending.start_soon(node.kill)
                nursery.cancel_scope.cancel()
        finally:
            shared.ports.close()


async def _start(nodes: Sequence[EmbeddedNode]) -> None:
    """The first one makes the cluster; the others join it by a token, all at once, as on machines of their own."""
    first, *others = nodes
    await first.start()
    if not others:
        return
    token, _ = await first.node.membership.make_token("control", None, TOKEN_S, len(others), SYSTEM)
    async with trio.open_nursery() as joining:
        for node in others:
            joining.start_soon(node.join, token)


def _node(shared: Shared, number: int, zone: str, nursery: trio.Nursery, sections: dict[str, Section]) -> EmbeddedNode:
    take = shared.ports.take
    address = f"127.90.0.{number}"
    network = ClusterConfig(
        listen=address,
        address=address,
        peer_port=take(),
        tunnel_port=take(),
        etcd_client_port=take(),
        etcd_peer_port=take(),
    )
    config = node_config(
        shared.directory / f"n{number}",
        name=f"node-{number}",
        zone=zone,
        cluster=network,
        router_ports=(take(), take()),
        sections=sections,
    )
    return EmbeddedNode(shared, config, nursery)


@contextmanager
def _directory(wanted: Path | None) -> Iterator[Path]:
    base = Path(tempfile.gettempdir()) if wanted is None else wanted
    if len(str(base).encode()) > _PATH_LIMIT_BYTES:
        base = Path("/tmp")
    home = Path(tempfile.mkdtemp(prefix="paasd-", dir=base)).resolve()
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _alone() -> Iterator[None]:
    """What the block raises, without the groups that nurseries wrap it into; a group only if several things failed.

    Nodes that cannot start have one reason in common: one of them is enough.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        _foreseen, others = group.split(PaasdError)
        found: BaseException = group
        while isinstance(found, BaseExceptionGroup) and (others is None or len(found.exceptions) == 1):
            found = found.exceptions[0]
        if isinstance(found, BaseExceptionGroup):
            raise
        raise found from found.__cause__
