"""`/v3/buildpacks`."""

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from paasd.actions import buildpacks
from paasd.api.answers import Described, Links, Page
from paasd.api.call import Call, Form, Reply
from paasd.api.forms import MetadataForm, metadata_of
from paasd.api.listing import Listing, View, column, common, found_reply, list_reply, one_reply, reply_of
from paasd.api.multipart import Multipart
from paasd.api.numbers import Number
from paasd.api.table import Route, Size, delete, get, patch, post
from paasd.api.v3.jobs import job_reply
from paasd.api.words import LifecycleType, said
from paasd.model import Buildpack
from paasd.state import And, Condition, In


class BuildpackShown(Described):
    """A buildpack; one without bits awaits them."""

    name: str
    state: Literal["READY", "AWAITING_UPLOAD"]
    filename: str | None
    stack: str | None
    position: int
    lifecycle: LifecycleType
    enabled: bool
    locked: bool


def present_buildpacks(view: View, rows: Sequence[Buildpack]) -> list[BuildpackShown]:
    """Buildpacks; one without bits awaits them."""

    def links(row: Buildpack) -> Links:
        return {
            "self": view.urls.link("buildpacks", row.guid),
            "upload": view.urls.link("buildpacks", row.guid, "upload", method="POST"),
        }

    return [
        BuildpackShown(
            **base,
            name=row.name,
            state="READY" if row.ready else "AWAITING_UPLOAD",
            filename=row.filename,
            stack=row.stack or None,
            position=row.position,
            lifecycle="buildpack",
            enabled=row.enabled,
            locked=row.locked,
        )
        for base, row in zip(common(view, rows, links), rows, strict=True)
    ]


def _by_lifecycle(_view: View, values: tuple[str, ...]) -> Condition:
    return And() if "buildpack" in values else In("guid", ())


BUILDPACKS = Listing(
    record=Buildpack,
    present=present_buildpacks,
    filters={"names": column("name"), "stacks": column("stack"), "lifecycle": _by_lifecycle},
    order_by={"position": "position", "name": "name"},
    default_order=("position",),
)


class BuildpackChanges(Form):
    """Body of `PATCH /v3/buildpacks/:guid`."""

    name: str | UnsetType = UNSET
    stack: str | UnsetType | None = UNSET
    position: Number | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    locked: bool | UnsetType = UNSET
    metadata: MetadataForm | None = None


class NewBuildpack(Form):
    """Body of `POST /v3/buildpacks`."""

    name: str
    stack: str | None = None
    position: Number = 1
    enabled: bool = True
    locked: bool = False
    lifecycle: Annotated[str, said("buildpack")] | None = None
    metadata: MetadataForm | None = None


async def list_buildpacks(call: Call) -> Reply[Page[BuildpackShown]]:
    """All, in the order in which they are asked."""
    return await list_reply(call, BUILDPACKS)


async def get_buildpack(call: Call) -> Reply[BuildpackShown]:
    """One."""
    return found_reply(call, BUILDPACKS)


async def create_buildpack(call: Call) -> Reply[BuildpackShown]:
    """201; its bits are uploaded next."""
    form = await call.json(NewBuildpack)
    row = await buildpacks.create(
        call.context,
        call.caller,
        name=form.name,
        stack=form.stack or "",
        position=form.position,
        enabled=form.enabled,
        locked=form.locked,
        metadata=metadata_of(form.metadata),
    )
    return reply_of(call, BUILDPACKS, row, 201)


async def update_buildpack(call: Call) -> Reply[BuildpackShown]:
    """Its place, whether it is asked, whether its bits may be replaced."""
    form = await call.json(BuildpackChanges)
    values = {name: getattr(form, name) for name in ("name", "position", "enabled", "locked")}
    stack = form.stack if isinstance(form.stack, UnsetType) else form.stack or ""
    metadata = metadata_of(form.metadata)
    row = await buildpacks.update(
        call.context, call.caller, call.path["guid"], stack=stack, metadata=metadata, **values
    )
    return reply_of(call, BUILDPACKS, row)


async def upload_buildpack(call: Call) -> Reply[BuildpackShown]:
    """202: the bits are there and used when this answers; clients poll the job all the same."""
    form = Multipart(call, file_field="bits", field_limit_bytes=call.platform.config.api.body_limit_bytes)
    bits: AsyncGenerator[bytes, None] = form.file()
    job = await buildpacks.upload(call.context, call.caller, call.path["guid"], bits, "buildpack.zip")
    with call.context.database.read() as tx:
        reply = one_reply(call, BUILDPACKS, tx.need(Buildpack, call.path["guid"]), tx, 202)
    return msgspec.structs.replace(reply, headers=job_reply(call, job).headers)


async def delete_buildpack(call: Call) -> Reply[None]:
    """202 with a job."""
    return job_reply(call, await buildpacks.delete(call.context, call.caller, call.path["guid"]))


ONE = "/v3/buildpacks/<guid>"
ROUTES: tuple[Route, ...] = (
    get("/v3/buildpacks", list_buildpacks, BUILDPACKS.query),
    post("/v3/buildpacks", create_buildpack, permission="admin"),
    get(ONE, get_buildpack),
    patch(ONE, update_buildpack, permission="admin"),
    delete(ONE, delete_buildpack, permission="admin"),
    post(f"{ONE}/upload", upload_buildpack, size=Size.UPLOAD, permission="admin"),
)
