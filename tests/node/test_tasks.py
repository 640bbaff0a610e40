"""Tasks on a whole node: run once with the app's droplet and environment, logged, ended, and counted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.node.harness import HELLO, Driver, running_node

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
MANIFEST = "applications:\n- name: hello\n  memory: 64M\n  env: {SAUCE: plum}\n"


async def ask(node: Driver, command: str, status: int = 202, **body: Any) -> dict[str, Any]:
    guid = (await node.app("hello"))["guid"]
    wanted = {"command": command, "memory_in_mb": 64, "disk_in_mb": 64, **body}
    answer = await node.api.post(f"/v3/apps/{guid}/tasks", json=wanted)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


async def when(node: Driver, task: dict[str, Any], true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The task as soon as this is true of it."""
    with trio.fail_after(60):
        while not true(found := (await node.api.get(f"/v3/tasks/{task['guid']}")).json()):
            await trio.sleep(0.05)
    return dict(found)


def ended(task: dict[str, Any]) -> bool:
    return task["state"] in ("SUCCEEDED", "FAILED")


async def logged(node: Driver, text: str) -> str:
    """The log of the app, as soon as this is in it."""
    with trio.fail_after(30):
        while text not in (found := (await node.api.get("/paasd/v1/spaces/main/dev/apps/hello/logs?lines=500")).text):
            await trio.sleep(0.05)
    return str(found)


async def test_a_task_runs_once_and_says_how_it_went(tmp_path: Path) -> None:
    async with running_node(tmp_path / "node") as node:
        assert (await node.push("hello", HELLO, MANIFEST))["type"] == "result"
        task = await ask(node, 'echo "with $SAUCE in $PWD"; ls server.py; echo oh >&2', name="migrate")
        assert (task["state"], task["sequence_id"], task["name"]) == ("PENDING", 1, "migrate")
        done = await when(node, task, ended)
        assert (done["state"], done["result"]["failure_reason"]) == ("SUCCEEDED", None)
        lines = await logged(node, "[APP/TASK/migrate/0] OUT Exited with status 0")
        assert "[APP/TASK/migrate/0] OUT with plum in /home/vcap/app" in lines
        assert "[APP/TASK/migrate/0] OUT server.py" in lines
        assert "[APP/TASK/migrate/0] ERR oh" in lines

        failed = await when(node, await ask(node, "exit 3", name="bad"), ended)
        assert failed["result"]["failure_reason"] == "APP/TASK/bad: Exited with status 3"

        endless = await ask(node, "trap 'echo told to end; exit 0' TERM; while :; do sleep 0.1; done", name="endless")
        await when(node, endless, lambda found: bool(found["state"] == "RUNNING"))
        usage = (await node.api.get("/paasd/v1/spaces/main/dev/quota")).json()["space"]["counted"]
        assert (usage["tasks"]["used"], usage["memory_in_mb"]["used"]) == (1, 128)
        cancelled = await node.api.put(f"/v3/tasks/{endless['guid']}/cancel")
        assert cancelled.json()["state"] == "CANCELING"
        gone = await when(node, endless, ended)
        assert (gone["state"], gone["result"]["failure_reason"]) == ("FAILED", "task was cancelled")
        again = await node.api.post(f"/v3/tasks/{endless['guid']}/actions/cancel")
        assert again.json()["errors"][0]["detail"] == "Task state is FAILED and therefore cannot be canceled"

        # Stopping the app ends no task; deleting it does.
        last = await ask(node, "sleep 1000", name="last")
        await when(node, last, lambda found: bool(found["state"] == "RUNNING"))
        await node.api.post(f"/v3/apps/{(await node.app('hello'))['guid']}/actions/stop")
        assert (await node.api.get(f"/v3/tasks/{last['guid']}")).json()["state"] == "RUNNING"
        events = (await node.api.get("/v3/app_usage_events?per_page=100")).json()["resources"]
        told = [(one["task"]["name"], one["state"]["current"]) for one in events if one["task"]["guid"]]
        assert told[:2] == [("migrate", "TASK_STARTED"), ("migrate", "TASK_STOPPED")]
        await node.api.delete(f"/v3/apps/{(await node.app('hello'))['guid']}")
        with trio.fail_after(30):
            while [one for one in node.node.sandbox.containers.values() if one.spec.kind == "task"]:
                await trio.sleep(0.05)


async def test_a_task_outlives_the_daemon_and_is_not_begun_again(tmp_path: Path) -> None:
    async with running_node(tmp_path / "node", outlive=True) as node:
        assert (await node.push("hello", HELLO, MANIFEST))["type"] == "result"
        long = await ask(node, "echo begun; sleep 4; echo over", name="long")
        short = await ask(node, "echo begun; sleep 1; exit 7", name="short")
        for name in ("long", "short"):
            await logged(node, f"[APP/TASK/{name}/0] OUT begun")
    async with running_node(tmp_path / "node") as node:
        assert (await when(node, long, ended))["state"] == "SUCCEEDED"
        assert (await when(node, short, ended))["result"]["failure_reason"] == "APP/TASK/short: Exited with status 7"
        lines = await logged(node, "[APP/TASK/long/0] OUT over")
        assert lines.count("[APP/TASK/long/0] OUT begun") == lines.count("[APP/TASK/short/0] OUT begun") == 1
