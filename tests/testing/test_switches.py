"""The two pieces that an embedded cluster has in place of production's, exchanged for those of production."""

import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import paasd.testing
from paasd.membership import Removed
from paasd.state.log.etcd import EtcdLog

from .apps import HELLO

Left = Callable[[], list[psutil.Process]]

WRITES_S = 30.0


@pytest.mark.timeout(150)
async def test_three_nodes_agree_by_etcd_and_the_loss_of_the_first_stops_no_writes(
    tmp_path: Path, left_running: Left
) -> None:
    async with paasd.testing.cluster(zones=3, log="etcd", directory=tmp_path) as c:
        await c.push("hello", HELLO)
        await c.until(lambda: all(isinstance(node.node.context.database.log, EtcdLog) for node in c.nodes))
        first = c.nodes[0]
        members = [child for child in psutil.Process().children() if child.name() == "etcd"]
        (own,) = [member for member in members if Path(member.cwd()).is_relative_to(first.directory)]
        await first.kill()
        assert not own.is_running() or own.status() == psutil.STATUS_ZOMBIE

        async def writes() -> bool:
            return (await c.api.post("/v3/organizations", json={"name": "without-the-first"})).status_code in (201, 422)

        await c.until(writes, within_s=WRITES_S)
        await first.restart()

        async def knows() -> bool:
            listed = await first.api.get("/v3/organizations", params={"names": "without-the-first"})
            return listed.status_code == 200 and listed.json()["pagination"]["total_results"] == 1

        await c.until(knows, within_s=WRITES_S)
    assert left_running() == []


@pytest.mark.root
@pytest.mark.timeout(150)
async def test_instances_are_isolated_and_limited_by_the_sandbox_when_that_is_asked_for() -> None:
    if os.geteuid() != 0:
        pytest.skip("the sandbox needs root")
    async with paasd.testing.cluster(launcher="sandbox") as c:
        await c.push("hello", HELLO)
        assert (await c.get("hello")).text == "instance 0"
        (container,) = c.nodes[0].node.sandbox.containers.values()
        assert container.root == ""
        assert container.usage().memory_bytes > 0
        await c.nodes[0].restart()

        async def serves() -> bool:
            return (await c.get("hello")).status_code == 200

        await c.until(serves)


async def test_a_node_that_is_removed_ends_and_does_not_start_again_while_the_others_go_on() -> None:
    async with paasd.testing.cluster(zones=2) as c:
        await c.push("hello", HELLO, manifest="applications:\n- name: hello\n  instances: 2\n")
        gone = c.nodes[1]
        (await c.api.delete(f"/paasd/v1/nodes/{gone.name}", params={"force": "true"})).raise_for_status()
        await c.until(lambda: not gone.alive)
        with pytest.raises(Removed, match="paasd join TOKEN"):
            await gone.start()

        async def two_elsewhere() -> bool:
            nodes = (await c.api.get("/paasd/v1/nodes")).json()["nodes"]
            return [(node["name"], node["instances"]) for node in nodes] == [(c.nodes[0].name, 2)]

        await c.until(two_elsewhere)
        assert (await c.get("hello")).status_code == 200
