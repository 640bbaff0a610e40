"""`/v3/stacks`: what comes with the platform, and what administrators say of it."""

from typing import Annotated, Final, Literal

from msgspec import Meta

from paasd.actions import stacks
from paasd.api.answers import Described, MetadataShown, Page
from paasd.api.answers.apps import AppShown
from paasd.api.call import Call, Form, Reply
from paasd.api.forms import MetadataForm, metadata_of
from paasd.api.listing import list_reply, plain_list, truth
from paasd.api.query import QuerySpec
from paasd.api.selector import suits
from paasd.api.table import Route, delete, get, patch, post
from paasd.api.v3.apps import APPS
from paasd.api.words import said
from paasd.errors import Unprocessable
from paasd.model.metadata import read_metadata
from paasd.model.stacks import STACKS, labelled_as
from paasd.state import Eq

State = Annotated[str, said("ACTIVE", "RESTRICTED", "DEPRECATED", "DISABLED")]
# No stack is a row, so all of them are as old as Cloud Foundry's v3 API itself would have it.
SINCE: Final = "2026-01-01T00:00:00Z"


class StackShown(Described):
    """A root file system that apps can run on."""

    name: str
    description: str
    build_rootfs_image: str
    run_rootfs_image: str
    default: bool
    state: Literal["ACTIVE"]
    state_reason: str | None


class NewStack(Form):
    """Body of `POST /v3/stacks`."""

    name: Annotated[str, Meta(min_length=1, max_length=250)]
    description: str | None = None
    state: State | None = None
    state_reason: str | None = None
    metadata: MetadataForm | None = None


class StackChanges(Form):
    """Body of `PATCH /v3/stacks/:guid`; `cf update-stack` sends the two of the state."""

    state: State | None = None
    state_reason: str | None = None
    metadata: MetadataForm | None = None


def _named(call: Call, rows: list[StackShown]) -> list[StackShown]:
    """Those that the filters leave, in the wanted order."""
    query = call.query
    found = [
        row
        for row in rows
        if (not query.has("names") or row.name in query.values("names"))
        and (not query.has("guids") or row.guid in query.values("guids"))
        and ("default" not in query.plain or row.default is truth("default", query.plain["default"]))
        and all(bound.holds(getattr(row, bound.column)) for bound in query.times)
        and (query.label_selector is None or suits(query.label_selector, row.metadata.labels))
    ]
    if call.query.order_by is not None:
        name, descending = call.query.order_by
        found.sort(key=lambda row: str(getattr(row, name)), reverse=descending)
    return found


def _stacks(call: Call) -> list[StackShown]:
    default = call.context.config.sandbox.stack
    with call.context.database.read() as tx:
        metadata = read_metadata(tx, map(labelled_as, STACKS))
    return [
        StackShown(
            guid=name,
            created_at=SINCE,
            updated_at=SINCE,
            metadata=MetadataShown(
                labels=metadata[labelled_as(name)].labels, annotations=metadata[labelled_as(name)].annotations
            ),
            links={"self": call.urls.link("stacks", name)},
            name=name,
            description=description,
            build_rootfs_image=name,
            run_rootfs_image=name,
            default=name == default,
            state="ACTIVE",
            state_reason=None,
        )
        for name, description in STACKS.items()
    ]


async def list_stacks(call: Call) -> Reply[Page[StackShown]]:
    """The root file systems that apps can run on."""
    return plain_list(call, _named(call, _stacks(call)))


async def get_stack(call: Call) -> Reply[StackShown]:
    """One; the guid of a stack is its name."""
    return Reply(body=_need(call))


async def update_stack(call: Call) -> Reply[StackShown]:
    """Label one. It stays ACTIVE."""
    form = await call.json(StackChanges)
    if form.state not in (None, "ACTIVE") or form.state_reason:
        raise Unprocessable("A stack of this platform is ACTIVE and stays so: no app would have another one to go to")
    await stacks.update(call.context, call.caller, call.path["guid"], metadata_of(form.metadata))
    return Reply(body=_need(call))


async def create_stack(call: Call) -> Reply[StackShown]:
    """422, with the stacks that there are."""
    form = await call.json(NewStack)
    stacks.create(call.caller, form.name)


async def delete_stack(call: Call) -> Reply[None]:
    """422: as long as an app uses it in Cloud Foundry's words, else in ours."""
    stacks.delete(call.context, call.caller, call.path["guid"])


def _need(call: Call) -> StackShown:
    name = stacks.need(call.path["guid"])
    return next(row for row in _stacks(call) if row.guid == name)


async def stack_apps(call: Call) -> Reply[Page[AppShown]]:
    """Apps that name it, of those that the caller may see."""
    return await list_reply(call, APPS, Eq("stack", _need(call).guid))


STACK_QUERY = QuerySpec(
    filters=("guids", "names"),
    plain=("default",),
    order_by=("created_at", "updated_at", "name"),
    pages=True,
    labels=True,
    times=True,
)
ROUTES: tuple[Route, ...] = (
    get("/v3/stacks", list_stacks, STACK_QUERY),
    post("/v3/stacks", create_stack, permission="admin"),
    get("/v3/stacks/<guid>", get_stack),
    patch("/v3/stacks/<guid>", update_stack, permission="admin"),
    delete("/v3/stacks/<guid>", delete_stack, permission="admin"),
    get("/v3/stacks/<guid>/apps", stack_apps, APPS.query),
)
