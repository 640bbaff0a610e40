"""`/v3/app_usage_events` and `/v3/service_usage_events`, for who bills: in the order in which things happened."""

from collections.abc import Sequence

from paasd.actions import usage_events
from paasd.actions.permissions import authorise_admin
from paasd.actions.visibility import need_visible
from paasd.api.answers import Answer, Links, Nothing, Page, Reference, Shown
from paasd.api.call import Call, Reply
from paasd.api.listing import Listing, View, list_reply, one_reply, plain_list
from paasd.api.query import QuerySpec
from paasd.api.table import Route, get, post
from paasd.api.whom import PLATFORM_READERS
from paasd.api.words import UsedBefore, UsedState
from paasd.errors import NotFound, Unprocessable
from paasd.model import AppUsageEvent
from paasd.state import Condition, Gt


class StateChange(Answer):
    """From what to what."""

    current: UsedState
    previous: UsedBefore | None


class SizeChange(Answer):
    """From how much to how much."""

    current: int
    previous: int | None


class Named(Answer):
    """Something by guid and name, or nothing."""

    guid: str | None
    name: str | None


class UsedProcess(Answer):
    """The process that was used; null for tasks."""

    guid: str | None
    type: str | None


class AppUsageEventShown(Shown):
    """What ran from then on, and what ran before."""

    state: StateChange
    app: Named
    process: UsedProcess
    space: Named
    organization: Reference
    buildpack: Named
    task: Named
    memory_in_mb_per_instance: SizeChange
    instance_count: SizeChange
    links: Links


def present_usage_events(view: View, rows: Sequence[AppUsageEvent]) -> list[AppUsageEventShown]:
    """What ran from then on, and what ran before."""
    return [
        AppUsageEventShown(
            guid=row.guid,
            created_at=row.created_at,
            updated_at=row.created_at,
            state=StateChange(current=row.state, previous=row.previous_state),
            app=Named(guid=row.app_guid, name=row.app_name),
            process=UsedProcess(guid=row.process_guid, type=row.process_type),
            space=Named(guid=row.space_guid, name=row.space_name),
            organization=Reference(guid=row.organization_guid),
            buildpack=Named(guid=row.buildpack_guid, name=row.buildpack_name),
            task=Named(guid=row.task_guid, name=row.task_name),
            memory_in_mb_per_instance=SizeChange(current=row.memory_mb, previous=row.previous_memory_mb),
            instance_count=SizeChange(current=row.instances, previous=row.previous_instances),
            links={"self": view.urls.link("app_usage_events", row.guid)},
        )
        for row in rows
    ]


def _after(view: View, values: tuple[str, ...]) -> Condition:
    if len(values) != 1:
        raise Unprocessable("After guid filter accepts only one guid")
    last = view.tx.get(AppUsageEvent, values[0])
    if last is None:
        raise Unprocessable("After guid filter must be a valid app usage event guid.")
    return Gt("sequence", last.sequence)


APP_USAGE_EVENTS = Listing(
    record=AppUsageEvent,
    present=present_usage_events,
    filters={"after_guid": _after},
    order_by={"created_at": "sequence"},
    default_order=("sequence",),
    labels=False,
)


async def list_app_usage_events(call: Call) -> Reply[Page[AppUsageEventShown]]:
    """All, oldest first; `after_guid` goes on where one has read to. Empty for who does not see the platform."""
    if call.query.has("after_guid") and not call.caller.sees_everything:
        return plain_list(call, [])  # which guids there are is nobody else's business either
    return await list_reply(call, APP_USAGE_EVENTS)


async def get_app_usage_event(call: Call) -> Reply[AppUsageEventShown]:
    """One."""
    with call.context.database.read() as tx:
        row = need_visible(tx, call.caller, AppUsageEvent, call.path["guid"])
        return one_reply(call, APP_USAGE_EVENTS, row, tx)


async def purge_app_usage_events(call: Call) -> Reply[Nothing]:
    """Begin anew with what runs now."""
    await usage_events.purge_and_reseed(call.context, call.caller)
    return Reply(body=Nothing())


async def list_service_usage_events(call: Call) -> Reply[Page[Nothing]]:
    """There are no services, so nothing was used."""
    return plain_list(call, [])


async def get_service_usage_event(call: Call) -> Reply[None]:
    """None of them."""
    raise NotFound("Service usage event")


async def purge_service_usage_events(call: Call) -> Reply[Nothing]:
    """Nothing to purge and nothing to begin with."""
    authorise_admin(call.caller)
    return Reply(body=Nothing())


APPS = "/v3/app_usage_events"
SERVICES = "/v3/service_usage_events"
PURGE = "actions/destructively_purge_all_and_reseed"
APP_QUERY = QuerySpec(filters=("guids", "after_guid"), order_by=("created_at",), pages=True, times=True)
SERVICE_QUERY = QuerySpec(
    filters=("guids", "after_guid", "service_instance_types", "service_offering_guids"),
    order_by=("created_at",),
    pages=True,
    times=True,
)
READERS = "signed in; events: admin, admin_read_only, global_auditor"
ROUTES: tuple[Route, ...] = (
    get(APPS, list_app_usage_events, APP_QUERY, permission=READERS),
    get(f"{APPS}/<guid>", get_app_usage_event, permission=PLATFORM_READERS),
    post(f"{APPS}/{PURGE}", purge_app_usage_events, permission="admin"),
    get(SERVICES, list_service_usage_events, SERVICE_QUERY, permission=READERS),
    get(f"{SERVICES}/<guid>", get_service_usage_event, permission="signed in"),
    post(f"{SERVICES}/{PURGE}", purge_service_usage_events, permission="admin"),
)
