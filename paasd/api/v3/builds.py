"""`/v3/builds`."""

import msgspec

from paasd.actions import builds
from paasd.api.answers import Page
from paasd.api.answers.staging import BuildShown
from paasd.api.call import Call, Form, Reply
from paasd.api.forms import Guid, MetadataChanges, MetadataForm, metadata_of
from paasd.api.listing import Listing, column, found_reply, list_reply, need_row, reply_of
from paasd.api.numbers import Number
from paasd.api.present.staging import present_builds
from paasd.api.table import Route, get, patch, post
from paasd.api.v3.apps import Lifecycle
from paasd.api.whom import DEVELOPERS, OPERATORS
from paasd.model import App, Build
from paasd.state import Eq

BUILDS = Listing(
    record=Build,
    present=present_builds,
    filters={
        "states": column("state"),
        "app_guids": column("app_guid"),
        "package_guids": column("package_guid"),
    },
)


class NewBuild(Form):
    """Body of `POST /v3/builds`."""

    package: Guid
    lifecycle: Lifecycle | None = None
    staging_memory_in_mb: Number | None = None
    staging_disk_in_mb: Number | None = None
    staging_log_rate_limit_bytes_per_second: Number | None = None
    metadata: MetadataForm | None = None


async def list_builds(call: Call) -> Reply[Page[BuildShown]]:
    """All that the caller may see."""
    return await list_reply(call, BUILDS)


async def app_builds(call: Call) -> Reply[Page[BuildShown]]:
    """Builds of one app."""
    app = need_row(call, App)
    return await list_reply(call, BUILDS, Eq("app_guid", app.guid))


async def get_build(call: Call) -> Reply[BuildShown]:
    """One."""
    return found_reply(call, BUILDS)


async def create_build(call: Call) -> Reply[BuildShown]:
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
    return reply_of(call, BUILDS, row, 201)


async def update_build(call: Call) -> Reply[BuildShown]:
    """Labels."""
    form = await call.json(MetadataChanges)
    row = await builds.update(call.context, call.caller, call.path["guid"], metadata_of(form.metadata))
    return reply_of(call, BUILDS, row)


ROUTES: tuple[Route, ...] = (
    get("/v3/builds", list_builds, BUILDS.query),
    post("/v3/builds", create_build, permission=OPERATORS),
    get("/v3/builds/<guid>", get_build),
    patch("/v3/builds/<guid>", update_build, permission=DEVELOPERS),
    get("/v3/apps/<guid>/builds", app_builds, BUILDS.query),
)
