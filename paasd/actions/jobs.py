"""Jobs: whoever knows the guid may watch."""

from paasd.actions.context import Context
from paasd.auth import Caller
from paasd.errors import NotFound
from paasd.model import Job


def show(context: Context, caller: Caller, job_guid: str) -> Job:
    """Raises NotFound."""
    with context.database.read() as tx:
        job = tx.get(Job, job_guid)
    if job is None:
        raise NotFound("Job")
    return job
