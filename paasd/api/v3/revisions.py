"""Revisions: `/v3/revisions/:guid`, and those of an app."""

from paasd.actions import revisions
from paasd.actions.visibility import need_visible
from paasd.api.answers import Page
from paasd.api.answers.revisions import RevisionShown, RevisionVariables
from paasd.api.call import Call, Reply
from paasd.api.forms import MetadataChanges, metadata_of
from paasd.api.listing import Listing, View, list_reply, need_row, part_reply
from paasd.api.numbers import whole
from paasd.api.present.revisions import present_revisions
from paasd.api.table import Route, get, patch
from paasd.api.whom import SECRET_READERS
from paasd.errors import BadQuery
from paasd.model import App, Droplet, Revision
from paasd.model.revisions import VERSION_LIMIT
from paasd.state import Condition, Eq, In, InSelect, Not, Or


def _by_version(_view: View, values: tuple[str, ...]) -> Condition:
    versions = [whole(value) for value in values]
    if None in versions:
        raise BadQuery(f"The query parameter is invalid: Versions must be numbers from 1 to {VERSION_LIMIT}")
    return In("version", versions)


def _deployable(_view: View, values: tuple[str, ...]) -> Condition:
    if not set(values) <= {"true", "false"}:
        raise BadQuery("The query parameter is invalid: Deployable must be a boolean")
    present = InSelect("droplet_guid", Droplet, "guid", Eq("state", "STAGED"))
    return Or(*(present if value == "true" else Not(present) for value in values))


# Their order is that of the starts, whatever the clocks of the nodes say that wrote them.
OF_APP = Listing(
    record=Revision,
    present=present_revisions,
    filters={"versions": _by_version, "deployable": _deployable},
    order_by={"created_at": "sequence"},
    default_order=("sequence",),
)
DEPLOYED = Listing(record=Revision, present=present_revisions, default_order=("sequence",), labels=False)


async def of_app(call: Call) -> Reply[Page[RevisionShown]]:
    """What the app was started with, oldest first."""
    app = need_row(call, App)
    return await list_reply(call, OF_APP, Eq("app_guid", app.guid))


async def deployed(call: Call) -> Reply[Page[RevisionShown]]:
    """The one that the app runs; none while it is stopped."""
    app = need_row(call, App)
    running = app.revision_guid if app.state == "STARTED" else None
    return await list_reply(call, DEPLOYED, Eq("guid", running or ""))


async def get_revision(call: Call) -> Reply[RevisionShown]:
    """One, with its start commands for those who may read them."""
    with call.context.database.read() as tx:
        row = need_visible(tx, call.caller, Revision, call.path["guid"])
        return part_reply(call, present_revisions, row, tx)


async def update_revision(call: Call) -> Reply[RevisionShown]:
    """Labels and annotations."""
    form = await call.json(MetadataChanges)
    row = await revisions.update(call.context, call.caller, call.path["guid"], metadata_of(form.metadata))
    with call.context.database.read() as tx:
        return part_reply(call, present_revisions, row, tx)


async def variables(call: Call) -> Reply[RevisionVariables]:
    """The variables that users had set; an audit event says who read them."""
    row, found = await revisions.read_variables(call.context, call.caller, call.path["guid"])
    links = {
        "self": call.urls.link("revisions", row.guid, "environment_variables"),
        "revision": call.urls.link("revisions", row.guid),
        "app": call.urls.link("apps", row.app_guid),
    }
    return Reply(body=RevisionVariables(var=found, links=links))


ROUTES: tuple[Route, ...] = (
    get("/v3/apps/<guid>/revisions", of_app, OF_APP.query),
    get("/v3/apps/<guid>/revisions/deployed", deployed, DEPLOYED.query),
    get("/v3/revisions/<guid>", get_revision),
    patch("/v3/revisions/<guid>", update_revision, permission="space_developer"),
    get("/v3/revisions/<guid>/environment_variables", variables, permission=SECRET_READERS),
)
