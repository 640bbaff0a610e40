"""`/v3/spaces`."""

from paasd.actions import routes, spaces
from paasd.api.answers import FeatureShown, LinkedRelation, Page
from paasd.api.answers.pages import SpaceShown, UserShown
from paasd.api.call import Call, Form, Reply
from paasd.api.forms import Enabled, MetadataForm, Name, ToOne, metadata_of
from paasd.api.listing import Listing, column, found_reply, list_reply, need_row, plain_list, reply_of
from paasd.api.present.including import include_organizations
from paasd.api.present.tenancy import present_spaces
from paasd.api.query import QuerySpec
from paasd.api.table import Route, delete, get, patch, post
from paasd.api.v3.jobs import job_reply
from paasd.api.v3.users import USERS, people_reply
from paasd.api.whom import OPERATORS, SPACE_MANAGERS
from paasd.errors import NotFound, Unprocessable
from paasd.model import Role, Space
from paasd.state import Eq, InSelect

SPACES = Listing(
    record=Space,
    present=present_spaces,
    filters={"names": column("name"), "organization_guids": column("organization_guid")},
    order_by={"name": "name"},
    includes={"org": include_organizations, "organization": include_organizations},
)


class SpaceRelationships(Form):
    """Where a space belongs."""

    organization: ToOne


class NewSpace(Form):
    """Body of `POST /v3/spaces`."""

    name: Name
    relationships: SpaceRelationships
    metadata: MetadataForm | None = None


class SpaceChanges(Form):
    """Body of `PATCH /v3/spaces/:guid`."""

    name: Name | None = None
    metadata: MetadataForm | None = None


async def list_spaces(call: Call) -> Reply[Page[SpaceShown]]:
    """All that the caller may see."""
    return await list_reply(call, SPACES)


async def get_space(call: Call) -> Reply[SpaceShown]:
    """One."""
    return found_reply(call, SPACES)


async def create_space(call: Call) -> Reply[SpaceShown]:
    """201."""
    form = await call.json(NewSpace)
    row = await spaces.create(
        call.context,
        call.caller,
        name=form.name,
        organization_guid=form.relationships.organization.data.guid,
        metadata=metadata_of(form.metadata),
    )
    return reply_of(call, SPACES, row, 201)


async def update_space(call: Call) -> Reply[SpaceShown]:
    """Rename, label."""
    form = await call.json(SpaceChanges)
    row = await spaces.update(
        call.context, call.caller, call.path["guid"], name=form.name, metadata=metadata_of(form.metadata)
    )
    return reply_of(call, SPACES, row)


async def delete_space(call: Call) -> Reply[None]:
    """202 with a job that takes away everything in it."""
    return job_reply(call, await spaces.delete(call.context, call.caller, call.path["guid"]))


async def delete_unmapped_routes(call: Call) -> Reply[None]:
    """202 with a job: `cf delete-orphaned-routes`. All routes of a space are not deleted by one call."""
    if call.query.plain.get("unmapped") != "true":
        raise Unprocessable(
            "Mass delete not supported for routes. Use 'unmapped=true' parameter to delete all unmapped routes."
        )
    return job_reply(call, await routes.delete_unmapped(call.context, call.caller, call.path["guid"]))


async def list_features(call: Call) -> Reply[Page[FeatureShown]]:
    """All features of a space."""
    return plain_list(call, [_feature(call, need_row(call, Space))])


async def get_feature(call: Call) -> Reply[FeatureShown]:
    """The one feature of a space is ssh."""
    row = need_row(call, Space)
    return Reply(body=_feature(call, row))


async def update_feature(call: Call) -> Reply[FeatureShown]:
    """Allow or forbid ssh in the whole space."""
    need_row(call, Space)
    form = await call.json(Enabled)
    row = await spaces.update(call.context, call.caller, call.path["guid"], allow_ssh=form.enabled)
    return Reply(body=_feature(call, row))


async def isolation_segment(call: Call) -> Reply[LinkedRelation]:
    """There are none."""
    row = need_row(call, Space)
    path = ("spaces", row.guid, "relationships", "isolation_segment")
    return Reply(body=LinkedRelation(data=None, links={"self": call.urls.link(*path)}))


async def list_users(call: Call) -> Reply[Page[UserShown]]:
    """Users with a role in the space."""
    guid = need_row(call, Space).guid
    return await people_reply(call, InSelect("guid", Role, "user_guid", Eq("space_guid", guid)))


def _feature(call: Call, row: Space) -> FeatureShown:
    if call.path.get("feature", "ssh") != "ssh":
        raise NotFound("Feature")
    return FeatureShown(name="ssh", description="Enable SSHing into apps in the space.", enabled=row.allow_ssh)


ONE = "/v3/spaces/<guid>"
UNMAPPED = QuerySpec(plain=("unmapped",))
ROUTES: tuple[Route, ...] = (
    get("/v3/spaces", list_spaces, SPACES.query),
    post("/v3/spaces", create_space, permission="organization_manager"),
    get(ONE, get_space, SPACES.single),
    patch(ONE, update_space, permission=SPACE_MANAGERS),
    delete(ONE, delete_space, permission="organization_manager"),
    delete(f"{ONE}/routes", delete_unmapped_routes, UNMAPPED, permission=OPERATORS),
    get(f"{ONE}/features", list_features, QuerySpec(pages=True)),
    get(f"{ONE}/features/<feature>", get_feature),
    patch(f"{ONE}/features/<feature>", update_feature, permission=SPACE_MANAGERS),
    get(f"{ONE}/relationships/isolation_segment", isolation_segment),
    get(f"{ONE}/users", list_users, USERS.query),
)
