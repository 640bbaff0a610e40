"""`/v3/builds` and `/v3/droplets`."""

from typing import Any

import msgspec

from paasd.actions import builds
from paasd.actions.permissions import Permission, allowed_in_space
from paasd.actions.visibility import need_visible
from paasd.api.call import Call, Form, Reply
from paasd.api.forms import Guid, MetadataForm, ToOne, metadata_of
from paasd.api.listing import Listing, View, column, list_reply, one_reply
from paasd.api.present.staging import present_builds, present_droplets
from paasd.api.query import QuerySpec
from paasd.api.table import Route, delete, get, patch, post
from paasd.api.v3.apps import Lifecycle
from paasd.api.v3.jobs import job_reply
from paasd.errors import BadQuery, Unprocessable
from paasd.model import App, Build, Droplet, Package, Space
from paasd.state import Condition, Eq, In, InSelect, ReadTx


def _by_space(_tx: ReadTx, values: tuple[str, ...]) -> Condition:
    return InSelect("app_guid", App, "guid", In("space_guid", values))


def _by_organization(_tx: ReadTx, values: tuple[str, ...]) -> Condition:
    return InSelect("app_guid", App, "guid", InSelect("space_guid", Space, "guid", In("organization_guid", values)))


BUILDS = Listing(
    record=Build,
    present=present_builds,
    filters={
        "states": column("state"),
        "app_guids": column("app_guid"),
        "package_guids": column("package_guid"),
    },
)
DROPLETS = Listing(
    record=Droplet,
    present=present_droplets,
    filters={
        "states": column("state"),
        "app_guids": column("app_guid"),
        "space_guids": _by_space,
        "organization_guids": _by_organization,
    },
)
APP_DROPLETS = msgspec.structs.replace(DROPLETS, plain=("current",))


class NewBuild(Form):
    """Body of `POST /v3/builds`."""

    package: Guid
    lifecycle: Lifecycle | None = None
    staging_memory_in_mb: int | None = None
    staging_disk_in_mb: int | None = None
    staging_log_rate_limit_bytes_per_second: int | None = None
    metadata: MetadataForm | None = None


class BuildChanges(Form):
    """Body of `PATCH`; the other fields that Cloud Foundry has here are for its own stagers."""

    metadata: MetadataForm | None = None


class DropletRelationships(Form):
    """Where a droplet belongs."""

    app: ToOne


class NewDroplet(Form):
    """Body of `POST /v3/droplets`."""

    relationships: DropletRelationships


async def list_builds(call: Call) -> Reply:
    """All that the caller may see."""
    return list_reply(call, BUILDS)


async def app_builds(call: Call) -> Reply:
    """Builds of one app."""
    with call.context.database.read() as tx:
        app = need_visible(tx, call.caller, App, call.path["guid"])
    return list_reply(call, BUILDS, Eq("app_guid", app.guid))


async def get_build(call: Call) -> Reply:
    """One."""
    with call.context.database.read() as tx:
        return one_reply(call, BUILDS, need_visible(tx, call.caller, Build, call.path["guid"]), tx)


async def create_build(call: Call) -> Reply:
    """201; staging goes on."""
    form = await call.json(NewBuild)
    lifecycle = form.lifecycle or Lifecycle()
    lifecycle.check()
    data = lifecycle.data
    row = await builds.create(
        call.context,
        call.caller,
        package_guid=form.package.guid,
        buildpacks=None if data.buildpacks is msgspec.UNSET else data.buildpacks,
        stack=None if data.stack is msgspec.UNSET else data.stack,
        staging_memory_mb=form.staging_memory_in_mb,
        staging_disk_mb=form.staging_disk_in_mb,
        metadata=metadata_of(form.metadata),
    )
    with call.context.database.read() as tx:
        return one_reply(call, BUILDS, row, tx, 201)


