"""Source code goes in, a running app is served: the whole node, through its doors."""

import base64
from pathlib import Path

import pytest
import trio

from tests.node.harness import HELLO, Driver, running_node

pytestmark = pytest.mark.root


async def test_a_pushed_app_is_served_scaled_logged_and_deleted(tmp_path: Path) -> None:
    async with running_node(tmp_path) as node:
        result = await node.push("hello", HELLO)
        assert result["type"] == "result", result
        assert result["instances"] == {"running": 1, "total": 1}
        named = [step["name"] for step in result["waterfall"]]
        assert named[0] == "upload"
        assert named.index("detect") < named.index("build") < named.index("start")
        assert named[-2:] == ["healthy", "routed"]
        # Routed means that the very first request is answered.
        answer = await node.get("hello.apps.localhost")
        assert answer.status_code == 200, answer.text

        await scale(node, "hello", 2)
        seen = {(await node.get("hello.apps.localhost")).text for _ in range(20)}
        assert len(seen) == 2

        await the_log_has(node, "hello", "GET / HTTP/1.1", "APP/PROC/WEB")
        await the_log_has(node, "hello", '"GET / HTTP/1.1" 200', "RTR")
        await node.delete("hello")
        assert (await node.get("hello.apps.localhost")).status_code == 404


async def scale(node: Driver, name: str, instances: int) -> None:
    app = await node.app(name)
    answer = await node.api.post(f"/v3/apps/{app['guid']}/processes/web/actions/scale", json={"instances": instances})
    assert answer.status_code == 202, answer.text
    with trio.fail_after(30):
        while [one["state"] for one in await node.stats(name)] != ["RUNNING"] * instances:
            await trio.sleep(0.05)


async def the_log_has(node: Driver, name: str, text: str, source_type: str) -> None:
    """Lines arrive within a moment; the deadline is for a busy machine."""
    with trio.fail_after(20):
        while True:
            for envelope in await node.logs(name):
                payload = base64.b64decode(envelope["log"]["payload"]).decode()
                if text in payload and envelope["tags"]["source_type"].startswith(source_type):
                    return
            await trio.sleep(0.1)
