"""Jobs: what a client polls; seen by who started them and by who may see what they are about."""

from paasd.actions.context import Context, actor_of
from paasd.actions.visibility import need_visible
from paasd.auth import Caller
from paasd.model import Job, JobError
from paasd.model.jobs import FinishJob, OpenJob, finish_job, start_finished_job, start_job


def get_job(context: Context, caller: Caller, guid: str) -> Job:
    """Raises NotFound."""
    with context.database.read() as tx:
        return need_visible(tx, caller, Job, guid)


async def finished(
    context: Context,
    caller: Caller,
    operation: str,
    *,
    resource_type: str | None = None,
    resource_guid: str | None = None,
) -> Job:
    """A job for work that is done already, where clients expect one."""
    opened = OpenJob(
        operation=operation, resource_type=resource_type, resource_guid=resource_guid, actor=actor_of(caller)
    )
    return await context.database.write(start_finished_job, opened)


async def started(
    context: Context,
    caller: Caller,
    operation: str,
    *,
    deadline_s: float,
    resource_type: str | None = None,
    resource_guid: str | None = None,
) -> Job:
    """A job for work that begins now; `finish` closes it, else it fails at its deadline."""
    opened = OpenJob(
        operation=operation,
        resource_type=resource_type,
        resource_guid=resource_guid,
        owner_node_guid=context.node_guid,
        deadline_s=deadline_s,
        actor=actor_of(caller),
    )
    return await context.database.write(start_job, opened)


async def finish(context: Context, job: Job, errors: list[JobError]) -> bool:
    """Close a job: COMPLETE without errors, else FAILED. False when it was closed before."""
    return await context.database.write(finish_job, FinishJob(job_guid=job.guid, epoch=job.epoch, errors=errors))