async def update_build(call: Call) -> Reply:
    """Labels."""
    form = await call.json(BuildChanges)
    row = await builds.update(call.context, call.caller, call.path["guid"], metadata_of(form.metadata))
    with call.context.database.read() as tx:
        return one_reply(call, BUILDS, row, tx)


async def copy_droplet(call: Call) -> Reply:
    """201: the layers of `source_guid` for another app."""
    form = await call.json(NewDroplet)
    source = call.query.plain.get("source_guid")
    if source is None:
        raise Unprocessable("Droplets are made by builds or copied with the query parameter 'source_guid'")
    row = await builds.copy_droplet(call.context, call.caller, source, app_guid=form.relationships.app.data.guid)
    with call.context.database.read() as tx:
        return Reply(status=201, body=_one_droplet(call, tx, row).body)


async def list_droplets(call: Call) -> Reply:
    """All that the caller may see."""
    return list_reply(call, DROPLETS)


async def app_droplets(call: Call) -> Reply:
    """Droplets of one app; `current=true` leaves the one that it runs."""
    with call.context.database.read() as tx:
        app = need_visible(tx, call.caller, App, call.path["guid"])
    current = call.query.plain.get("current")
    if current not in (None, "true", "false"):
        raise BadQuery("The query parameter is invalid: Current must be 'true' or 'false'")
    within = [Eq("guid", app.droplet_guid or "")] if current == "true" else []
    return list_reply(call, APP_DROPLETS, Eq("app_guid", app.guid), *within)


async def package_droplets(call: Call) -> Reply:
    """Droplets made from one package."""
    with call.context.database.read() as tx:
        package = need_visible(tx, call.caller, Package, call.path["guid"])
    return list_reply(call, DROPLETS, Eq("package_guid", package.guid))


async def get_droplet(call: Call) -> Reply:
    """One, with its start commands for those who may read them."""
    with call.context.database.read() as tx:
        return _one_droplet(call, tx, need_visible(tx, call.caller, Droplet, call.path["guid"]))


async def update_droplet(call: Call) -> Reply:
    """Labels."""
    form = await call.json(BuildChanges)
    row = await builds.update_droplet(call.context, call.caller, call.path["guid"], metadata_of(form.metadata))
    with call.context.database.read() as tx:
        return _one_droplet(call, tx, row)


async def delete_droplet(call: Call) -> Reply:
    """202 with a job; the current droplet of an app stays."""
    return job_reply(call, await builds.delete_droplet(call.context, call.caller, call.path["guid"]))


def _one_droplet(call: Call, tx: ReadTx, row: Droplet) -> Reply:
    view = View(tx, call.urls, call.caller, call)
    space = tx.need(Space, tx.need(App, row.app_guid).space_guid)
    may_read = allowed_in_space(tx, call.caller, space, Permission.READ_SECRETS)
    body: dict[str, Any] = present_droplets(view, [row], redact=not may_read)[0]
    return Reply(body=body)


WRITE = "space_developer"
ROUTES: tuple[Route, ...] = (
    get("/v3/builds", list_builds, BUILDS.query),
    post("/v3/builds", create_build, permission=WRITE),
    get("/v3/builds/<guid>", get_build),
    patch("/v3/builds/<guid>", update_build, permission="space_developer or space_supporter"),
    get("/v3/apps/<guid>/builds", app_builds, BUILDS.query),
    get("/v3/droplets", list_droplets, DROPLETS.query),
    post("/v3/droplets", copy_droplet, QuerySpec(plain=("source_guid",)), permission=WRITE),
    get("/v3/droplets/<guid>", get_droplet),
    patch("/v3/droplets/<guid>", update_droplet, permission=WRITE),
    delete("/v3/droplets/<guid>", delete_droplet, permission=WRITE),
    get("/v3/apps/<guid>/droplets", app_droplets, APP_DROPLETS.query),
    get("/v3/packages/<guid>/droplets", package_droplets, DROPLETS.query),
)
