"""A worker has no keys: what it runs gets its secrets from a control node, and its lines are read through one."""

import base64
from pathlib import Path

import pytest

from tests.cluster.cluster import cluster
from tests.node.harness import SERVER

pytestmark = pytest.mark.root
FILES: dict[str, str | bytes] = {
    "server.py": 'import os\nprint("TOLD=" + os.environ["TOLD"], flush=True)\n' + SERVER,
    "Procfile": "web: python3 server.py\n",
}
MANIFEST = "applications:\n- name: app\n  instances: 2\n  memory: 128M\n  env: {TOLD: a well kept secret}\n"


async def test_an_instance_on_a_worker_has_its_secrets_and_its_lines_are_read_elsewhere(tmp_path: Path) -> None:
    async with cluster(tmp_path, ["dc/a", "dc/b"], workers=[1]) as platform:
        control, worker = platform.members
        done = await control.push("app", FILES, MANIFEST)
        assert done["type"] == "result", f"{done} {platform.dump()}"
        async with control.client() as client:
            (app,) = (await client.get("/v3/apps", params={"names": "app"})).json()["resources"]

            async def told_by_both() -> bool:
                answer = await client.get(f"/api/v1/read/{app['guid']}", params={"limit": 1000})
                batch = answer.raise_for_status().json()["envelopes"]["batch"]
                told = {
                    one["instance_id"]
                    for one in batch
                    if base64.b64decode(one["log"]["payload"]) == b"TOLD=a well kept secret"
                }
                return told == {"0", "1"}

            await platform.until(told_by_both, limit_s=30, what="both instances have the secret")

            async def both_run() -> bool:
                return await control.running("app") == 2

            await platform.until(both_run, limit_s=30, what="both instances run")
            nodes = (await client.get("/paasd/v1/nodes")).json()["nodes"]
        assert {(one["role"], one["instances"]) for one in nodes} == {("control", 1), ("worker", 1)}
        assert not (worker.host.data / "root-key").exists()
        assert list((worker.host.data / "blobs").glob("??/*"))  # it fetched what it runs
