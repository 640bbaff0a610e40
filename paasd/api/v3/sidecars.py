"""`/v3/sidecars`: further programs beside the processes of an app."""

import msgspec

from paasd.actions import processes
from paasd.actions.visibility import need_visible
from paasd.api.answers import Page
from paasd.api.answers.apps import SidecarShown
from paasd.api.call import Call, Form, Reply, no_content
from paasd.api.forms import Name
from paasd.api.listing import list_reply, need_row, part_reply
from paasd.api.numbers import Number
from paasd.api.present.apps import present_sidecars
from paasd.api.table import Route, delete, get, patch, post
from paasd.api.v3.processes import SIDECARS
from paasd.model import App, Process, Sidecar
from paasd.state import Contains, Eq


class NewSidecar(Form):
    """Body of `POST /v3/apps/:guid/sidecars`."""

    name: Name
    command: str
    process_types: list[str]
    memory_in_mb: Number | None = None


class SidecarChanges(Form):
    """Body of `PATCH /v3/sidecars/:guid`."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    command: str | msgspec.UnsetType = msgspec.UNSET
    process_types: list[str] | msgspec.UnsetType = msgspec.UNSET
    memory_in_mb: Number | msgspec.UnsetType | None = msgspec.UNSET


async def app_sidecars(call: Call) -> Reply[Page[SidecarShown]]:
    """Sidecars of an app."""
    app = need_row(call, App)
    return await list_reply(call, SIDECARS, Eq("app_guid", app.guid))


async def process_sidecars(call: Call) -> Reply[Page[SidecarShown]]:
    """Sidecars that run beside a process."""
    row = need_row(call, Process)
    return await list_reply(call, SIDECARS, Eq("app_guid", row.app_guid), Contains("process_types", row.type))


async def get_sidecar(call: Call) -> Reply[SidecarShown]:
    """One."""
    with call.context.database.read() as tx:
        row = need_visible(tx, call.caller, Sidecar, call.path["guid"])
        return part_reply(call, present_sidecars, row, tx)


async def create_sidecar(call: Call) -> Reply[SidecarShown]:
    """201; it runs from the next start."""
    form = await call.json(NewSidecar)
    row = await processes.create_sidecar(
        call.context,
        call.caller,
        call.path["guid"],
        name=form.name,
        command=form.command,
        process_types=form.process_types,
        memory_mb=form.memory_in_mb,
    )
    with call.context.database.read() as tx:
        return part_reply(call, present_sidecars, row, tx, 201)


async def update_sidecar(call: Call) -> Reply[SidecarShown]:
    """It counts from the next start."""
    form = await call.json(SidecarChanges)
    row = await processes.update_sidecar(
        call.context,
        call.caller,
        call.path["guid"],
        name=form.name,
        command=form.command,
        process_types=form.process_types,
        memory_mb=form.memory_in_mb,
    )
    with call.context.database.read() as tx:
        return part_reply(call, present_sidecars, row, tx)


async def delete_sidecar(call: Call) -> Reply[None]:
    """204."""
    await processes.delete_sidecar(call.context, call.caller, call.path["guid"])
    return no_content()


ROUTES: tuple[Route, ...] = (
    get("/v3/apps/<guid>/sidecars", app_sidecars, SIDECARS.query),
    post("/v3/apps/<guid>/sidecars", create_sidecar, permission="space_developer"),
    get("/v3/processes/<guid>/sidecars", process_sidecars, SIDECARS.query),
    get("/v3/sidecars/<guid>", get_sidecar),
    patch("/v3/sidecars/<guid>", update_sidecar, permission="space_developer"),
    delete("/v3/sidecars/<guid>", delete_sidecar, permission="space_developer"),
)
