"""Tasks as rows: what is refused, what counts, and that a task is begun at most once."""

from typing import Any

import pytest

from paasd.errors import NotFound, PaasdError, Unprocessable
from paasd.model import App, AppUsageEvent, Instance, Node, Process, Task
from paasd.model.apps import ChangeApp, begin_delete_app
from paasd.model.arguments import SYSTEM
from paasd.model.deletion import DeleteChunk, delete_chunk
from paasd.model.draining import drain_progress
from paasd.model.instances import PlaceInstances, Placement, place_instances
from paasd.model.nodes import SetNodeState, set_node_state
from paasd.model.quotas.definitions import UpdateQuota, update_organization_quota
from paasd.model.tasks import (
    AssignTasks,
    CancelTask,
    CreateTask,
    ExpireTasks,
    FailLostTasks,
    FinishTask,
    assign_tasks,
    cancel_task,
    create_task,
    expire_tasks,
    fail_lost_tasks,
    finish_task,
)
from paasd.scheduler.slots import Nodes
from paasd.scheduler.tasks import assign_tasks_to
from tests.model.seeding import NODE, SIZES, Seed


async def make(seed: Seed, app: App, **more: Any) -> Task:
    wanted = {"name": "t", "command": "true", **more}
    return await seed.database.write(create_task, CreateTask(app_guid=app.guid, sizes=SIZES, actor=SYSTEM, **wanted))


async def refused(seed: Seed, app: App, kind: type[PaasdError] = Unprocessable, **more: Any) -> str:
    with pytest.raises(kind) as caught:
        await make(seed, app, **more)
    return caught.value.detail


async def assigned(seed: Seed, *tasks: Task) -> list[str]:
    return await seed.database.write(assign_tasks, AssignTasks(nodes={task.guid: NODE for task in tasks}))


def now(seed: Seed, task: Task) -> Task:
    with seed.database.read() as tx:
        return tx.need(Task, task.guid)


async def test_what_no_task_can_be_is_refused_in_the_words_of_cloud_foundry(seed: Seed) -> None:
    without = await seed.app("without")
    assert (await refused(seed, without)).startswith("Task must have a droplet.")
    app = await seed.started()
    assert await refused(seed, app, command=None) == "No command or template provided"
    text = f"Cannot request disk_in_mb greater than {SIZES.disk_limit_mb}"
    assert await refused(seed, app, disk_mb=SIZES.disk_limit_mb + 1) == text
    with seed.database.read() as tx:
        foreign = tx.need(App, without.guid)
    for guid in ("none", foreign.guid):
        assert await refused(seed, app, NotFound, droplet_guid=guid) == "Droplet not found"
        assert await refused(seed, app, NotFound, template_process_guid=guid) == "Process not found"
    assert (await make(seed, app)).sequence_id == 1
    assert (await make(seed, app)).sequence_id == 2


async def test_tasks_count_in_quotas_until_they_have_ended(seed: Seed) -> None:
    app = await seed.started()
    limits: dict[str, int | bool | None] = {"total_memory_in_mb": 512 + 512, "per_app_tasks": 1}
    change = UpdateQuota(quota_guid="default", limits=limits, actor=SYSTEM)
    await seed.database.write(update_organization_quota, change)
    too_large = "memory_in_mb exceeds organization memory quota"
    assert await refused(seed, app, memory_mb=513) == too_large
    first = await make(seed, app, memory_mb=512)
    assert await refused(seed, app, memory_mb=64) == f"{too_large}, app_task_limit quota exceeded"
    await seed.database.write(cancel_task, CancelTask(task_guid=first.guid, actor=SYSTEM))
    assert now(seed, first).failure_reason == "task was cancelled"
    assert (await make(seed, app, memory_mb=64)).state == "PENDING"


