"""Where instances run in a cluster of whole nodes: drains, and apps of which only one instance may ever run."""

import httpx
import pytest
import trio

import paasd.testing
from paasd.config import LeasesConfig
from paasd.testing import Cluster, EmbeddedNode

from .apps import HELLO

SINGLE = """
applications:
- name: hello
  metadata: {labels: {paasd.io/singleton: "true"}}
"""
THREE = "applications:\n- name: hello\n  instances: 3\n"


def containers(c: Cluster) -> dict[str, int]:
    return {node.name: len(node.node.sandbox.containers) for node in c.nodes if node.alive}


async def ask(c: Cluster, node: EmbeddedNode, failures: list[str], answers: list[str]) -> None:
    while True:
        try:
            answer = await c.get("hello", node=node, timeout=10)
        except httpx.HTTPError as error:
            failures.append(repr(error))
        else:
            (answers if answer.status_code == 200 else failures).append(answer.text)
        await trio.sleep(0.01)


@pytest.mark.timeout(120)
async def test_a_drain_moves_everything_and_fails_no_request() -> None:
    async with paasd.testing.cluster(zones=3) as c:
        await c.push("hello", HELLO, manifest=THREE)
        doomed = next(node for node in c.nodes if containers(c)[node.name])
        through = next(node for node in c.nodes if node is not doomed)
        failures: list[str] = []
        answers: list[str] = []
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask, c, through, failures, answers)
            begun = await through.api.post(f"/paasd/v1/nodes/{doomed.name}/actions/drain")
            assert begun.status_code == 200 and begun.json()["state"] == "DRAINING"

            async def drained() -> bool:
                return bool((await through.api.get(f"/paasd/v1/nodes/{doomed.name}")).json()["drained"])

            await c.until(drained)
            await c.until(lambda: containers(c)[doomed.name] == 0)
            during = len(answers)
            await c.until(lambda: len(answers) > during + 20)
            nursery.cancel_scope.cancel()
        assert failures == []
        assert sum(containers(c).values()) == 3


@pytest.mark.timeout(120)
async def test_a_singleton_of_a_lost_node_starts_elsewhere_when_its_lease_has_run_out() -> None:
    leases = LeasesConfig(duration_s=4.0, margin_s=0.5)
    async with paasd.testing.cluster(zones=3, leases=leases) as c:
        await c.push("hello", HELLO, manifest=SINGLE)
        [home] = [node for node in c.nodes if containers(c)[node.name]]
        others = [node for node in c.nodes if node is not home]
        c.cut(home.zone, others)
        most = 0

        async def again() -> bool:
            nonlocal most
            most = max(most, sum(containers(c).values()))
            return any(containers(c)[node.name] for node in others)

        await c.until(again)
        assert most == 1, "the one ended before the other began"
        c.heal()
        await trio.sleep(3)
        assert sum(containers(c).values()) == 1
