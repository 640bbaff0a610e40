"""`/v3/packages`, their upload, and resource matching."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from io import BufferedReader
from typing import Annotated, Any, Literal

import msgspec
import trio

from paasd.actions import packages
from paasd.actions.permissions import Permission
from paasd.actions.visibility import need_of_app
from paasd.api.answers import Answer, Nothing, Page
from paasd.api.answers.staging import PackageShown
from paasd.api.call import Call, Form, Reply
from paasd.api.forms import MetadataChanges, MetadataForm, ToOne, metadata_of
from paasd.api.listing import Listing, column, found_reply, list_reply, need_row, reply_of
from paasd.api.multipart import Multipart
from paasd.api.present.staging import present_packages
from paasd.api.query import QuerySpec
from paasd.api.table import Route, Size, delete, get, patch, post
from paasd.api.v3.jobs import job_reply
from paasd.api.v3.processes import by_organization, by_space
from paasd.api.whom import DEVELOPERS, SECRET_READERS
from paasd.api.words import said
from paasd.errors import Unprocessable
from paasd.model import App, Package
from paasd.packing import UNREADABLE
from paasd.state import Eq

RESOURCES_LIMIT_BYTES = 8 * 1024 * 1024
DOWNLOAD_CHUNK_BYTES = 256 * 1024

PACKAGES = Listing(
    record=Package,
    present=present_packages,
    filters={
        "states": column("state"),
        "types": column("type"),
        "app_guids": column("app_guid"),
        "space_guids": by_space,
        "organization_guids": by_organization,
    },
)


class PackageRelationships(Form):
    """Where a package belongs."""

    app: ToOne


class NewPackage(Form):
    """Body of `POST /v3/packages`."""

    relationships: PackageRelationships
    type: Annotated[str, said("bits")] = "bits"
    data: dict[str, Any] = {}
    metadata: MetadataForm | None = None


class Matches(Answer):
    """Files that need not be sent: none."""

    resources: list[Nothing]


async def list_packages(call: Call) -> Reply[Page[PackageShown]]:
    """All that the caller may see."""
    return await list_reply(call, PACKAGES)


async def app_packages(call: Call) -> Reply[Page[PackageShown]]:
    """Packages of one app."""
    app = need_row(call, App)
    return await list_reply(call, PACKAGES, Eq("app_guid", app.guid))


async def get_package(call: Call) -> Reply[PackageShown]:
    """One."""
    return found_reply(call, PACKAGES)


async def create_package(call: Call) -> Reply[PackageShown]:
    """201; with `source_guid` a copy of another package's bits."""
    form = await call.json(NewPackage)
    app_guid, metadata = form.relationships.app.data.guid, metadata_of(form.metadata)
    if form.type != "bits":
        raise Unprocessable(f"Package type '{form.type}' is not supported; use 'bits'")
    source = call.query.plain.get("source_guid")
    if source is not None:
        row = await packages.copy(call.context, call.caller, source, app_guid=app_guid)
    else:
        row = await packages.create(call.context, call.caller, app_guid=app_guid, type=form.type, metadata=metadata)
    return reply_of(call, PACKAGES, row, 201)


async def update_package(call: Call) -> Reply[PackageShown]:
    """Labels."""
    form = await call.json(MetadataChanges)
    row = await packages.update(call.context, call.caller, call.path["guid"], metadata_of(form.metadata))
    return reply_of(call, PACKAGES, row)


async def delete_package(call: Call) -> Reply[None]:
    """202 with a job."""
    return job_reply(call, await packages.delete(call.context, call.caller, call.path["guid"]))


async def upload_package(call: Call) -> Reply[PackageShown]:
    """200 once the bits are a blob. They go to disk as they come; a broken upload leaves nothing."""
    with call.context.database.read() as tx:
        need_of_app(tx, call.caller, Package, call.path["guid"], Permission.WRITE_SPACE)
    parts = Multipart(call, file_field="bits", field_limit_bytes=RESOURCES_LIMIT_BYTES)
    async with aclosing(parts.file()) as bits:
        row = await packages.upload(
            call.context, call.caller, call.path["guid"], bits, size_bytes=call.request.content_length
        )
    return reply_of(call, PACKAGES, row)


async def download_package(call: Call) -> Reply[Literal["application/octet-stream"]]:
    """The bits as they were uploaded."""
    sha256 = await packages.download(call.context, call.caller, call.path["guid"])
    return await blob_reply(call, sha256, "application/octet-stream")


async def blob_reply(call: Call, sha256: str, content_type: str) -> Reply[Literal["application/octet-stream"]]:
    """A blob as a stream with its length."""
    path = await call.context.blobs.ensure(sha256, whole=True)
    size = path.stat().st_size

    @asynccontextmanager
    async def pieces() -> AsyncIterator[AsyncIterable[bytes]]:
        async with await trio.open_file(path, "rb") as file:
            yield read_pieces(file)

    return Reply(stream=pieces(), content_type=content_type, headers={"Content-Length": str(size)})


async def read_pieces(file: trio._file_io.AsyncIOWrapper[BufferedReader]) -> AsyncIterator[bytes]:
    """A file, piece by piece."""
    while piece := await file.read(DOWNLOAD_CHUNK_BYTES):
        yield piece


async def resource_matches(call: Call) -> Reply[Matches]:
    """None is ever known: clients then send everything, which the dependency layers make cheap."""
    raw = await call.body.read()
    try:
        value = msgspec.json.decode(raw or b"{}")
    except UNREADABLE as error:
        raise Unprocessable("The body is not JSON") from error
    if not isinstance(value, dict) or not isinstance(value.get("resources"), list):
        raise Unprocessable("Resources must be an array")
    return Reply(status=201, body=Matches(resources=[]))


ONE = "/v3/packages/<guid>"
ROUTES: tuple[Route, ...] = (
    get("/v3/packages", list_packages, PACKAGES.query),
    post("/v3/packages", create_package, QuerySpec(plain=("source_guid",)), permission=DEVELOPERS),
    get(ONE, get_package),
    patch(ONE, update_package, permission=DEVELOPERS),
    delete(ONE, delete_package, permission=DEVELOPERS),
    post(f"{ONE}/upload", upload_package, size=Size.UPLOAD, permission=DEVELOPERS),
    get(f"{ONE}/download", download_package, permission=SECRET_READERS),
    get("/v3/apps/<guid>/packages", app_packages, PACKAGES.query),
    post("/v3/resource_matches", resource_matches, limit_bytes=RESOURCES_LIMIT_BYTES, permission="signed in"),
)
