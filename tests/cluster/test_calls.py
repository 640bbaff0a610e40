"""Calls between apps over real nodes: an app on one node reaches one that runs on the other alone."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from tests.cluster.cluster import Cluster, Member, cluster
from tests.node.test_network import FILES, policy

pytestmark = [pytest.mark.root, pytest.mark.slow]
MANIFEST = "applications:\n- name: {name}\n  instances: {instances}\n  memory: 64M\n"


async def api(client: httpx.AsyncClient, method: str, path: str, body: Any = None) -> Any:
    answer = await client.request(method, path, json=body)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


async def push(member: Member, name: str, instances: int, route: str = "") -> None:
    manifest = MANIFEST.format(name=name, instances=instances) + route
    done = await member.push(name, FILES, manifest)
    assert done["type"] == "result", f"{done} {member.log[-2000:]}"


async def page(member: Member, path: str) -> str:
    """What the front app answers through the router of a node."""
    place = f"front.apps.localhost:443:{member.host.address}"
    words = ("curl", "-sk", "--max-time", "10", "--resolve", place, f"https://front.apps.localhost{path}")
    return (await trio.to_thread.run_sync(member.host.execute, *words)).stdout.strip()


async def answers(member: Member) -> set[tuple[str, str]]:
    """Which front instance said what of a call, over some requests."""
    found = set()
    for _ in range(8):
        found.add((await page(member, "/"), await page(member, "/to/stock.apps.internal/8080")))
    return found


async def test_an_app_reaches_another_wherever_both_run_while_a_policy_stands(tmp_path: Path) -> None:
    async with cluster(tmp_path, ["dc/a", "dc/b"], workers=[1]) as platform:
        control, worker = platform.members
        await push(control, "front", 2)
        await push(control, "stock", 1, "  routes:\n  - route: stock.apps.internal\n")
        async with control.client() as client:
            apps = {app["name"]: app["guid"] for app in (await api(client, "GET", "/v3/apps"))["resources"]}
            nodes = (await client.get("/paasd/v1/nodes")).json()["nodes"]
            assert sorted(one["instances"] for one in nodes) == [1, 2], "front on both, stock on one"
            await api(client, "POST", "/networking/v1/external/policies", policy(apps["front"], apps["stock"]))
            await reached(platform, control, worker)
            both = {said for one in (control, worker) for said in await answers(one)}
            assert len({said for _, said in both}) == 1, both
            assert len(both.pop()[1]) == 36, "the guid of the one instance of stock"
            body = policy(apps["front"], apps["stock"])
            await api(client, "POST", "/networking/v1/external/policies/delete", body)

            async def closed() -> bool:
                return all(len(said) != 36 for _, said in await answers(control))

            await platform.until(closed, limit_s=10, what="nobody reaches it any more")


async def reached(platform: Cluster, *members: Member) -> None:
    async def by_all() -> bool:
        found = {said for member in members for said in await answers(member)}
        return all(len(stock) == 36 for _, stock in found)

    await platform.until(by_all, limit_s=20, what="every instance of front reaches stock")
