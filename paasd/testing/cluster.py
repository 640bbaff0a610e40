"""A running cluster in the hands of a test: push, ask, wait, and break things."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import trio

from paasd.testing import client
from paasd.testing.client import SPACE, Files
from paasd.testing.embedded import EmbeddedNode
from paasd.testing.links import Links

Side = str | EmbeddedNode | Sequence[EmbeddedNode]
UNTIL_S = 30.0
_POLL_S = 0.02


class Cluster:
    """Made by `paasd.testing.cluster`."""

    def __init__(self, directory: Path, nodes: Sequence[EmbeddedNode], web: httpx.AsyncClient, links: Links) -> None:
        self.directory = directory
        self.nodes = nodes
        self.api = httpx.AsyncClient(transport=client.AnyNode(nodes), base_url="http://localhost", timeout=120)
        """The API as root, at the first node that lives."""
        self._web = web
        self._links = links

    def zone(self, name: str) -> list[EmbeddedNode]:
        """The nodes of a zone."""
        return [node for node in self.nodes if node.zone == name]

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

    def cut(self, one: Side, other: Side, *, one_way: bool = False) -> None:
        """Let nothing from `one` (a zone, a node or several) reach `other` any more, nor the other way round.

        It is silence, as when a network drops packets. With `one_way` what `other` sends still arrives.
        """
        pairs = [(source.address, target.address) for source in self._side(one) for target in self._side(other)]
        pairs = [(source, target) for source, target in pairs if source != target]
        self._links.cut(pairs if one_way else [*pairs, *((target, source) for source, target in pairs)])

    def heal(self) -> None:
        """Every cut is over. Nodes that are killed or paused stay so."""
        self._links.heal()

    def _side(self, side: Side) -> Sequence[EmbeddedNode]:
        if isinstance(side, EmbeddedNode):
            return [side]
        if not isinstance(side, str):
            return side
        if found := self.zone(side):
            return found
        raise ValueError(f"there is no zone {side!r}; there are {sorted({node.zone for node in self.nodes})}")
