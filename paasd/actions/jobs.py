"""Jobs: what a client polls. To know a job's guid is the permission to read it, as in Cloud Foundry."""

from paasd.actions.context import Context
from paasd.model import Job
from paasd.model.jobs import OpenJob, start_finished_job


def get_job(context: Context, guid: str) -> Job:
    """Raises NotFound."""
    with context.database.read() as tx:
        return tx.need(Job, guid)


async def finished(
    context: Context, operation: str, *, resource_type: str | None = None, resource_guid: str | None = None
) -> Job:
    """A job for work that is done already, where clients expect one."""
    opened = OpenJob(operation=operation, resource_type=resource_type, resource_guid=resource_guid)
    return await context.database.write(start_finished_job, opened)
