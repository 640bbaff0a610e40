"""What is left for a node that was removed from its platform: to end what it ran, and to say what happened.

The daemon goes on in this form, because systemd would start it again anyway, and somebody will ask `paasd status`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog
import trio

from paasd.api.removed import make_removed_app
from paasd.api.server import Doors, open_server
from paasd.config import Config
from paasd.membership import Removal
from paasd.node.maintenance import end_everything
from paasd.node.node import API_SOCKET, Node

STOP_LIMIT_S: Final = 10.0
"""What instances have to end in good order; then they are killed."""


async def until_removed(node: Node, wait: Callable[[], Awaitable[None]]) -> bool:
    """Wait for `wait`, or until this node is removed, which is told and ends its instances in good order."""
    async with trio.open_nursery() as nursery:

        async def given_up() -> None:
            await node.membership.removed.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(given_up)
        await wait()
        nursery.cancel_scope.cancel()
    if not node.membership.removed.is_set():
        return False
    with trio.move_on_after(STOP_LIMIT_S):
        await node.supervisor.step_down()
    return True


@asynccontextmanager
async def serve_removed(config: Config, removal: Removal) -> AsyncIterator[Doors]:
    """End instances, Envoy and etcd that are still here, and answer everybody that this node is no member any more."""
    directory = Path(config.data)
    log = structlog.get_logger(__name__)
    for line in await end_everything(config, directory):
        log.warning("removed", done=line)
    words = removal.in_words(directory)
    log.error("removed", reason=words)
    async with open_server(make_removed_app(words), config.api, directory / "run" / API_SOCKET) as doors:
        yield doors
