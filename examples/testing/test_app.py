"""How an app tests itself on a whole platform: `pip install paasd pytest pytest-trio`, then `pytest`, without root."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import paasd.testing
from paasd.testing import Cluster

HERE = Path(__file__).parent


@pytest.fixture
async def platform() -> AsyncIterator[Cluster]:
    """Three zones with this app on them, ready in about two seconds."""
    async with paasd.testing.cluster(zones=3) as c:
        await c.push("testing", HERE)
        yield c


async def test_a_visitor_is_counted(platform: Cluster) -> None:
    assert (await platform.get("testing")).text.startswith("visit 1 at instance ")


async def test_visitors_are_served_again_soon_after_a_node_is_lost(platform: Cluster) -> None:
    lost = next(node for node in platform.nodes if node.node.sandbox.containers)
    await lost.kill()
    others = [node for node in platform.nodes if node.alive]

    async def served_by_both_instances() -> bool:
        found = [await platform.get("testing", node=node) for node in others]
        return {answer.text[-2:] for answer in found} == {"0\n", "1\n"}

    await platform.until(served_by_both_instances, within_s=20)
