"""Tasks: asked for by a developer, given to one node by the scheduler, ended by that node, by a cancel or by a loss.

At most once: a task whose node is lost has failed, for nobody can know how far it came.
"""

from typing import Final

from paasd.errors import NotFound, Unprocessable
from paasd.model.apps import need_app
from paasd.model.arguments import SYSTEM, Actor, Arguments, Metadata
from paasd.model.auditing import difference
from paasd.model.events import record_app_event
from paasd.model.metadata import merge_metadata, remove_in
from paasd.model.nodes import LIVE_STATES
from paasd.model.processes import COMMAND_LIMIT, Sizes, check_command, check_scale
from paasd.model.quotas.accounting import check_task
from paasd.model.records import App, Droplet, Node, Process, Space, Task
from paasd.model.records.tasks import ENDED
from paasd.model.reserving import GOING_ON, reserved_on
from paasd.model.task_endings import end_task
from paasd.model.usage_events import record_task
from paasd.state import ROWS, Gt, In, Lt, Not, Portion, ReadTx, Tx, operation

NAME_LIMIT: Final = 255
CANCELED: Final = "task was cancelled"
NODE_LOST: Final = "the node that ran it was lost"


class CreateTask(Arguments):
    """Arguments of `create_task`. Sizes left out are those of the template process, else the platform's defaults."""

    app_guid: str
    name: str
    command: str | None = None
    droplet_guid: str | None = None
    template_process_guid: str | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None
    log_rate_limit_bytes: int | None = None
    metadata: Metadata | None = None
    sizes: Sizes
    actor: Actor


@operation("task.create", version=1)
def create_task(tx: Tx, args: CreateTask) -> Task:
    """Raises NotFound for app, droplet or template, Unprocessable without a droplet or command or beyond a quota."""
    app = need_app(tx, args.app_guid)
    template = _template(tx, app, args.template_process_guid)
    droplet = _droplet(tx, app, args.droplet_guid)
    command = args.command or _command(template, droplet)
    if not 1 <= len(command) <= COMMAND_LIMIT:
        raise Unprocessable(f"Command must be shorter than {COMMAND_LIMIT + 1} characters")
    check_command(command)
    if not 1 <= len(args.name) <= NAME_LIMIT or not args.name.isprintable():
        raise Unprocessable(f"Name must be 1 to {NAME_LIMIT} printable characters")
    sizes = args.sizes
    memory_mb = args.memory_mb or (sizes.memory_mb if template is None else template.memory_mb)
    disk_mb = args.disk_mb or (sizes.disk_mb if template is None else template.disk_mb)
    if disk_mb > sizes.disk_limit_mb:
        raise Unprocessable(f"Cannot request disk_in_mb greater than {sizes.disk_limit_mb}")
    log_rate = sizes.log_rate_limit_bytes if template is None else template.log_rate_limit_bytes
    log_rate = log_rate if args.log_rate_limit_bytes is None else args.log_rate_limit_bytes
    check_scale(sizes, memory_mb=memory_mb, disk_mb=disk_mb, log_rate_limit_bytes=log_rate)
    newest = tx.all(Task, app_guid=app.guid, order=("-sequence_id",), limit=1)
    task = tx.insert(
        Task(
            app_guid=app.guid,
            sequence_id=newest[0].sequence_id + 1 if newest else 1,
            name=args.name,
            command=command,
            droplet_guid=droplet.guid,
            memory_mb=memory_mb,
            disk_mb=disk_mb,
            log_rate_limit_bytes=log_rate,
        )
    )
    check_task(tx, tx.need(Space, app.space_guid), task)
    merge_metadata(tx, "task", task.guid, args.metadata)
    record_app_event(tx, "audit.app.task.create", args.actor, app, {"task_guid": task.guid, "name": task.name})
    return task


def _template(tx: Tx, app: App, process_guid: str | None) -> Process | None:
    if process_guid is None:
        return None
    process = tx.get(Process, process_guid)
    if process is None or process.app_guid != app.guid:
        raise NotFound("Process")
    return process


def _droplet(tx: Tx, app: App, droplet_guid: str | None) -> Droplet:
    guid = droplet_guid or app.droplet_guid
    if guid is None:
        raise Unprocessable("Task must have a droplet. Specify droplet or assign current droplet to app.")
    droplet = tx.get(Droplet, guid)
    if droplet is None or droplet.app_guid != app.guid:
        raise NotFound("Droplet")
    if droplet.state != "STAGED":
        raise Unprocessable("Task must have a droplet that is staged.")
    return droplet


def _command(template: Process | None, droplet: Droplet) -> str:
    command = None if template is None else template.command or droplet.process_types.get(template.type)
    if not command:
        raise Unprocessable("No command or template provided")
    return command


