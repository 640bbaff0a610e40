"""The end of a task, whatever it comes from."""

from typing import Final

from paasd.model.arguments import SYSTEM
from paasd.model.auditing import difference
from paasd.model.events import record_app_event
from paasd.model.records import App, Task
from paasd.model.records.tasks import ENDED
from paasd.model.usage_events import record_task
from paasd.state import In, Not, Tx

APP_DELETED: Final = "its app was deleted"


def end_task(tx: Tx, task: Task, failure_reason: str | None) -> Task:
    """SUCCEEDED without a reason, else FAILED. Whoever runs it finds that and takes it down."""
    former = task
    task = tx.update(task, state="SUCCEEDED" if failure_reason is None else "FAILED", failure_reason=failure_reason)
    if task.node_guid is not None:
        record_task(tx, task, "TASK_STOPPED", former.state)
    app = tx.get(App, task.app_guid)
    if app is not None:
        data = {"task_guid": task.guid, "name": task.name, "state": task.state, "failure_reason": failure_reason}
        record_app_event(tx, "audit.app.task.end", SYSTEM, app, {**data, **difference(former, task)})
    return task


def end_tasks_of(tx: Tx, app_guid: str) -> None:
    """The app goes: what waits or runs has failed."""
    for task in tx.all(Task, Not(In("state", ENDED)), app_guid=app_guid):
        end_task(tx, task, APP_DELETED)
