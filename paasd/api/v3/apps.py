"""`/v3/apps`: the app itself, starting and stopping it, its droplet."""

from typing import Annotated, Any

import msgspec

from paasd.actions import apps
from paasd.actions.visibility import need_visible
from paasd.api.answers import LinkedRelation, Page, Reference
from paasd.api.answers.apps import AppShown
from paasd.api.answers.staging import DropletShown
from paasd.api.call import Call, Form, Reply, Urls
from paasd.api.forms import AppName, MetadataForm, ToOne, metadata_of
from paasd.api.listing import Listing, View, column, found_reply, list_reply, need_row, part_reply, reply_of
from paasd.api.present.apps import present_apps
from paasd.api.present.including import include_organizations_of_spaces, include_spaces
from paasd.api.present.staging import present_droplets
from paasd.api.table import Route, delete, get, patch, post
from paasd.api.v3.jobs import job_reply
from paasd.api.whom import DEVELOPERS, OPERATORS
from paasd.api.words import said
from paasd.errors import NotFound, Unprocessable
from paasd.model import App, Droplet, Space
from paasd.model.apps import NO_DROPLET
from paasd.state import Condition, In, InSelect, IsNull, Or


def _by_organization(_view: View, values: tuple[str, ...]) -> Condition:
    return InSelect("space_guid", Space, "guid", In("organization_guid", values))


def _by_stack(_view: View, values: tuple[str, ...]) -> Condition:
    """An empty value asks for apps without a stack."""
    named = In("stack", [value for value in values if value])
    return Or(named, IsNull("stack")) if "" in values else named


APPS = Listing(
    record=App,
    present=present_apps,
    filters={
        "names": column("name"),
        "space_guids": column("space_guid"),
        "organization_guids": _by_organization,
        "stacks": _by_stack,
        "lifecycle_type": column("lifecycle_type"),
    },
    order_by={"name": "name", "state": "state"},
    includes={
        "space": include_spaces,
        "org": include_organizations_of_spaces,
        "space.organization": include_organizations_of_spaces,
    },
)


class LifecycleData(Form):
    """What a build of the app uses unless the build says otherwise."""

    buildpacks: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    stack: str | msgspec.UnsetType | None = msgspec.UNSET


class Lifecycle(Form):
    """Only buildpacks are built here."""

    type: Annotated[str, said("buildpack")] = "buildpack"
    data: LifecycleData = msgspec.field(default_factory=LifecycleData)

    def check(self) -> None:
        """Refuse what needs another builder."""
        if self.type != "buildpack":
            raise Unprocessable(f"Lifecycle type '{self.type}' is not supported; use 'buildpack'")


class AppRelationships(Form):
    """Where an app belongs."""

    space: ToOne
    current_droplet: ToOne | None = None


class NewApp(Form):
    """Body of `POST /v3/apps`."""

    name: AppName
    relationships: AppRelationships
    environment_variables: dict[str, Any] | None = None
    lifecycle: Lifecycle | None = None
    metadata: MetadataForm | None = None


class AppChanges(Form):
    """Body of `PATCH /v3/apps/:guid`; a lifecycle without buildpacks leaves them as they are."""

    name: AppName | None = None
    lifecycle: Lifecycle | None = None
    metadata: MetadataForm | None = None


async def list_apps(call: Call) -> Reply[Page[AppShown]]:
    """All that the caller may see."""
    return await list_reply(call, APPS)


async def get_app(call: Call) -> Reply[AppShown]:
    """One."""
    return found_reply(call, APPS)


async def create_app(call: Call) -> Reply[AppShown]:
    """201."""
    form = await call.json(NewApp)
    lifecycle = form.lifecycle or Lifecycle()
    lifecycle.check()
    if form.relationships.current_droplet is not None:
        raise Unprocessable(NO_DROPLET)  # a new app has none
    data = lifecycle.data
    row = await apps.create(
        call.context,
        call.caller,
        name=form.name,
        space_guid=form.relationships.space.data.guid,
        buildpacks=[] if data.buildpacks is msgspec.UNSET else data.buildpacks or [],
        stack=None if data.stack is msgspec.UNSET else data.stack,
        environment=texts(form.environment_variables or {}),
        metadata=metadata_of(form.metadata),
    )
    return reply_of(call, APPS, row, 201)


