"""`/v3/processes`, by guid and by app and type, and their instances."""

from collections.abc import Sequence
from typing import Annotated, Final, TypeVar
from urllib.parse import quote

import msgspec

from paasd.actions import processes
from paasd.actions.stats import stats_of
from paasd.actions.visibility import need_visible
from paasd.api.answers import Answer, Links, Page
from paasd.api.answers.apps import InstanceShown, ProcessShown, StatsShown
from paasd.api.beside import beside_if_long
from paasd.api.call import Call, Form, Reply, no_content
from paasd.api.forms import MetadataForm, check_user, metadata_of
from paasd.api.listing import Listing, View, column, list_reply, need_row, part_reply
from paasd.api.numbers import Number, whole
from paasd.api.present.apps import present_processes, present_sidecars
from paasd.api.present.stats import present_process_instances, present_stats
from paasd.api.table import Route, delete, get, patch, post
from paasd.api.whom import OPERATORS
from paasd.api.words import said
from paasd.errors import BadQuery, NotFound
from paasd.model import App, HealthCheck, Process, Sidecar, Space
from paasd.model.processes import HEALTH_CHECK_TYPES, find_process
from paasd.state import Condition, Eq, In, InSelect, ReadTx

V = TypeVar("V")


class InstancesShown(Answer):
    """Every instance of a process, in short."""

    resources: list[InstanceShown]
    links: Links


def _present(view: View, rows: Sequence[Process]) -> list[ProcessShown]:
    shown = present_processes(view, rows)
    embed = view.call.query.plain.get("embed")
    if embed is None:
        return shown
    if embed != "process_instances":
        raise BadQuery("The query parameter is invalid: Invalid embed value. Valid values are: 'process_instances'")
    total = sum(row.instances for row in rows)
    if total > EMBEDDED_LIMIT:
        raise BadQuery(
            f"The query parameter is invalid: Embed would show {total} instances, at most {EMBEDDED_LIMIT} go into a "
            "page; ask with a smaller per_page"
        )
    stats = stats_of(view.call.context, view.tx, rows)
    for one in shown:
        one.process_instances = present_process_instances(stats[one.guid])
    return shown


def by_space(_view: View, values: tuple[str, ...]) -> Condition:
    """Parts of apps in these spaces."""
    return InSelect("app_guid", App, "guid", In("space_guid", values))


def by_organization(_view: View, values: tuple[str, ...]) -> Condition:
    """Parts of apps in these organizations."""
    return InSelect("app_guid", App, "guid", InSelect("space_guid", Space, "guid", In("organization_guid", values)))


EMBEDDED_LIMIT: Final = 50_000
"""Instances of one page: a second of work at the very most, and 2 MB."""
PROCESSES = Listing(
    record=Process,
    present=_present,
    filters={
        "types": column("type"),
        "app_guids": column("app_guid"),
        "space_guids": by_space,
        "organization_guids": by_organization,
    },
    plain=("embed",),
    widening=frozenset({"embed"}),
)
SIDECARS = Listing(record=Sidecar, present=present_sidecars, labels=False)


class HealthData(Form):
    """Times in seconds; null goes back to the default, what is absent stays."""

    timeout: Number | msgspec.UnsetType | None = msgspec.UNSET
    invocation_timeout: Number | msgspec.UnsetType | None = msgspec.UNSET
    interval: Number | msgspec.UnsetType | None = msgspec.UNSET
    endpoint: str | msgspec.UnsetType | None = msgspec.UNSET


class HealthForm(Form):
    """A health or readiness check."""

    type: Annotated[str, said(*HEALTH_CHECK_TYPES)] | None = None
    data: HealthData = msgspec.field(default_factory=HealthData)

    def merged(self, old: HealthCheck) -> HealthCheck:
        """The check after this change; another type starts afresh but keeps the times."""
        kind = self.type or old.type
        given = self.data
        return HealthCheck(
            type=kind,
            timeout_s=_after(given.timeout, old.timeout_s),
            invocation_timeout_s=_after(given.invocation_timeout, old.invocation_timeout_s),
            interval_s=_after(given.interval, old.interval_s),
            endpoint=_after(given.endpoint, old.endpoint) if kind == "http" else None,
        )


def _after(given: V | msgspec.UnsetType, former: V) -> V:
    return former if isinstance(given, msgspec.UnsetType) else given


class ProcessChanges(Form):
    """Body of `PATCH /v3/processes/:guid`."""

    command: str | msgspec.UnsetType | None = msgspec.UNSET
    health_check: HealthForm | None = None
    readiness_health_check: HealthForm | None = None
    metadata: MetadataForm | None = None
    user: str | None = None


class Scale(Form):
    """Body of the scale action."""

    instances: Number | None = None
    memory_in_mb: Number | None = None
    disk_in_mb: Number | None = None
    log_rate_limit_in_bytes_per_second: Number | None = None


