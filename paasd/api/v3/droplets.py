"""`/v3/droplets`, their upload and download."""

from contextlib import aclosing
from typing import Literal

import msgspec

from paasd.actions import droplets
from paasd.actions.permissions import Permission
from paasd.actions.visibility import need_of_app, need_visible
from paasd.api.answers import Page
from paasd.api.answers.staging import DropletShown
from paasd.api.call import Call, Form, Reply
from paasd.api.forms import MetadataChanges, MetadataForm, ToOne, metadata_of
from paasd.api.listing import Listing, column, list_reply, need_row, part_reply
from paasd.api.multipart import Multipart
from paasd.api.present.staging import present_droplets
from paasd.api.query import QuerySpec
from paasd.api.table import Route, Size, delete, get, patch, post
from paasd.api.v3.jobs import job_reply
from paasd.api.v3.processes import by_organization, by_space
from paasd.api.whom import DEVELOPERS, SECRET_READERS
from paasd.errors import BadQuery
from paasd.model import App, Droplet, Package
from paasd.state import Eq

FIELD_LIMIT_BYTES = 64 * 1024

DROPLETS = Listing(
    record=Droplet,
    present=present_droplets,
    filters={
        "states": column("state"),
        "app_guids": column("app_guid"),
        "space_guids": by_space,
        "organization_guids": by_organization,
    },
)
APP_DROPLETS = msgspec.structs.replace(DROPLETS, plain=("current",))


class DropletRelationships(Form):
    """Where a droplet belongs."""

    app: ToOne


class NewDroplet(Form):
    """Body of `POST /v3/droplets`."""

    relationships: DropletRelationships
    process_types: dict[str, str] | None = None
    metadata: MetadataForm | None = None


async def create_droplet(call: Call) -> Reply[DropletShown]:
    """201: one that awaits its bits, or with `source_guid` the layers of another one."""
    form = await call.json(NewDroplet)
    app_guid, source = form.relationships.app.data.guid, call.query.plain.get("source_guid")
    if source is not None:
        row = await droplets.copy(call.context, call.caller, source, app_guid=app_guid)
    else:
        row = await droplets.create(
            call.context,
            call.caller,
            app_guid=app_guid,
            process_types=form.process_types,
            metadata=metadata_of(form.metadata),
        )
    with call.context.database.read() as tx:
        return part_reply(call, present_droplets, row, tx, 201)


async def upload_droplet(call: Call) -> Reply[DropletShown]:
    """202 with a job: the bits are a blob, and are unpacked from now on."""
    with call.context.database.read() as tx:
        need_of_app(tx, call.caller, Droplet, call.path["guid"], Permission.WRITE_SPACE)
    parts = Multipart(call, file_field="bits", field_limit_bytes=FIELD_LIMIT_BYTES)
    async with aclosing(parts.file()) as bits:
        job = await droplets.upload(call.context, call.caller, call.path["guid"], bits)
    with call.context.database.read() as tx:
        row = need_visible(tx, call.caller, Droplet, call.path["guid"])
        reply = part_reply(call, present_droplets, row, tx, 202)
    return msgspec.structs.replace(reply, headers=job_reply(call, job).headers)


async def download_droplet(call: Call) -> Reply[Literal["application/gzip"]]:
    """The droplet as a tgz, made while it is sent."""
    row = await droplets.download(call.context, call.caller, call.path["guid"])
    return Reply(
        stream=await call.platform.downloads(row),
        content_type="application/gzip",
        headers={"Content-Disposition": f'attachment; filename="droplet_{row.guid}.tgz"'},
    )


async def list_droplets(call: Call) -> Reply[Page[DropletShown]]:
    """All that the caller may see."""
    return await list_reply(call, DROPLETS)


async def app_droplets(call: Call) -> Reply[Page[DropletShown]]:
    """Droplets of one app; `current=true` leaves the one that it runs."""
    app = need_row(call, App)
    current = call.query.plain.get("current")
    if current not in (None, "true", "false"):
        raise BadQuery("The query parameter is invalid: Current must be 'true' or 'false'")
    within = [Eq("guid", app.droplet_guid or "")] if current == "true" else []
    return await list_reply(call, APP_DROPLETS, Eq("app_guid", app.guid), *within)


async def package_droplets(call: Call) -> Reply[Page[DropletShown]]:
    """Droplets made from one package."""
    package = need_row(call, Package)
    return await list_reply(call, DROPLETS, Eq("package_guid", package.guid))


async def get_droplet(call: Call) -> Reply[DropletShown]:
    """One, with its start commands for those who may read them."""
    with call.context.database.read() as tx:
        row = need_visible(tx, call.caller, Droplet, call.path["guid"])
        return part_reply(call, present_droplets, row, tx)


async def update_droplet(call: Call) -> Reply[DropletShown]:
    """Labels."""
    form = await call.json(MetadataChanges)
    row = await droplets.update(call.context, call.caller, call.path["guid"], metadata_of(form.metadata))
    with call.context.database.read() as tx:
        return part_reply(call, present_droplets, row, tx)


async def delete_droplet(call: Call) -> Reply[None]:
    """202 with a job; the current droplet of an app stays."""
    return job_reply(call, await droplets.delete(call.context, call.caller, call.path["guid"]))


ONE = "/v3/droplets/<guid>"
ROUTES: tuple[Route, ...] = (
    get("/v3/droplets", list_droplets, DROPLETS.query),
    post("/v3/droplets", create_droplet, QuerySpec(plain=("source_guid",)), permission=DEVELOPERS),
    get(ONE, get_droplet),
    patch(ONE, update_droplet, permission=DEVELOPERS),
    delete(ONE, delete_droplet, permission=DEVELOPERS),
    post(f"{ONE}/upload", upload_droplet, size=Size.UPLOAD, permission=DEVELOPERS),
    get(f"{ONE}/download", download_droplet, permission=SECRET_READERS),
    get("/v3/apps/<guid>/droplets", app_droplets, APP_DROPLETS.query),
    get("/v3/packages/<guid>/droplets", package_droplets, DROPLETS.query),
)
