"""Jobs: opened with a deadline, closed exactly once, never left open."""

from paasd.errors import Forbidden, NotFound, PaasdError, Unprocessable
from paasd.model.arguments import Actor, Arguments, seconds_after
from paasd.model.records import Job, JobError
from paasd.state import In, Lt, Tx, operation

JOB_DEADLINE_S = 900
SWEEP_LIMIT = 200
OPEN_STATES = ["PROCESSING", "POLLING"]


def open_job(
    tx: Tx,
    operation_name: str,
    *,
    resource_type: str | None = None,
    resource_guid: str | None = None,
    owner_node_guid: str | None = None,
    deadline_s: float = JOB_DEADLINE_S,
    state: str = "PROCESSING",
    warnings: list[str] | None = None,
    by: Actor | None = None,
) -> Job:
    """Insert a job, already COMPLETE when its work was done in this very transaction. Who started it may watch it."""
    job = Job(
        operation=operation_name,
        state=state,
        resource_type=resource_type,
        resource_guid=resource_guid,
        owner_node_guid=owner_node_guid,
        deadline_at=seconds_after(tx.now, deadline_s),
        warnings=warnings or [],
        user_guid=None if by is None else by.guid,
    )
    return tx.insert(job)


def close_jobs_of(tx: Tx, resource_guid: str, operation_name: str) -> None:
    """Complete every open job of this kind for a resource whose work is done."""
    for job in tx.all(Job, In("state", OPEN_STATES), resource_guid=resource_guid, operation=operation_name):
        tx.update(job, state="COMPLETE")


class OpenJob(Arguments):
    """Arguments of `start_job`; `deadline_s` counts from the transaction's time."""

    operation: str
    resource_type: str | None = None
    resource_guid: str | None = None
    owner_node_guid: str | None = None
    deadline_s: float = JOB_DEADLINE_S
    actor: Actor | None = None


@operation("job.open", version=1)
def start_job(tx: Tx, args: OpenJob) -> Job:
    """A job for work that goes on after this transaction."""
    return open_job(
        tx,
        args.operation,
        resource_type=args.resource_type,
        resource_guid=args.resource_guid,
        owner_node_guid=args.owner_node_guid,
        deadline_s=args.deadline_s,
        by=args.actor,
    )


@operation("job.open_finished", version=1)
def start_finished_job(tx: Tx, args: OpenJob) -> Job:
    """A job whose work was done before, for clients that poll one."""
    return open_job(
        tx,
        args.operation,
        resource_type=args.resource_type,
        resource_guid=args.resource_guid,
        owner_node_guid=args.owner_node_guid,
        state="COMPLETE",
        by=args.actor,
    )


class FinishJob(Arguments):
    """Arguments of `finish_job`; without errors the job is COMPLETE."""

    job_guid: str
    epoch: int = 0
    errors: list[JobError] = []
    warnings: list[str] = []


@operation("job.finish", version=1)
def finish_job(tx: Tx, args: FinishJob) -> bool:
    """Close an open job; False when it is gone, closed already or of another epoch."""
    job = tx.get(Job, args.job_guid)
    if job is None or job.state not in OPEN_STATES or job.epoch != args.epoch:
        return False
    state = "FAILED" if args.errors else "COMPLETE"
    tx.update(job, state=state, errors=args.errors, warnings=job.warnings + args.warnings)
    return True


class FailOverdueJobs(Arguments):
    """Arguments of `fail_overdue_jobs`; the transaction's time decides."""


@operation("job.fail_overdue", version=1)
def fail_overdue_jobs(tx: Tx, args: FailOverdueJobs) -> int:
    """Fail jobs past their deadline, a bounded number at a time; returns how many."""
    overdue = tx.all(Job, In("state", OPEN_STATES), Lt("deadline_at", tx.now), limit=SWEEP_LIMIT)
    for job in overdue:
        error = JobError(
            code=10001,
            title="CF-JobTimeout",
            detail=f"The job {job.operation} did not end before its deadline {job.deadline_at}; it may be tried again.",
        )
        tx.update(job, state="FAILED", errors=[error])
    return len(overdue)


def job_error(error: PaasdError) -> JobError:
    """The form in which a job shows an error."""
    match error:
        case NotFound():
            return JobError(code=10010, title="CF-ResourceNotFound", detail=error.detail)
        case Forbidden():
            return JobError(code=10003, title="CF-NotAuthorized", detail=error.detail)
        case Unprocessable():
            return JobError(code=10008, title="CF-UnprocessableEntity", detail=error.detail)
        case _:
            return JobError(code=10001, title="UnknownError", detail=error.detail)
