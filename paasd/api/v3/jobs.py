"""`/v3/jobs`: what a client polls after a 202."""

from paasd.actions import jobs
from paasd.api.answers import Answer, ErrorObject, Links, Shown
from paasd.api.call import Call, Reply
from paasd.api.errors import UNKNOWN_ERROR, error_object
from paasd.api.table import Route, get
from paasd.api.words import JobState
from paasd.model import Job


class Warned(Answer):
    """Something that is not wrong and should be known."""

    detail: str


class JobShown(Shown):
    """Something that a client waits for."""

    operation: str
    state: JobState
    errors: list[ErrorObject]
    warnings: list[Warned]
    links: Links


def job_reply(call: Call, job: Job) -> Reply[None]:
    """202 with the job's absolute address, on the name that the client used."""
    return Reply(status=202, headers={"Location": call.urls.v3("jobs", job.guid)})


def present_job(call: Call, job: Job) -> JobShown:
    """A job; a failed one always says why, since clients take the first error unseen."""
    errors = [ErrorObject(code=one.code, title=one.title, detail=one.detail) for one in job.errors]
    if job.state == "FAILED" and not errors:
        errors = [error_object(UNKNOWN_ERROR, "The job failed without a reason")]
    links = {"self": call.urls.link("jobs", job.guid)}
    if job.resource_type is not None and job.resource_guid is not None:
        links[job.resource_type] = call.urls.link(f"{job.resource_type}s", job.resource_guid)
    return JobShown(
        guid=job.guid,
        created_at=job.created_at,
        updated_at=job.updated_at,
        operation=job.operation,
        state=job.state,
        errors=errors,
        warnings=[Warned(detail=text) for text in job.warnings],
        links=links,
    )


async def get_job(call: Call) -> Reply[JobShown]:
    """One, for who started it and who may see what it is about."""
    return Reply(body=present_job(call, jobs.get_job(call.context, call.caller, call.path["guid"])))


ROUTES: tuple[Route, ...] = (get("/v3/jobs/<guid>", get_job, permission="who started it, or may see its resource"),)
