"""Whole nodes inside somebody's test suite: the code of production, without root, ready in about a second.

    async with paasd.testing.cluster(zones=3) as c:
        await c.push("shop", Path("shop"))
        assert (await c.get("shop", "/")).status_code == 200
        await c.nodes[0].kill()
        await c.until(lambda: c.serves("shop"))

API, state, scheduler, stager, supervisor and one Envoy a node are what a real platform runs. Two things are not: the
ordered log is in memory, and instances are plain processes of the current user, without isolation or limits. `cluster`
is for suites that run on trio, `running_cluster` for all others. Everything ends with the block, whatever ends it.
"""

from paasd.testing.blocking import BlockingCluster, running_cluster
from paasd.testing.client import PushFailed
from paasd.testing.cluster import Cluster
from paasd.testing.embedded import EmbeddedNode
from paasd.testing.opening import cluster

__all__ = ["BlockingCluster", "Cluster", "EmbeddedNode", "PushFailed", "cluster", "running_cluster"]
