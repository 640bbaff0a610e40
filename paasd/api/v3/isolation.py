"""`/v3/isolation_segments`: there are none, and what clients ask about them has the answers of a platform without."""

from paasd.actions.permissions import (
    Permission,
    authorise_admin,
    authorise_in_organization,
)
from paasd.actions.visibility import need_visible
from paasd.api.answers import LinkedRelation, Nothing, Page
from paasd.api.call import Call, Form, Reply
from paasd.api.forms import MetadataForm, ToMany, ToOneOrNone
from paasd.api.listing import plain_list
from paasd.api.query import QuerySpec
from paasd.api.table import Route, delete, get, patch, post
from paasd.errors import NotFound, Unprocessable
from paasd.model import Organization, Space

QUERY = QuerySpec(
    filters=("guids", "names", "organization_guids"),
    order_by=("created_at", "updated_at", "name"),
    pages=True,
    labels=True,
    times=True,
)
NONE_HERE = (
    "Isolation segments are not supported. The annotation paasd.io/zones of an app says in which zones it runs; "
    "every instance is isolated from every other one as it is."
)


async def list_segments(call: Call) -> Reply[Page[Nothing]]:
    """An empty page."""
    return plain_list(call, [])


async def get_segment(_call: Call) -> Reply[None]:
    """Not there, whichever is meant."""
    raise NotFound("Isolation segment")


class SegmentChanges(Form):
    """Body of `PATCH /v3/isolation_segments/:guid`."""

    name: str | None = None
    metadata: MetadataForm | None = None


async def change_segment(call: Call) -> Reply[None]:
    """Not there, whichever is meant."""
    await call.json(SegmentChanges)
    raise NotFound("Isolation segment")


async def entitle(call: Call) -> Reply[None]:
    """Likewise."""
    await call.json(ToMany)
    raise NotFound("Isolation segment")


async def create_segment(call: Call) -> Reply[None]:
    """Refused, with what there is instead."""
    authorise_admin(call.caller)
    raise Unprocessable(NONE_HERE)


async def set_default(call: Call) -> Reply[LinkedRelation]:
    """Null is what it is; anything else is no segment that could be assigned."""
    form = await call.json(ToOneOrNone)
    with call.context.database.read() as tx:
        row = need_visible(tx, call.caller, Organization, call.path["guid"])
        authorise_in_organization(tx, call.caller, row.guid, Permission.MANAGE_ORGANIZATION)
    where = "organization."
    return _assigned(call, form, where, ("organizations", row.guid, "relationships", "default_isolation_segment"))


async def set_of_space(call: Call) -> Reply[LinkedRelation]:
    """Likewise of one space."""
    form = await call.json(ToOneOrNone)
    with call.context.database.read() as tx:
        row = need_visible(tx, call.caller, Space, call.path["guid"])
        authorise_in_organization(tx, call.caller, row.organization_guid, Permission.MANAGE_ORGANIZATION)
    where = "organization that this space belongs to."
    return _assigned(call, form, where, ("spaces", row.guid, "relationships", "isolation_segment"))


def _assigned(call: Call, form: ToOneOrNone, where: str, path: tuple[str, ...]) -> Reply[LinkedRelation]:
    if form.data is not None:
        text = f"Unable to assign isolation segment with guid '{form.data.guid}'. Ensure it has been entitled to the "
        raise Unprocessable(text + where)
    return Reply(body=LinkedRelation(data=None, links={"self": call.urls.link(*path)}))


MANAGER = "organization_manager"
SEGMENT = "/v3/isolation_segments/<guid>"
ENTITLED = QuerySpec(
    filters=("guids", "names"), order_by=("created_at", "updated_at", "name"), pages=True, labels=True, times=True
)
ROUTES: tuple[Route, ...] = (
    get("/v3/isolation_segments", list_segments, QUERY, permission="signed in"),
    post("/v3/isolation_segments", create_segment, permission="admin"),
    get(SEGMENT, get_segment, permission="signed in"),
    patch(SEGMENT, change_segment, permission="signed in"),
    delete(SEGMENT, get_segment, permission="signed in"),
    get(f"{SEGMENT}/organizations", get_segment, ENTITLED, permission="signed in"),
    get(f"{SEGMENT}/relationships/organizations", get_segment, permission="signed in"),
    get(f"{SEGMENT}/relationships/spaces", get_segment, permission="signed in"),
    post(f"{SEGMENT}/relationships/organizations", entitle, permission="signed in"),
    delete(f"{SEGMENT}/relationships/organizations/<organization_guid>", get_segment, permission="signed in"),
    patch("/v3/organizations/<guid>/relationships/default_isolation_segment", set_default, permission=MANAGER),
    patch("/v3/spaces/<guid>/relationships/isolation_segment", set_of_space, permission=MANAGER),
)
