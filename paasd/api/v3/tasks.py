"""`/v3/tasks`, and those of an app."""

from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from paasd.actions import tasks
from paasd.actions.visibility import may_read_secrets, need_app
from paasd.api.answers import Answer, Described, Links, OfApp, Page
from paasd.api.call import Call, Form, Reply
from paasd.api.forms import Guid, MetadataChanges, MetadataForm, check_user, metadata_of
from paasd.api.listing import Listing, View, column, common, found_reply, list_reply, reply_of, to_one
from paasd.api.numbers import Number, Positive, whole
from paasd.api.table import Route, get, patch, post, put
from paasd.api.v3.processes import by_organization, by_space
from paasd.api.whom import DEVELOPERS, OPERATORS
from paasd.api.words import TaskState
from paasd.errors import BadQuery
from paasd.model import Task
from paasd.state import Condition, Eq, In


class TaskResult(Answer):
    """Why it failed."""

    failure_reason: str | None


class TaskShown(Described, kw_only=True):
    """A task; `command` only where it was asked for by who may read secrets."""

    sequence_id: int
    name: str
    command: str | UnsetType = UNSET
    user: str
    state: TaskState
    memory_in_mb: int
    disk_in_mb: int
    log_rate_limit_in_bytes_per_second: int
    result: TaskResult
    droplet_guid: str
    relationships: OfApp


def present_tasks(view: View, rows: Sequence[Task], *, commands: bool = False) -> list[TaskShown]:
    """Tasks; what they run is shown only where it was asked for by who may read secrets."""

    def links(row: Task) -> Links:
        return {
            "self": view.urls.link("tasks", row.guid),
            "app": view.urls.link("apps", row.app_guid),
            "cancel": view.urls.link("tasks", row.guid, "actions", "cancel", method="POST"),
            "droplet": view.urls.link("droplets", row.droplet_guid),
        }

    return [
        TaskShown(
            **base,
            sequence_id=row.sequence_id,
            name=row.name,
            command=row.command if commands else UNSET,
            user="vcap",
            state=row.state,
            memory_in_mb=row.memory_mb,
            disk_in_mb=row.disk_mb,
            log_rate_limit_in_bytes_per_second=row.log_rate_limit_bytes,
            result=TaskResult(failure_reason=row.failure_reason),
            droplet_guid=row.droplet_guid,
            relationships=OfApp(app=to_one(row.app_guid)),
        )
        for base, row in zip(common(view, rows, links), rows, strict=True)
    ]


def present_own_tasks(view: View, rows: Sequence[Task]) -> list[TaskShown]:
    """The tasks of one app."""
    return present_tasks(view, rows, commands=bool(rows) and may_read_secrets(view.tx, view.caller, rows[0].app_guid))


def _sequences(_view: View, values: tuple[str, ...]) -> Condition:
    numbers = [whole(value) for value in values]
    if None in numbers:
        raise BadQuery("The query parameter is invalid: Sequence ids must be whole numbers")
    return In("sequence_id", numbers)


FILTERS = {"names": column("name"), "states": column("state")}
TASKS = Listing(
    record=Task,
    present=present_tasks,
    filters={
        **FILTERS,
        "app_guids": column("app_guid"),
        "space_guids": by_space,
        "organization_guids": by_organization,
    },
)
OWN_TASKS = Listing(record=Task, present=present_own_tasks, filters={**FILTERS, "sequence_ids": _sequences})


class TemplateProcess(Form):
    """Whose command and sizes the task takes."""

    process: Guid


class NewTask(Form):
    """Body of `POST /v3/apps/:guid/tasks`."""

    command: str | None = None
    name: str | None = None
    memory_in_mb: Positive | None = None
    disk_in_mb: Positive | None = None
    log_rate_limit_in_bytes_per_second: Number | None = None
    droplet_guid: str | None = None
    template: TemplateProcess | None = None
    user: str | None = None
    metadata: MetadataForm | None = None


async def list_tasks(call: Call) -> Reply[Page[TaskShown]]:
    """All that the caller may see."""
    return await list_reply(call, TASKS)


async def app_tasks(call: Call) -> Reply[Page[TaskShown]]:
    """Those of one app."""
    with call.context.database.read() as tx:
        app = need_app(tx, call.caller, call.path["guid"])
    return await list_reply(call, OWN_TASKS, Eq("app_guid", app.guid))


async def get_task(call: Call) -> Reply[TaskShown]:
    """One."""
    return found_reply(call, OWN_TASKS)


async def create_task(call: Call) -> Reply[TaskShown]:
    """202: it runs as soon as a node has room."""
    form = await call.json(NewTask)
    check_user(form.user)
    row = await tasks.create(
        call.context,
        call.caller,
        call.path["guid"],
        name=form.name,
        command=form.command,
        droplet_guid=form.droplet_guid,
        template_process_guid=None if form.template is None else form.template.process.guid,
        memory_mb=form.memory_in_mb,
        disk_mb=form.disk_in_mb,
        log_rate_limit_bytes=form.log_rate_limit_in_bytes_per_second,
        metadata=metadata_of(form.metadata),
    )
    return reply_of(call, OWN_TASKS, row, 202)


async def update_task(call: Call) -> Reply[TaskShown]:
    """Labels."""
    form = await call.json(MetadataChanges)
    row = await tasks.update(call.context, call.caller, call.path["guid"], metadata_of(form.metadata))
    return reply_of(call, OWN_TASKS, row)


async def cancel_task(call: Call) -> Reply[TaskShown]:
    """202: TERM, and KILL for what does not listen."""
    return reply_of(call, OWN_TASKS, await tasks.cancel(call.context, call.caller, call.path["guid"]), 202)


ONE = "/v3/tasks/<guid>"
OF_APP = "/v3/apps/<guid>/tasks"
ROUTES: tuple[Route, ...] = (
    get("/v3/tasks", list_tasks, TASKS.query),
    get(ONE, get_task),
    patch(ONE, update_task, permission=DEVELOPERS),
    post(f"{ONE}/actions/cancel", cancel_task, permission=OPERATORS),
    put(f"{ONE}/cancel", cancel_task, permission=OPERATORS),
    get(OF_APP, app_tasks, OWN_TASKS.query),
    post(OF_APP, create_task, permission=DEVELOPERS),
)
