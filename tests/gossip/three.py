"""Several nodes that gossip over loopback, with peers in memory."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import trio

from paasd.config import GossipConfig
from paasd.gossip import Gossip, Member, RingKey, open_gossip
from paasd.observed import Observed
from paasd.peer import MemoryNetwork

KEY = RingKey(id="first", secret=b"k" * 32, sending=True)
QUICK = GossipConfig(probe_interval_s=0.1, probe_timeout_min_s=0.1, about_interval_s=0.5)


class Place:
    """What the nodes share: the network of peers and the rows of the members."""

    def __init__(self, config: GossipConfig = QUICK, *keys: RingKey) -> None:
        self.config = config
        self.keys = keys or (KEY,)
        self.network = MemoryNetwork(Random(1))
        self.members: dict[str, Member] = {}
        self.gossips: dict[str, Gossip] = {}
        self.observed: dict[str, Observed] = {}
        self.random = Random(2)

    @asynccontextmanager
    async def node(self, guid: str, zone: str, boot: int = 1, **changes: Any) -> AsyncIterator[Gossip]:
        observed = self.observed[guid] = changes.pop("observed", None) or Observed()
        arguments: dict[str, Any] = {
            "guid": guid,
            "zone": zone,
            "boot": boot,
            "cluster": "test",
            "members": list(self.members.values()),
            "keys": self.keys,
            "observed": observed,
            "peers": self.network.add(guid),
            "random": Random(self.random.random()),
            "listen": "127.0.0.1",
            "stream": self.random.randbytes(12),
        }
        async with open_gossip(self.config, **(arguments | changes)) as gossip:
            self.gossips[guid] = gossip
            self.members[guid] = Member(guid=guid, zone=zone, address="127.0.0.1", port=gossip.port)
            await self.publish_rows()
            try:
                yield gossip
            finally:
                self.network.remove(guid)
                del self.gossips[guid]

    async def publish_rows(self) -> None:
        for gossip in self.gossips.values():
            await gossip.set_members(self.members.values())


@asynccontextmanager
async def three_nodes(config: GossipConfig = QUICK) -> AsyncIterator[tuple[Place, dict[str, Callable[[], Any]]]]:
    """Nodes a, b and c in three zones, and for each a way to end it before the block does."""
    place = Place(config)
    async with trio.open_nursery() as nursery:
        ends: dict[str, Callable[[], Any]] = {}

        async def run(guid: str, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
            with trio.CancelScope() as scope:
                ends[guid] = scope.cancel
                async with AsyncExitStack() as stack:
                    await stack.enter_async_context(place.node(guid, f"zone-{guid}"))
                    task_status.started()
                    await trio.sleep_forever()

        for guid in "abc":
            await nursery.start(run, guid)
        yield place, ends
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], Any], observed: Observed, timeout_s: float = 10.0) -> None:
    """Wait for a condition on what a node has observed, woken by its watch."""
    with trio.fail_after(timeout_s):
        async with observed.watch() as watch:
            while not condition():
                await watch.wait()
