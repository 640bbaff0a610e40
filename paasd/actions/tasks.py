"""Tasks: run and ended by developers; supporters may end them too."""

from paasd.actions import flags
from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import Permission
from paasd.actions.visibility import need_app, need_of_app
from paasd.auth import Caller
from paasd.model import Task
from paasd.model import tasks as model
from paasd.model.arguments import Metadata


async def create(
    context: Context,
    caller: Caller,
    app_guid: str,
    *,
    name: str | None = None,
    command: str | None = None,
    droplet_guid: str | None = None,
    template_process_guid: str | None = None,
    memory_mb: int | None = None,
    disk_mb: int | None = None,
    log_rate_limit_bytes: int | None = None,
    metadata: Metadata | None = None,
) -> Task:
    """Without a name it gets a short random one. Raises NotFound, Forbidden, Unprocessable."""
    with context.database.read() as tx:
        need_app(tx, caller, app_guid, Permission.WRITE_SPACE)
        flags.require(tx, caller, "task_creation")
    arguments = model.CreateTask(
        app_guid=app_guid,
        name=name or context.new_guid()[:8],
        command=command,
        droplet_guid=droplet_guid,
        template_process_guid=template_process_guid,
        memory_mb=memory_mb,
        disk_mb=disk_mb,
        log_rate_limit_bytes=log_rate_limit_bytes,
        metadata=metadata,
        sizes=context.sizes,
        actor=actor_of(caller),
    )
    task = await context.database.write(model.create_task, arguments)
    context.logs.say(app_guid, "API", f"Created task {task.name} with guid {task.guid}")
    return task


async def update(context: Context, caller: Caller, task_guid: str, metadata: Metadata | None) -> Task:
    """Labels and annotations."""
    with context.database.read() as tx:
        need_of_app(tx, caller, Task, task_guid, Permission.WRITE_SPACE)
    return await context.database.write(
        model.update_task, model.UpdateTask(task_guid=task_guid, metadata=metadata, actor=actor_of(caller))
    )


async def cancel(context: Context, caller: Caller, task_guid: str) -> Task:
    """Raises NotFound, Forbidden, and Unprocessable for one that has ended."""
    with context.database.read() as tx:
        need_of_app(tx, caller, Task, task_guid, Permission.OPERATE_APPS)
    arguments = model.CancelTask(task_guid=task_guid, actor=actor_of(caller))
    return await context.database.write(model.cancel_task, arguments)
