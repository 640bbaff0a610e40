"""Before an instance is stopped, it leaves the tables of all routers: what its node asks the others to confirm.

The row of the instance is gone by then, and every router drops what has no row; this only says when that is done, so
that a stop need not wait longer than it must, nor shorter.
"""

from collections.abc import Iterable

import msgspec
import trio

from paasd.errors import PaasdError
from paasd.peer import Peer, Peers
from paasd.router.feed import RouteFeed

KIND = "router.without"


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """Which run of which instance; an older one of it counts as gone, too."""

    instance_guid: str
    epoch: int


def serve_leaving(peers: Peers, feed: RouteFeed) -> None:
    """Confirm to other nodes, and to this one, that requests go no more to an instance."""

    async def confirm(_peer: Peer, body: bytes) -> bytes:
        leaving = msgspec.msgpack.decode(body, type=Leaving)
        await feed.without(leaving.instance_guid, leaving.epoch)
        return b""

    peers.serve(KIND, confirm)


async def leave_routers(
    peers: Peers, nodes: Iterable[str], instance_guid: str, epoch: int, *, timeout_s: float
) -> frozenset[str]:
    """Wait until the routers of `nodes` send the instance nothing new, `timeout_s` at the most; who did not confirm.

    Call it after the row was deleted. Who is left out passes requests on in vain at worst, and then asks another.
    """
    body = msgspec.msgpack.encode(Leaving(instance_guid=instance_guid, epoch=epoch))
    open_yet = set(nodes)

    async def ask(node: str) -> None:
        try:
            await peers.call(node, KIND, body, timeout_s=timeout_s)
        except PaasdError:
            return  # a node that is away, or older than this, confirms nothing
        open_yet.discard(node)

    with trio.move_on_after(timeout_s):
        async with trio.open_nursery() as nursery:
            for node in tuple(open_yet):
                nursery.start_soon(ask, node)
    return frozenset(open_yet)