async def test_a_node_that_is_full_gets_neither_tasks_nor_instances(seed: Seed) -> None:
    app = await seed.started()
    await seed.node(memory_mb=600)
    tasks = [await make(seed, app, memory_mb=300) for _ in range(3)]
    assert await assigned(seed, *tasks) == [task.guid for task in tasks[:2]]
    with seed.database.read() as tx:
        process = tx.all(Process, app_guid=app.guid)[0]
    wanted = Placement(process_guid=process.guid, index=0, app_version=app.version, node_guid=NODE)
    placement = PlaceInstances(placements=[wanted])
    assert await seed.database.write(place_instances, placement) == []
    done = FinishTask(task_guid=tasks[0].guid, node_guid=NODE, epoch=1)
    assert await seed.database.write(finish_task, done)
    await seed.database.write(cancel_task, CancelTask(task_guid=tasks[1].guid, actor=SYSTEM))
    # Until its node has ended it, a task that is to end has its room.
    assert await seed.database.write(place_instances, placement) == []
    await seed.database.write(finish_task, FinishTask(task_guid=tasks[1].guid, node_guid=NODE, epoch=1))
    assert len(await seed.database.write(place_instances, placement)) == 1
    with seed.database.read() as tx:
        nodes, instances = tx.all(Node), tx.all(Instance)
    ready = Nodes.of(nodes)
    assert assign_tasks_to([tasks[2]], nodes, [], {}, ready) == {tasks[2].guid: NODE}
    assert assign_tasks_to([tasks[2]], nodes, instances, {}, ready) == {}
    assert assign_tasks_to([tasks[2]], nodes, [], {NODE: (301, 0)}, ready) == {}


async def test_a_task_is_begun_once_and_only_its_node_may_say_how_it_ended(seed: Seed) -> None:
    app = await seed.started()
    await seed.node()
    await seed.node("other")
    task = await make(seed, app)
    assert await assigned(seed, task) == [task.guid]
    again = AssignTasks(nodes={task.guid: "other"})
    assert await seed.database.write(assign_tasks, again) == []
    with seed.database.read() as tx:
        assert drain_progress(tx, tx.need(Node, NODE)).in_words() == "draining: 1 task to end"
    for node, epoch in (("other", 1), (NODE, 2)):
        wrong = FinishTask(task_guid=task.guid, node_guid=node, epoch=epoch)
        assert await seed.database.write(finish_task, wrong) is False
    await seed.database.write(set_node_state, SetNodeState(guid=NODE, incarnation=1, state="DEAD"))
    assert await seed.database.write(fail_lost_tasks, FailLostTasks()) == 1
    assert (now(seed, task).state, now(seed, task).failure_reason) == ("FAILED", "the node that ran it was lost")
    assert await seed.database.write(assign_tasks, again) == []
    late = FinishTask(task_guid=task.guid, node_guid=NODE, epoch=1)
    assert await seed.database.write(finish_task, late) is False
    with seed.database.read() as tx:
        told = [one.state for one in tx.all(AppUsageEvent, task_guid=task.guid)]
    assert told == ["TASK_STARTED", "TASK_STOPPED"]


async def test_tasks_go_with_their_app_and_old_ones_by_themselves(seed: Seed) -> None:
    app = await seed.started()
    await seed.node()
    tasks = [await make(seed, app) for _ in range(3)]
    await assigned(seed, *tasks)
    for task in tasks[:2]:
        await seed.database.write(finish_task, FinishTask(task_guid=task.guid, node_guid=NODE, epoch=1))
    assert await seed.database.write(expire_tasks, ExpireTasks(before="2001-01-01T00:00:00Z")) == 0
    assert await seed.database.write(expire_tasks, ExpireTasks(before="9999-01-01T00:00:00Z")) == 2
    assert (await make(seed, app)).sequence_id == 4
    await seed.database.write(begin_delete_app, ChangeApp(app_guid=app.guid, actor=SYSTEM))
    assert now(seed, tasks[2]).failure_reason == "its app was deleted"
    assert await seed.database.write(delete_chunk, DeleteChunk(kind="app", guid=app.guid))
    with seed.database.read() as tx:
        assert tx.all(Task) == []
