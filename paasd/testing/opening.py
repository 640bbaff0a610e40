"""The cluster as a block: nodes started together, and nothing of them left after it."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal

import trio

from paasd.config import ClusterConfig, Config
from paasd.config.section import Section
from paasd.errors import PaasdError
from paasd.model.arguments import SYSTEM
from paasd.sandbox.nest import Layers, Ports
from paasd.state.log import MemoryLog
from paasd.testing import client
from paasd.testing.cluster import Cluster
from paasd.testing.embedded import EmbeddedNode, Shared
from paasd.testing.links import Place, open_links
from paasd.testing.settings import node_config

TOKEN_S = 600
VOTERS = 3
# Unix sockets have names of at most 107 bytes, and ours have 40 of their own.
_PATH_LIMIT_BYTES = 60
_MEMORY = Path("/dev/shm")
_MEMORY_LEAST_BYTES = 4 * 1024**3


@asynccontextmanager
async def cluster(
    zones: int | Sequence[str] = 1,
    *,
    nodes_per_zone: int = 1,
    log: Literal["memory", "etcd"] = "memory",
    launcher: Literal["plain", "sandbox"] = "plain",
    directory: Path | None = None,
    **sections: Section,
) -> AsyncIterator[Cluster]:
    """Nodes in one process, ready to be pushed to. `zones` is how many, or their names.

    The log in memory answers every node that reaches most of the first three; `log="etcd"` takes those of production:
    the first node's own, and etcd from three nodes on. `launcher="sandbox"` isolates and limits instances as in
    production and needs root. `sections` replace those of the nodes' configuration (`auth=AuthConfig(...)`). Files go
    below `directory`, or into a temporary one, and are removed. What the block raises comes out as it is.
    """
    names = [f"zone-{number + 1}" for number in range(zones)] if isinstance(zones, int) else list(zones)
    ports = Ports()
    with _directory(directory) as home, _alone():
        try:
            zoned = [zone for zone in names for _ in range(nodes_per_zone)]
            configs = [_config(home, number, zone, ports, sections) for number, zone in enumerate(zoned, 1)]
            voters = configs[: VOTERS if len(configs) >= VOTERS else 1]
            async with open_links(map(_place, configs)) as links, trio.open_nursery() as nursery:
                shared = Shared(
                    directory=home,
                    links=links,
                    ports=ports,
                    layers=Layers(home),
                    log=MemoryLog(seed=0) if log == "memory" else None,
                    voters=[config.cluster.listen for config in voters],
                    plain=launcher == "plain",
                )
                nodes = [EmbeddedNode(shared, config, nursery) for config in configs]
                try:
                    await _start(nodes)
                    async with client.web_client(nodes[0].node.certificates.authority_path) as web:
                        yield Cluster(home, nodes, web, links)
                finally:
                    with trio.CancelScope(shield=True):
                        async with trio.open_nursery() as ending:
                            for node in nodes:
                                ending.start_soon(node.kill)
                nursery.cancel_scope.cancel()
        finally:
            ports.close()


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


def _config(home: Path, number: int, zone: str, ports: Ports, sections: dict[str, Section]) -> Config:
    take = ports.take
    network = ClusterConfig(
        listen=f"127.90.0.{number}",
        address=f"127.91.0.{number}",
        peer_port=take(),
        tunnel_port=take(),
        etcd_client_port=take(),
        etcd_peer_port=take(),
    )
    return node_config(
        home / f"n{number}",
        name=f"node-{number}",
        zone=zone,
        cluster=network,
        router_ports=(take(), take()),
        sections=sections,
    )


def _place(config: Config) -> Place:
    network = config.cluster
    streams = network.peer_port, network.tunnel_port, network.etcd_client_port, network.etcd_peer_port
    return Place(network.listen, network.address, network.peer_port, streams)


@contextmanager
def _directory(wanted: Path | None) -> Iterator[Path]:
    base = _temporary() if wanted is None else wanted
    if len(str(base).encode()) > _PATH_LIMIT_BYTES:
        base = Path("/tmp")
    home = Path(tempfile.mkdtemp(prefix="paasd-", dir=base)).resolve()
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _temporary() -> Path:
    """Where TMPDIR says; else in memory, if there is plenty and programs may run there: disks take half of the time."""
    if not any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")) and os.access(_MEMORY, os.W_OK):
        found = os.statvfs(_MEMORY)
        if found.f_bavail * found.f_frsize >= _MEMORY_LEAST_BYTES and not found.f_flag & os.ST_NOEXEC:
            return _MEMORY
    return Path(tempfile.gettempdir())


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