async def list_processes(call: Call) -> Reply[Page[ProcessShown]]:
    """All that the caller may see."""
    return await list_reply(call, PROCESSES)


async def app_processes(call: Call) -> Reply[Page[ProcessShown]]:
    """Processes of one app."""
    app = need_row(call, App)
    return await list_reply(call, PROCESSES, Eq("app_guid", app.guid))


async def get_process(call: Call) -> Reply[ProcessShown]:
    """One, with its command for those who may read it."""
    with call.context.database.read() as tx:
        return part_reply(call, present_processes, _need(call, tx), tx)


async def update_process(call: Call) -> Reply[ProcessShown]:
    """Command and health checks; they count from the next start."""
    form = await call.json(ProcessChanges)
    check_user(form.user)
    with call.context.database.read() as tx:
        row = _need(call, tx)
    health, readiness = form.health_check, form.readiness_health_check
    row = await processes.update(
        call.context,
        call.caller,
        row.guid,
        command=form.command,
        health_check=msgspec.UNSET if health is None else health.merged(row.health_check),
        readiness_health_check=msgspec.UNSET if readiness is None else readiness.merged(row.readiness_health_check),
        metadata=metadata_of(form.metadata),
    )
    with call.context.database.read() as tx:
        return part_reply(call, present_processes, row, tx)


async def scale_process(call: Call) -> Reply[ProcessShown]:
    """202 with the process; instances change at once, sizes with the next restart."""
    form = await call.json(Scale)
    with call.context.database.read() as tx:
        row = _need(call, tx)
    row = await processes.scale(
        call.context,
        call.caller,
        row.guid,
        instances=form.instances,
        memory_mb=form.memory_in_mb,
        disk_mb=form.disk_in_mb,
        log_rate_limit_bytes=form.log_rate_limit_in_bytes_per_second,
    )
    with call.context.database.read() as tx:
        scaled = part_reply(call, present_processes, row, tx, 202)
        return msgspec.structs.replace(scaled, headers=scale_warnings(tx, row))


def scale_warnings(tx: ReadTx, row: Process) -> dict[str, str]:
    """The header by which Cloud Foundry's clients show a warning, where instances of this size find no place."""
    text = processes.finds_no_place(tx, row)
    return {} if text is None else {"X-Cf-Warnings": quote(text)}


async def stats(call: Call) -> Reply[StatsShown]:
    """The state and use of every instance."""
    with call.context.database.read() as tx:
        row = _need(call, tx)
    await call.context.observed.freshen(row.app_guid)

    def make() -> Reply[StatsShown]:
        with call.context.database.read() as tx:
            row = _need(call, tx)
            return Reply(body=StatsShown(resources=present_stats(stats_of(call.context, tx, [row])[row.guid])))

    return await beside_if_long(call, row.instances, make)


async def process_instances(call: Call) -> Reply[InstancesShown]:
    """The state of every instance."""
    with call.context.database.read() as tx:
        row = _need(call, tx)
    links = {
        "self": call.urls.link("processes", row.guid, "process_instances"),
        "process": call.urls.link("processes", row.guid),
    }

    def make() -> Reply[InstancesShown]:
        with call.context.database.read() as tx:
            found = present_process_instances(stats_of(call.context, tx, [row])[row.guid])
        return Reply(body=InstancesShown(resources=found, links=links))

    return await beside_if_long(call, row.instances, make)


async def delete_instance(call: Call) -> Reply[None]:
    """204: end one instance; another takes its place."""
    with call.context.database.read() as tx:
        row = _need(call, tx)
    index = whole(call.path["index"], most=row.instances - 1)
    if index is None:
        raise NotFound("Instance")
    await processes.restart_instance(call.context, call.caller, row.guid, index)
    return no_content()


def _need(call: Call, tx: ReadTx) -> Process:
    if "type" not in call.path:
        return need_visible(tx, call.caller, Process, call.path["guid"])
    app = need_visible(tx, call.caller, App, call.path["guid"])
    return find_process(tx, app.guid, call.path["type"])


BY_GUID = "/v3/processes/<guid>"
BY_TYPE = "/v3/apps/<guid>/processes/<type>"
ROUTES: tuple[Route, ...] = (
    get("/v3/processes", list_processes, PROCESSES.query),
    get("/v3/apps/<guid>/processes", app_processes, PROCESSES.query),
    *(
        route
        for one in (BY_GUID, BY_TYPE)
        for route in (
            get(one, get_process),
            patch(one, update_process, permission=OPERATORS),
            post(f"{one}/actions/scale", scale_process, permission=OPERATORS),
            get(f"{one}/stats", stats),
            get(f"{one}/process_instances", process_instances),
            delete(f"{one}/instances/<index>", delete_instance, permission=OPERATORS),
        )
    ),
)
