"""A node that is removed ends what it ran and says what happened, also when it was off at that moment."""

from pathlib import Path

import pytest
import trio

from tests.cluster.cluster import Cluster, Member, cluster
from tests.node.harness import HELLO

pytestmark = [pytest.mark.root, pytest.mark.timeout(180)]
MANIFEST = "applications:\n- name: hello\n  instances: 3\n  memory: 64M\n"
FOUND_S = 15.0
"""A node that was off has to start first."""


def programs(member: Member) -> set[str]:
    """What runs on this node's host, of what a platform runs."""
    listed = member.host.execute("ps", "-e", "-o", "args=").stdout
    wanted = {"app": "python3 server.py", "envoy": "envoy", "etcd": "etcd "}
    return {name for name, words in wanted.items() if any(words in line for line in listed.splitlines())}


async def removed(platform: Cluster, member: Member) -> float:
    """Wait until the node says so; how long that took. Nothing of tenants runs on it then."""

    async def says_so() -> bool:
        if not await responds(member):
            return False
        status = await trio.to_thread.run_sync(member.paasd, "status")
        return "this node was removed from its platform" in status and "paasd join TOKEN" in status

    try:
        took_s = await platform.until(says_so, limit_s=FOUND_S, what=f"{member.name} knows")
    except AssertionError as error:
        raise AssertionError(platform.dump()) from error
    assert programs(member) == set()
    async with member.client(5) as client:
        answer = await client.get("/v3/apps")
    assert answer.status_code == 503
    assert "was removed from its platform" in answer.json()["errors"][0]["detail"]
    return took_s


async def responds(member: Member) -> bool:
    """Whether the daemon's door for root is open."""
    try:
        async with member.client(5) as client:
            await client.get("/paasd/v1/healthz")
    except Exception:  # noqa: BLE001 - whatever it is, there was no answer
        return False
    return True


@pytest.mark.slow
async def test_removed_nodes_stop_what_they_ran_running_or_not(tmp_path: Path) -> None:
    async with cluster(tmp_path / "hosts", ["dc/a", "dc/b", "dc/c"], workers=[2]) as platform:
        one, two, worker = platform.members
        result = await one.push("hello", HELLO, MANIFEST)
        assert result["type"] == "result", result

        async def everywhere() -> bool:
            return all(programs(member) == {"app", "envoy"} for member in platform.members)

        await platform.until(everywhere, limit_s=30, what="an instance on each node")

        await trio.to_thread.run_sync(lambda: one.paasd("node", "remove", two.name, "--force"))
        print(f"a running node knew of its removal after {await removed(platform, two):.1f} s")

        worker.kill_daemon()
        assert programs(worker) == {"app", "envoy"}, "they outlive the daemon"
        await trio.to_thread.run_sync(lambda: one.paasd("node", "remove", worker.name, "--force"))
        worker.start()
        print(f"one that was off knew after {await removed(platform, worker):.1f} s, its start included")

        two.kill_daemon()
        two.start()
        await removed(platform, two)
        listed = one.paasd("members")
        assert two.name not in listed and worker.name not in listed