async def update_app(call: Call) -> Reply[AppShown]:
    """Rename, label, change what builds use."""
    form = await call.json(AppChanges)
    lifecycle = form.lifecycle or Lifecycle()
    lifecycle.check()
    row = await apps.update(
        call.context,
        call.caller,
        call.path["guid"],
        name=msgspec.UNSET if form.name is None else form.name,
        buildpacks=[] if lifecycle.data.buildpacks is None else lifecycle.data.buildpacks,
        stack=lifecycle.data.stack,
        metadata=metadata_of(form.metadata),
    )
    return reply_of(call, APPS, row)


async def delete_app(call: Call) -> Reply[None]:
    """202 with a job that ends its instances and takes away everything of it."""
    return job_reply(call, await apps.delete(call.context, call.caller, call.path["guid"]))


async def start(call: Call) -> Reply[AppShown]:
    """STARTED; the instances follow."""
    return reply_of(call, APPS, await apps.start(call.context, call.caller, call.path["guid"]))


async def stop(call: Call) -> Reply[AppShown]:
    """STOPPED; the instances end."""
    return reply_of(call, APPS, await apps.stop(call.context, call.caller, call.path["guid"]))


async def restart(call: Call) -> Reply[AppShown]:
    """New instances, with what was set meanwhile."""
    return reply_of(call, APPS, await apps.restart(call.context, call.caller, call.path["guid"]))


async def clear_cache(call: Call) -> Reply[None]:
    """202 with a job: what builds of the app kept is not used again."""
    return job_reply(call, await apps.clear_cache(call.context, call.caller, call.path["guid"]))


async def clear_caches(call: Call) -> Reply[None]:
    """202 with a job: likewise of every app."""
    return job_reply(call, await apps.clear_caches(call.context, call.caller))


async def set_current_droplet(call: Call) -> Reply[LinkedRelation]:
    """Name the droplet that the next start uses."""
    form = await call.json(ToOne)
    row = await apps.set_current_droplet(call.context, call.caller, call.path["guid"], form.data.guid)
    return Reply(body=_droplet_relation(call.urls, row))


async def get_current_droplet_relation(call: Call) -> Reply[LinkedRelation]:
    """The guid of the current droplet."""
    row = need_row(call, App)
    if row.droplet_guid is None:
        raise NotFound("Droplet")
    return Reply(body=_droplet_relation(call.urls, row))


async def current_droplet(call: Call) -> Reply[DropletShown]:
    """The current droplet itself, with its commands for whoever may read secrets."""
    with call.context.database.read() as tx:
        row = need_visible(tx, call.caller, App, call.path["guid"])
        droplet = None if row.droplet_guid is None else tx.get(Droplet, row.droplet_guid)
        if droplet is None:
            raise NotFound("Droplet")
        return part_reply(call, present_droplets, droplet, tx)


def texts(variables: dict[str, Any]) -> dict[str, str]:
    """Environment variables as text; numbers, truth values and JSON are written out as clients send them."""
    return {name: text_of(value) for name, value in variables.items() if value is not None}


def text_of(value: Any) -> str:
    """One value as text."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _droplet_relation(urls: Urls, row: App) -> LinkedRelation:
    return LinkedRelation(
        data=None if row.droplet_guid is None else Reference(guid=row.droplet_guid),
        links={
            "self": urls.link("apps", row.guid, "relationships", "current_droplet"),
            "related": urls.link("apps", row.guid, "droplets", "current"),
        },
    )


ONE = "/v3/apps/<guid>"
ROUTES: tuple[Route, ...] = (
    get("/v3/apps", list_apps, APPS.query),
    post("/v3/apps", create_app, permission=DEVELOPERS),
    get(ONE, get_app, APPS.single),
    patch(ONE, update_app, permission=DEVELOPERS),
    delete(ONE, delete_app, permission=DEVELOPERS),
    post(f"{ONE}/actions/start", start, permission=OPERATORS),
    post(f"{ONE}/actions/stop", stop, permission=OPERATORS),
    post(f"{ONE}/actions/restart", restart, permission=OPERATORS),
    post(f"{ONE}/actions/clear_buildpack_cache", clear_cache, permission=OPERATORS),
    post("/v3/admin/actions/clear_buildpack_cache", clear_caches, permission="admin"),
    get(f"{ONE}/relationships/current_droplet", get_current_droplet_relation),
    patch(f"{ONE}/relationships/current_droplet", set_current_droplet, permission=OPERATORS),
    get(f"{ONE}/droplets/current", current_droplet),
)
