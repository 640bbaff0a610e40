"""An embedded cluster as somebody's test suite uses it, by whichever user runs this."""

from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest
import trio

import paasd.testing
from paasd.testing import PushFailed

from .apps import HELLO

Left = Callable[[], list[psutil.Process]]


async def test_a_pushed_app_is_served_and_its_lines_are_in_its_log() -> None:
    async with paasd.testing.cluster() as c:
        result = await c.push("hello", HELLO)
        assert result["instances"] == {"running": 1, "total": 1}
        answer = await c.get("hello", "/greeting")
        assert (answer.status_code, answer.text) == (200, "instance 0")

        async def lines() -> bool:
            log = await c.api.get("/paasd/v1/spaces/main/dev/apps/hello/logs")
            return all(text in log.text for text in ("asked for /greeting", "Detected binary", "RTR"))

        await c.until(lines)
        with pytest.raises(TimeoutError, match="is not true"):
            await c.until(lambda: "this is not true" == "", within_s=0.1)


async def test_instances_of_an_app_each_have_a_port_and_share_the_requests() -> None:
    async with paasd.testing.cluster() as c:
        await c.push("hello", HELLO, manifest="applications:\n- name: hello\n  instances: 2\n")
        found = {(await c.get("hello")).text for _ in range(20)}
        assert found == {"instance 0", "instance 1"}


async def test_an_instance_that_is_killed_is_started_again() -> None:
    async with paasd.testing.cluster() as c:
        await c.push("hello", HELLO)
        (container,) = c.nodes[0].node.sandbox.containers.values()
        await container.kill()
        await c.until(lambda: container.guid not in c.nodes[0].node.sandbox.containers)

        async def serves() -> bool:
            return (await c.get("hello")).status_code == 200

        await c.until(serves)

        async def reported() -> bool:
            events = await c.api.get("/v3/audit_events", params={"types": "app.crash"})
            return bool(events.json()["pagination"]["total_results"] == 1)

        await c.until(reported)


async def test_a_push_that_fails_says_why_with_the_lines_before_it() -> None:
    async with paasd.testing.cluster() as c:
        with pytest.raises(PushFailed, match="no buildpack knows this app"):
            await c.push("odd", {"notes.txt": "nothing to run"})
        with pytest.raises(PushFailed, match="came to nothing") as failed:
            await c.push("dies", {"Procfile": "web: echo came to nothing; exit 3"})
        assert "exited" in str(failed.value) or "Exited" in str(failed.value)


async def test_a_node_that_lost_its_power_comes_back_with_what_is_on_its_disk(left_running: Left) -> None:
    async with paasd.testing.cluster() as c:
        await c.push("hello", HELLO)
        before = left_running()
        (node,) = c.nodes
        await node.kill()
        assert not node.alive
        assert [process for process in before if process.is_running()] == []
        with pytest.raises(paasd.errors.Unavailable, match="no node"):
            await c.get("hello")
        await node.restart()

        async def serves() -> bool:
            return (await c.get("hello")).status_code == 200

        await c.until(serves)


async def test_what_the_block_raises_comes_out_as_it_is() -> None:
    class Mine(Exception):
        pass

    with pytest.raises(Mine):
        async with paasd.testing.cluster():
            raise Mine


async def test_a_node_that_cannot_start_says_so_and_leaves_nothing(tmp_path: Path, left_running: Left) -> None:
    from paasd.config import RouterConfig

    broken = RouterConfig(http_port=0, https_port=0, binary="/no/envoy", uid=0)
    with pytest.raises(paasd.errors.PaasdError, match="/no/envoy"):
        async with paasd.testing.cluster(zones=2, directory=tmp_path, router=broken):
            raise AssertionError("unreachable")
    assert list(tmp_path.iterdir()) == []
    assert left_running() == []


@pytest.mark.parametrize("way", ["ends", "raises", "is cancelled"])
async def test_a_block_leaves_nothing_however_it_ends(tmp_path: Path, way: str, left_running: Left) -> None:
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with trio.CancelScope() as scope:
        try:
            async with paasd.testing.cluster(zones=2, directory=tmp_path):
                assert len(left_running()) >= 4
                if way == "raises":
                    raise LookupError
                if way == "is cancelled":
                    scope.cancel()
                    await trio.sleep_forever()
        except LookupError:
            assert way == "raises"
    assert list(tmp_path.iterdir()) == []
    assert left_running() == []
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


async def test_every_node_of_three_zones_serves_an_app_and_a_lost_node_is_replaced() -> None:
    manifest = "applications:\n- name: hello\n  instances: 2\n"
    async with paasd.testing.cluster(zones=["aws/a", "aws/b", "dc1"]) as c:
        await c.push("hello", HELLO, manifest=manifest)
        for node in c.nodes:
            assert (await c.get("hello", node=node)).status_code == 200
        doomed = next(node for node in c.nodes if node.node.sandbox.containers)
        await doomed.kill()
        others = [node for node in c.nodes if node.alive]

        async def replaced() -> bool:
            try:
                return {(await c.get("hello", node=node)).text for node in others * 3} == {"instance 0", "instance 1"}
            except httpx.RemoteProtocolError:
                return False  # an answer that the lost node had begun

        await c.until(replaced)
        answer = await c.api.post("/v3/organizations", json={"name": "written-without-it"})
        assert answer.status_code == 201
        await doomed.restart()
        listed = await doomed.api.get("/v3/organizations", params={"names": "written-without-it"})
        assert listed.json()["pagination"]["total_results"] == 1
        assert (await c.get("hello", node=doomed)).status_code == 200


async def test_what_instances_on_other_nodes_use_is_shown_soon() -> None:
    manifest = "applications:\n- name: hello\n  instances: 2\n"
    async with paasd.testing.cluster(zones=2) as c:
        await c.push("hello", HELLO, manifest=manifest)
        for node in c.nodes:

            async def shown(node: paasd.testing.EmbeddedNode = node) -> bool:
                stats = (await node.api.get("/paasd/v1/spaces/main/dev/apps/hello/stats")).json()["resources"]
                return len(stats) == 2 and all(one["usage"] for one in stats)

            await c.until(shown, within_s=6)