class UpdateTask(Arguments):
    """Arguments of `update_task`: only metadata can change."""

    task_guid: str
    metadata: Metadata | None = None
    actor: Actor = SYSTEM


@operation("task.update", version=1)
def update_task(tx: Tx, args: UpdateTask) -> Task:
    """Raises NotFound."""
    task = tx.update(tx.need(Task, args.task_guid))
    merge_metadata(tx, "task", task.guid, args.metadata)
    data = {"task_guid": task.guid, "name": task.name, **difference(task, task, args.metadata)}
    record_app_event(tx, "audit.app.task.update", args.actor, tx.need(App, task.app_guid), data)
    return task


class CancelTask(Arguments):
    """Arguments of `cancel_task`."""

    task_guid: str
    actor: Actor


@operation("task.cancel", version=1)
def cancel_task(tx: Tx, args: CancelTask) -> Task:
    """One that no node has is ended at once; else its node ends it. Raises NotFound, Unprocessable."""
    task = tx.need(Task, args.task_guid)
    if task.ended:
        raise Unprocessable(f"Task state is {task.state} and therefore cannot be canceled")
    app, former = tx.need(App, task.app_guid), task
    if task.node_guid is None:
        task = end_task(tx, task, CANCELED)
    elif task.state != "CANCELING":
        task = tx.update(task, state="CANCELING")
    data = {"task_guid": task.guid, "name": task.name, **difference(former, task)}
    record_app_event(tx, "audit.app.task.cancel", args.actor, app, data)
    return task


class AssignTasks(Arguments):
    """Arguments of `assign_tasks`: node by task, as decided from a snapshot."""

    nodes: dict[str, str]


@operation("task.assign", version=1)
def assign_tasks(tx: Tx, args: AssignTasks) -> list[str]:
    """Give those that still wait to nodes that still have room; the guids of these."""
    given: list[str] = []
    for task_guid, node_guid in args.nodes.items():
        task, node = tx.get(Task, task_guid), tx.get(Node, node_guid)
        if task is None or task.state != "PENDING" or node is None or node.state != "READY":
            continue
        memory_mb, disk_mb = reserved_on(tx, node.guid)
        if memory_mb + task.memory_mb > node.memory_mb or disk_mb + task.disk_mb > node.disk_mb:
            continue
        task = tx.update(task, state="RUNNING", node_guid=node.guid, epoch=task.epoch + 1)
        record_task(tx, task, "TASK_STARTED", "PENDING")
        given.append(task.guid)
    return given


class FinishTask(Arguments):
    """Arguments of `finish_task`: how it ended on (node_guid, epoch); without a reason it succeeded."""

    task_guid: str
    node_guid: str
    epoch: int
    failure_reason: str | None = None


@operation("task.finish", version=1)
def finish_task(tx: Tx, args: FinishTask) -> bool:
    """False when the task is not this node's any more, or has ended."""
    task = tx.get(Task, args.task_guid)
    if task is None or task.ended or task.node_guid != args.node_guid or task.epoch != args.epoch:
        return False
    end_task(tx, task, CANCELED if task.state == "CANCELING" else args.failure_reason)
    return True


class FailLostTasks(Arguments):
    """Arguments of `fail_lost_tasks`; rows say which nodes are lost."""


@operation("task.fail_lost", version=1)
def fail_lost_tasks(tx: Tx, args: FailLostTasks) -> int:
    """Fail tasks whose node takes part no more, a bounded number at a time; how many."""
    lost = lost_tasks(tx)
    for task in lost:
        end_task(tx, task, NODE_LOST)
    return len(lost)


def lost_tasks(tx: ReadTx) -> list[Task]:
    """Some of those that nobody will end: the node that has them takes part no more."""
    live = [node.guid for node in tx.all(Node, In("state", LIVE_STATES))]
    return tx.all(Task, GOING_ON, Not(In("node_guid", live)), limit=ROWS)


class ExpireTasks(Arguments):
    """Arguments of `expire_tasks`: the time, as in rows, before which ended tasks go."""

    before: str


@operation("task.expire", version=1)
def expire_tasks(tx: Tx, args: ExpireTasks) -> int:
    """Forget a portion of the old ones; 0: no more. The newest of each app stays, for the count goes on from it."""
    old, portion, gone, after = (In("state", ENDED), Lt("updated_at", args.before)), Portion(tx), 0, ""
    while not portion.full and (page := tx.all(Task, *old, Gt("guid", after), order=("guid",), limit=ROWS)):
        gone += len(remove_in(portion, [task for task in page if _has_later(tx, task)]))
        after = page[-1].guid
    return gone or int(portion.full)


def _has_later(tx: Tx, task: Task) -> bool:
    newest = tx.all(Task, app_guid=task.app_guid, order=("-sequence_id",), limit=1)
    return bool(newest) and newest[0].guid != task.guid
