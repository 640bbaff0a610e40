"""What a lost node was working on and what no scheduler places: somebody else goes on with it, or it fails in words."""

from paasd.model.arguments import Arguments
from paasd.model.jobs import OPEN_STATES
from paasd.model.nodes import LIVE_STATES
from paasd.model.ownership import owner_of
from paasd.model.records import DropletUpload, Job, JobError, Node
from paasd.state import In, Not, ReadTx, Tx, operation

SWEEP_LIMIT = 100


class TakeOverWork(Arguments):
    """Arguments of `take_over_work`: rows say who is lost."""


@operation("work.take_over", version=1)
def take_over_work(tx: Tx, args: TakeOverWork) -> int:
    """Give uploaded droplets of lost nodes to ready ones, which fetch the bits; fail the other jobs of lost nodes.

    A bounded number at a time; returns how many.
    """
    live = _live(tx)
    ready = [node.guid for node in tx.all(Node, state="READY")]
    uploads = tx.all(DropletUpload, Not(In("node_guid", live)), limit=SWEEP_LIMIT) if ready else []
    for upload in uploads:
        heir = owner_of(upload.droplet_guid, ready)
        tx.update(upload, node_guid=heir)
        job = tx.get(Job, upload.job_guid)
        if job is not None:
            tx.update(job, owner_node_guid=heir)
    going_on = {upload.job_guid for upload in tx.all(DropletUpload)}
    jobs = [job for job in _jobs_of_others(tx, live) if job.guid not in going_on]
    for job in jobs:
        error = JobError(
            code=10001,
            title="CF-JobLost",
            detail=f"The node that worked on {job.operation} was lost; try it again.",
        )
        tx.update(job, state="FAILED", errors=[error])
    return len(uploads) + len(jobs)


def work_to_take_over(tx: ReadTx) -> bool:
    """Whether lost nodes were working on something."""
    live = _live(tx)
    return tx.exists(DropletUpload, Not(In("node_guid", live))) or bool(_jobs_of_others(tx, live))


def _live(tx: ReadTx) -> list[str]:
    return [node.guid for node in tx.all(Node, In("state", LIVE_STATES))]


def _jobs_of_others(tx: ReadTx, live: list[str]) -> list[Job]:
    """Open jobs that a node works on which is not among `live`."""
    open_jobs = tx.all(Job, In("state", OPEN_STATES), limit=10 * SWEEP_LIMIT)
    return [job for job in open_jobs if job.owner_node_guid is not None and job.owner_node_guid not in live]
