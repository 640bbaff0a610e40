"""What pushes leave behind is in two zones, is found by every node, and survives the loss of one."""

import hashlib
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, Member, cluster
from tests.node.harness import HELLO

pytestmark = [pytest.mark.root, pytest.mark.slow]
MANIFEST = "applications:\n- name: {name}\n  instances: 3\n  memory: 128M\n"
BLOBS = "[blobs]\ncollect_after_s = 86400\n"


def blobs_of(member: Member) -> set[str]:
    """What is on the disk of a node, whole."""
    found = set()
    for path in (member.host.data / "blobs").glob("??/*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
        found.add(path.name)
    return found


async def push(cluster: Cluster, member: Member, name: str) -> list[str]:
    """Push through a node; the lines that came with it."""
    done = await member.push(name, HELLO, MANIFEST.format(name=name))
    assert done["type"] == "result", f"{done} {cluster.dump()}"
    return list(done["log"])


async def lines_through(member: Member, name: str) -> list[tuple[int, str]]:
    """(time, source type) of an app's lines, as log-cache gives them through a node."""
    async with member.client() as client:
        (app,) = (await client.get("/v3/apps", params={"names": name})).json()["resources"]
        answer = await client.get(f"/api/v1/read/{app['guid']}", params={"limit": 1000})
        batch = answer.raise_for_status().json()["envelopes"]["batch"]
    return [(int(one["timestamp"]), one["tags"]["source_type"]) for one in batch]


async def test_pushes_through_any_node_work_and_outlive_the_loss_of_one(tmp_path: Path) -> None:
    async with cluster(tmp_path, ["dc/a", "dc/b", "dc/c"], sections=BLOBS) as platform:
        for number, member in enumerate(platform.members):
            lines = await push(platform, member, f"app{number}")
            # Whoever built it, its first and its last lines are told where it was pushed.
            assert any("Unpacked" in line for line in lines) and any("Droplet ready" in line for line in lines)
        stored = [blobs_of(member) for member in platform.members]
        for sha256 in set().union(*stored):
            assert sum(sha256 in one for one in stored) >= 2
        read = [await lines_through(member, "app0") for member in platform.members]
        assert read[0] == sorted(read[0]) and read[0] == read[1] == read[2]
        assert {"API", "STG", "APP/PROC/WEB", "CELL"} <= {kind for _, kind in read[0]}

        await platform.until_settled()
        lost = platform.members[1]
        lost.lose()
        left = [platform.members[0], platform.members[2]]

        async def copied() -> bool:
            # With one node gone each of the others is a zone, so everything is on both.
            return set().union(*stored) <= blobs_of(left[0]) & blobs_of(left[1])

        took_s = await platform.until(copied, limit_s=60, what="every blob is in two zones again")
        print(f"all blobs in two zones again {took_s:.1f} s after the loss")
        for number in range(3):
            await push(platform, left[number % 2], f"app{number}")
        assert any(kind == "STG" for _, kind in await lines_through(left[0], "app1"))
