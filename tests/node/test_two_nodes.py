"""Two whole nodes in one trio loop: nothing is shared, so one can be killed and the other does not notice."""

import time
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
import trio

from paasd.config import AppsConfig, Config, DomainsConfig
from paasd.node import Node, open_node
from paasd.sandbox import Inventory, take_inventory
from paasd.sandbox.sandbox import SLOTS
from tests.node.daemon import Load
from tests.node.harness import HELLO, Driver, driver, node_config

pytestmark = pytest.mark.root

DAY_S = 86_400.0
RATE_PER_S = 50.0
NOTHING = Inventory(**dict.fromkeys(Inventory.__struct_fields__, frozenset()) | {"descriptors": 0})


def config(data: Path, name: str, memory_mb: int) -> Config:
    return node_config(
        data,
        domains=DomainsConfig(apps=f"apps.{name}.localhost", system=f"system.{name}.localhost"),
        apps=AppsConfig(memory_mb=memory_mb),
    )


def objects(node: Node) -> Inventory:
    """What the node has on the host; descriptors are the process's, which is both nodes'."""
    return msgspec.structs.replace(take_inventory(node.directory, node.sandbox.prefix, SLOTS), descriptors=0)


async def serve(settings: Config, ahead_s: float, *, task_status: trio.TaskStatus[Driver]) -> None:
    """A node until it is cancelled, its clock `ahead_s` ahead of ours."""
    async with open_node(settings, outlive=False, clock=lambda: time.time() + ahead_s) as node, driver(node) as found:
        task_status.started(found)
        await trio.sleep_forever()


async def nothing_is_shared(one: Driver, two: Driver) -> None:
    """Each has its own apps, configuration, clock, ports, keys and mark on the host."""
    assert (await one.get("hello.apps.one.localhost")).status_code == 200
    assert (await two.get("hello.apps.two.localhost")).status_code == 200
    assert (await one.app("hello"))["guid"] != (await two.app("hello"))["guid"]
    assert [(await node.stats("hello"))[0]["mem_quota"] >> 20 for node in (one, two)] == [64, 96]
    ages_s = [
        time.time() - datetime.fromisoformat((await node.app("hello"))["created_at"]).timestamp() for node in (one, two)
    ]
    assert ages_s[1] - ages_s[0] == pytest.approx(DAY_S, abs=60)
    assert one.node.sandbox.prefix != two.node.sandbox.prefix
    assert one.https_port != two.https_port
    for node, other in ((one, two), (two, one)):
        form = {"grant_type": "password", "username": "admin", "password": node.node.admin_password}
        answer = await node.api.post("/uaa/oauth/token", data=form, auth=("cf", ""))
        headers = {"Authorization": f"bearer {answer.json()['access_token']}"}
        for asked, status in ((node, 200), (other, 401)):
            api = f"api.{asked.node.config.domains.system}"
            assert (await asked.get(api, "/v3/apps", headers=headers)).status_code == status


async def killed_in_the_middle_of_a_push(two: Driver, nursery: trio.Nursery) -> None:
    nursery.start_soon(two.push, "other", HELLO)
    with trio.fail_after(60):
        while not any(container.spec.kind == "build" for container in two.node.sandbox.containers.values()):
            await trio.sleep(0.002)
    nursery.cancel_scope.cancel()


async def test_a_node_killed_in_the_middle_of_a_push_leaves_its_neighbour_alone(tmp_path: Path) -> None:
    async with trio.open_nursery() as ours:
        one = await ours.start(serve, config(tmp_path / "one", "one", 64), 0.0)
        load = Load(one.https_port, "hello.apps.one.localhost", one.node.certificates.authority_path, RATE_PER_S)
        async with trio.open_nursery() as theirs:
            two = await theirs.start(serve, config(tmp_path / "two", "two", 96), -DAY_S)
            for node in (one, two):
                result = await node.push("hello", HELLO)
                assert result["type"] == "result", result
            await nothing_is_shared(one, two)
            before = objects(one.node)
            ours.start_soon(load.run)
            with trio.fail_after(30):
                while load.answers["200"] < RATE_PER_S:
                    await trio.sleep(0.02)
            await killed_in_the_middle_of_a_push(two, theirs)
        assert objects(two.node).difference(NOTHING) == {}
        assert objects(one.node).difference(before) == {}
        answered = load.answers["200"]
        with trio.fail_after(30):
            while load.answers["200"] < answered + RATE_PER_S:
                await trio.sleep(0.02)
        assert (await one.push("later", HELLO))["type"] == "result"
        ours.cancel_scope.cancel()
    assert load.failed == {}
    assert len(load.bodies) == 1
