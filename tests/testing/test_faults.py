"""What a test can do to a cluster, and that the cluster lives with it as a real one does."""

import httpx
import pytest
import trio

import paasd.testing
from paasd.testing import Cluster, EmbeddedNode

from .apps import HELLO

SLOW_S = 1.5


async def create(node: EmbeddedNode, name: str) -> int:
    """The status with which a write at this node is answered."""
    return (await node.api.post("/v3/organizations", json={"name": name}, timeout=20)).status_code


async def serves(c: Cluster, *nodes: EmbeddedNode) -> bool:
    try:
        return all([(await c.get("hello", node=node, timeout=5)).status_code == 200 for node in nodes])
    except httpx.HTTPError:
        return False


def holder(c: Cluster) -> tuple[EmbeddedNode, list[EmbeddedNode]]:
    """The node with the only instance, and the others."""
    (found,) = [node for node in c.nodes if node.node.sandbox.containers]
    return found, [node for node in c.nodes if node is not found]


def instances(c: Cluster) -> int:
    return sum(len(node.node.sandbox.containers) for node in c.nodes)


@pytest.mark.timeout(120)
async def test_a_zone_that_is_cut_off_takes_no_writes_and_its_instance_is_replaced_until_it_heals() -> None:
    async with paasd.testing.cluster(zones=["a", "b", "c"]) as c:
        await c.push("hello", HELLO)
        alone, others = holder(c)
        assert await serves(c, *c.nodes)
        c.cut(alone.zone, others)
        assert await create(alone, "refused") == 503
        assert await create(others[0], "accepted") == 201
        assert not await serves(c, others[0])
        assert await serves(c, alone)
        await c.until(lambda: serves(c, *others))
        c.heal()
        await c.until(lambda: serves(c, *c.nodes))
        await c.until(lambda: instances(c) == 1)
        listed = await alone.api.get("/v3/organizations", params={"names": "accepted,refused"})
        assert [found["name"] for found in listed.json()["resources"]] == ["accepted"]
        assert await create(alone, "again") == 201
        with pytest.raises(ValueError, match="no zone 'd'"):
            c.cut("d", "a")


@pytest.mark.timeout(120)
async def test_a_paused_node_is_replaced_and_gives_way_when_it_goes_on() -> None:
    async with paasd.testing.cluster(zones=3) as c:
        await c.push("hello", HELLO)
        paused, others = holder(c)
        paused.pause()
        assert not await serves(c, others[0])
        await c.until(lambda: serves(c, *others))
        assert instances(c) == 2
        paused.resume()
        await c.until(lambda: instances(c) == 1)
        await c.until(lambda: serves(c, *c.nodes))
        assert paused.node.sandbox.containers == {}


async def test_a_slow_disk_slows_writes_at_that_node_only() -> None:
    async with paasd.testing.cluster(zones=3) as c:
        slow, quick = c.nodes[0], c.nodes[1]

        done: list[str] = []

        async def make(node: EmbeddedNode, name: str) -> None:
            assert await create(node, name) == 201
            done.append(name)

        slow.slow_disk(SLOW_S)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(make, slow, "through the slow one")
            nursery.start_soon(make, quick, "through another")
        slow_s = trio.current_time() - began
        assert done == ["through another", "through the slow one"] and slow_s >= SLOW_S
        slow.slow_disk(0)
        await make(slow, "what may still wait for the slow disk")
        began = trio.current_time()
        await make(slow, "when it is quick again")
        assert trio.current_time() - began < slow_s
