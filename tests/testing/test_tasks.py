"""Tasks on several nodes: each runs once, and one whose node is lost has failed and is not begun again."""

import paasd.testing
from paasd.model import Task

from .apps import HELLO


async def test_a_task_whose_node_is_lost_has_failed_and_is_not_begun_again() -> None:
    async with paasd.testing.cluster(zones=3) as c:
        await c.push("hello", HELLO)
        guid = (await c.api.get("/paasd/v1/spaces/main/dev/apps/hello")).json()["guid"]

        async def ask(command: str) -> str:
            sizes = {"memory_in_mb": 64, "disk_in_mb": 64}
            made = await c.api.post(f"/v3/apps/{guid}/tasks", json={"command": command, **sizes})
            assert made.status_code == 202, made.text
            return str(made.json()["guid"])

        def row(task: str) -> Task:
            living = next(node for node in c.nodes if node.alive)
            with living.node.context.database.read() as tx:
                return tx.need(Task, task)

        tasks = [await ask("sleep 600") for _ in range(4)]
        await c.until(lambda: all(row(task).state == "RUNNING" for task in tasks))
        lost = next(node for node in c.nodes if node.node.guid == row(tasks[0]).node_guid)
        theirs = {task for task in tasks if row(task).node_guid == lost.node.guid}
        await lost.kill()
        await c.until(lambda: all(row(task).state == "FAILED" for task in theirs), within_s=60)
        assert {row(task).failure_reason for task in theirs} == {"the node that ran it was lost"}
        assert {row(task).epoch for task in tasks} == {1}
        assert all(row(task).state == "RUNNING" for task in tasks if task not in theirs)

        # Others go on, and are ended where they run.
        rest = [task for task in tasks if task not in theirs]
        for task in rest:
            await c.api.post(f"/v3/tasks/{task}/actions/cancel")
        await c.until(lambda: all(row(task).failure_reason == "task was cancelled" for task in rest), within_s=60)
        assert (await c.get("hello")).status_code == 200
