"""What a node asks the routers of the others to confirm: that they send to an instance no more, or do by now.

Every router follows rows and facts by itself; this only says when that is done, so that a stop need not wait longer
than it must, nor shorter, and a push that has ended is served by every node.
"""

from collections.abc import Iterable, Mapping

import msgspec
import trio

from paasd.errors import PaasdError
from paasd.packing import unpack
from paasd.peer import Peer, Peers
from paasd.router.feed import RouteFeed

WITHOUT = "router.without"
SERVING = "router.serving"


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """Which run of which instance; an older one of it counts as gone, too."""

    instance_guid: str
    epoch: int


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """An app, the newest entry of the log that matters for it, and what runs of it: epochs by instance."""

    app_guid: str
    index: int
    runs: dict[str, int]


def serve_confirming(peers: Peers, feed: RouteFeed) -> None:
    """Confirm to other nodes, and to this one, where requests go."""

    async def without(_peer: Peer, body: bytes) -> bytes:
        leaving = unpack(body, Leaving)
        await feed.without(leaving.instance_guid, leaving.epoch)
        return b""

    async def serving(_peer: Peer, body: bytes) -> bytes:
        wanted = unpack(body, Serving)
        await feed.serving(wanted.app_guid, wanted.index, wanted.runs)
        return b""

    peers.serve(WITHOUT, without)
    peers.serve(SERVING, serving)


async def leave_routers(
    peers: Peers, nodes: Iterable[str], instance_guid: str, epoch: int, *, timeout_s: float
) -> frozenset[str]:
    """Wait until the routers of `nodes` send the instance nothing new, `timeout_s` at the most; who did not confirm.

    Call it after the row was deleted. Who is left out passes requests on in vain at worst, and then asks another.
    """
    return await _ask_all(peers, nodes, WITHOUT, Leaving(instance_guid=instance_guid, epoch=epoch), timeout_s)


async def reach_routers(
    peers: Peers, nodes: Iterable[str], app_guid: str, index: int, runs: Mapping[str, int], *, timeout_s: float
) -> frozenset[str]:
    """Wait until the routers of `nodes` serve an app by what runs of it, `timeout_s` at the most; who did not confirm.

    `index` is that of an entry of the log which has all rows of the app.
    """
    return await _ask_all(peers, nodes, SERVING, Serving(app_guid=app_guid, index=index, runs=dict(runs)), timeout_s)


async def _ask_all(
    peers: Peers, nodes: Iterable[str], kind: str, question: Leaving | Serving, timeout_s: float
) -> frozenset[str]:
    body = msgspec.msgpack.encode(question)
    open_yet = set(nodes)

    async def ask(node: str) -> None:
        try:
            await peers.call(node, kind, body, timeout_s=timeout_s)
        except PaasdError:
            return  # a node that is away, or older than this, confirms nothing
        open_yet.discard(node)

    with trio.move_on_after(timeout_s):
        async with trio.open_nursery() as nursery:
            for node in sorted(open_yet):
                nursery.start_soon(ask, node)
    return frozenset(open_yet)
