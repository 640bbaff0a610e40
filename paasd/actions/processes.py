"""Processes and sidecars: scaled by developers and supporters, changed by developers."""

import msgspec

from paasd.actions import flags
from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import Permission
from paasd.actions.visibility import need_app, need_of_app
from paasd.auth import Caller
from paasd.model import HealthCheck, Node, Process, Sidecar
from paasd.model import processes as model
from paasd.model import sidecars as sidecar_model
from paasd.model.arguments import Metadata
from paasd.model.nodes import LIVE_STATES
from paasd.state import In, ReadTx


def find(context: Context, caller: Caller, app_guid: str, process_type: str) -> Process:
    """The process of an app by type. Raises NotFound."""
    with context.database.read() as tx:
        need_app(tx, caller, app_guid)
        return model.find_process(tx, app_guid, process_type)


async def scale(
    context: Context,
    caller: Caller,
    process_guid: str,
    *,
    instances: int | None = None,
    memory_mb: int | None = None,
    disk_mb: int | None = None,
    log_rate_limit_bytes: int | None = None,
) -> Process:
    """Instances at once, sizes with the next restart. Raises NotFound, Forbidden, Unprocessable."""
    with context.database.read() as tx:
        need_of_app(tx, caller, Process, process_guid, Permission.OPERATE_APPS)
        flags.require(tx, caller, "app_scaling")
    arguments = model.ScaleProcess(
        process_guid=process_guid,
        instances=instances,
        memory_mb=memory_mb,
        disk_mb=disk_mb,
        log_rate_limit_bytes=log_rate_limit_bytes,
        sizes=context.sizes,
        actor=actor_of(caller),
    )
    process = await context.database.write(model.scale_process, arguments)
    context.logs.say(process.app_guid, "API", f"Scaled process {process.type} to {process.instances} instance(s)")
    return process


async def update(
    context: Context,
    caller: Caller,
    process_guid: str,
    *,
    command: str | msgspec.UnsetType | None = msgspec.UNSET,
    health_check: HealthCheck | msgspec.UnsetType = msgspec.UNSET,
    readiness_health_check: HealthCheck | msgspec.UnsetType = msgspec.UNSET,
    metadata: Metadata | None = None,
) -> Process:
    """UNSET leaves a field as it is; a command of None goes back to the droplet's. Takes effect with a restart."""
    with context.database.read() as tx:
        need_of_app(tx, caller, Process, process_guid, Permission.OPERATE_APPS)
    arguments = model.UpdateProcess(
        process_guid=process_guid,
        command=command,
        health_check=health_check,
        readiness_health_check=readiness_health_check,
        metadata=metadata,
        actor=actor_of(caller),
    )
    return await context.database.write(model.update_process, arguments)


def finds_no_place(tx: ReadTx, process: Process) -> str | None:
    """That no node is as large as an instance of the process, if so and it wants any. It says nothing of how large
    they are.
    """
    if not process.instances:
        return None
    nodes = tx.all(Node, In("state", LIVE_STATES))
    if not nodes or any(one.memory_mb >= process.memory_mb and one.disk_mb >= process.disk_mb for one in nodes):
        return None
    return (
        f"No node is as large as {process.memory_mb} MB of memory and {process.disk_mb} MB of disk: such an instance "
        "finds no place (insufficient resources). Scale to less"
    )


async def restart_instance(context: Context, caller: Caller, process_guid: str, index: int) -> None:
    """Replace one instance. Raises NotFound (`Instance not found`), Forbidden."""
    with context.database.read() as tx:
        need_of_app(tx, caller, Process, process_guid, Permission.OPERATE_APPS)
    arguments = model.RestartInstance(process_guid=process_guid, index=index, actor=actor_of(caller))
    await context.database.write(model.restart_instance, arguments)


async def create_sidecar(
    context: Context,
    caller: Caller,
    app_guid: str,
    *,
    name: str,
    command: str,
    process_types: list[str],
    memory_mb: int | None = None,
) -> Sidecar:
    """Raises NotFound, Forbidden, Unprocessable."""
    with context.database.read() as tx:
        need_app(tx, caller, app_guid, Permission.WRITE_SPACE)
    arguments = sidecar_model.CreateSidecar(
        app_guid=app_guid,
        name=name,
        command=command,
        process_types=process_types,
        memory_mb=memory_mb,
        actor=actor_of(caller),
    )
    return await context.database.write(sidecar_model.create_sidecar, arguments)


async def update_sidecar(
    context: Context,
    caller: Caller,
    sidecar_guid: str,
    *,
    name: str | msgspec.UnsetType = msgspec.UNSET,
    command: str | msgspec.UnsetType = msgspec.UNSET,
    process_types: list[str] | msgspec.UnsetType = msgspec.UNSET,
    memory_mb: int | msgspec.UnsetType | None = msgspec.UNSET,
) -> Sidecar:
    """UNSET leaves a field as it is. Raises NotFound, Forbidden, Unprocessable."""
    with context.database.read() as tx:
        need_of_app(tx, caller, Sidecar, sidecar_guid, Permission.WRITE_SPACE)
    arguments = sidecar_model.UpdateSidecar(
        sidecar_guid=sidecar_guid,
        name=name,
        command=command,
        process_types=process_types,
        memory_mb=memory_mb,
        actor=actor_of(caller),
    )
    return await context.database.write(sidecar_model.update_sidecar, arguments)


async def delete_sidecar(context: Context, caller: Caller, sidecar_guid: str) -> None:
    """Raises NotFound, Forbidden."""
    with context.database.read() as tx:
        need_of_app(tx, caller, Sidecar, sidecar_guid, Permission.WRITE_SPACE)
    arguments = sidecar_model.DeleteSidecar(sidecar_guid=sidecar_guid, actor=actor_of(caller))
    await context.database.write(sidecar_model.delete_sidecar, arguments)
