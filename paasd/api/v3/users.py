"""`/v3/users` and `/v3/roles`."""

from collections.abc import Sequence
from typing import Annotated

from paasd.actions import jobs, roles, users
from paasd.api.answers import Page
from paasd.api.answers.pages import UserShown
from paasd.api.call import Call, Form, Reply
from paasd.api.forms import MetadataChanges, MetadataForm, ToOne, metadata_of
from paasd.api.listing import Listing, View, column, found_reply, list_reply, reply_of
from paasd.api.present.including import include_organizations, include_spaces
from paasd.api.present.tenancy import RoleShown, present_roles, present_users
from paasd.api.query import check_parts
from paasd.api.table import Route, delete, get, patch, post
from paasd.api.v3.jobs import job_reply
from paasd.api.whom import SPACE_MANAGERS
from paasd.api.words import ROLE_TYPES, said
from paasd.errors import BadQuery, Unprocessable
from paasd.model import Role, User
from paasd.state import Condition, HasText, In, Or


def partial_usernames(_view: View, values: tuple[str, ...]) -> Condition:
    """Users whose names have one of the texts in them."""
    check_parts("partial_usernames", values)
    return Or(*(HasText("username", value) for value in values))


INVALID = "The query parameter is invalid: "
BOTH_NAMES = f"{INVALID}Usernames filter cannot be provided with both usernames and partial_usernames filter."
ORIGINS_ALONE = f"{INVALID}Origins filter cannot be provided without usernames or partial_usernames filter."

USERS = Listing(
    record=User,
    present=present_users,
    filters={
        "usernames": column("username"),
        "partial_usernames": partial_usernames,
        "origins": column("origin"),
    },
)


def include_users(view: View, rows: Sequence[Role]) -> tuple[str, list[UserShown]]:
    """The users of roles; who may see the role may see whose it is."""
    return "users", present_users(view, view.tx.all(User, In("guid", {row.user_guid for row in rows})))


ROLES = Listing(
    record=Role,
    present=present_roles,
    filters={
        "types": column("type"),
        "user_guids": column("user_guid"),
        "space_guids": column("space_guid"),
        "organization_guids": column("organization_guid"),
    },
    includes={"user": include_users, "space": include_spaces, "organization": include_organizations},
    labels=False,
)


class NewUser(Form):
    """Body of `POST /v3/users`: a guid that the login side knows, or a name and origin."""

    guid: str | None = None
    username: str | None = None
    origin: str | None = None
    metadata: MetadataForm | None = None


class UserName(Form):
    """A user by guid or by name."""

    guid: str | None = None
    username: str | None = None
    origin: str | None = None


class UserRelation(Form):
    """Whose role it is."""

    data: UserName


class RoleRelationships(Form):
    """Whose role, and where: exactly one place."""

    user: UserRelation
    organization: ToOne | None = None
    space: ToOne | None = None


class NewRole(Form):
    """Body of `POST /v3/roles`."""

    type: Annotated[str, said(*ROLE_TYPES)]
    relationships: RoleRelationships


async def list_users(call: Call) -> Reply[Page[UserShown]]:
    """Administrators see all, others those they share an organization with."""
    return await people_reply(call)


async def people_reply(call: Call, *conditions: Condition) -> Reply[Page[UserShown]]:
    """A page of users. Raises BadQuery for filters that do not go together: `origins` narrows names down."""
    named = [name for name in ("usernames", "partial_usernames") if call.query.has(name)]
    if len(named) > 1:
        raise BadQuery(BOTH_NAMES)
    if call.query.has("origins") and not named:
        raise BadQuery(ORIGINS_ALONE)
    return await list_reply(call, USERS, *conditions)


async def get_user(call: Call) -> Reply[UserShown]:
    """One."""
    return found_reply(call, USERS)


async def create_user(call: Call) -> Reply[UserShown]:
    """Tell the platform about a user that can sign in already (or will, from another origin)."""
    form = await call.json(NewUser)
    if bool(form.guid) == bool(form.username):
        raise Unprocessable("A user is named either by guid or by username (with its origin)")
    if form.origin is not None and not form.username:
        raise Unprocessable("Origin can only be given together with username")
    row = await users.register(
        call.context,
        call.caller,
        guid=form.guid,
        username=form.username,
        origin=form.origin,
        metadata=metadata_of(form.metadata),
    )
    return reply_of(call, USERS, row, 201)


async def update_user(call: Call) -> Reply[UserShown]:
    """Labels."""
    form = await call.json(MetadataChanges)
    row = await users.update(call.context, call.caller, call.path["guid"], metadata_of(form.metadata))
    return reply_of(call, USERS, row)


async def delete_user(call: Call) -> Reply[None]:
    """202 with a job; the user can still sign in until the login side deletes it too."""
    return job_reply(call, await users.delete(call.context, call.caller, call.path["guid"]))


async def list_roles(call: Call) -> Reply[Page[RoleShown]]:
    """Roles in places that the caller may see."""
    return await list_reply(call, ROLES)


async def get_role(call: Call) -> Reply[RoleShown]:
    """One."""
    return found_reply(call, ROLES)


async def create_role(call: Call) -> Reply[RoleShown]:
    """201."""
    form = await call.json(NewRole)
    place = form.relationships
    if (place.organization is None) == (place.space is None):
        raise Unprocessable("Relationships must have either an organization or a space")
    user = place.user.data
    if user.guid is None and user.username is None:
        raise Unprocessable("Relationships User must have a guid or a username")
    row = await roles.create(
        call.context,
        call.caller,
        type=form.type,
        user_guid=user.guid,
        username=user.username,
        origin=user.origin,
        organization_guid=None if place.organization is None else place.organization.data.guid,
        space_guid=None if place.space is None else place.space.data.guid,
    )
    return reply_of(call, ROLES, row, 201)


async def delete_role(call: Call) -> Reply[None]:
    """202 with a job."""
    await roles.delete(call.context, call.caller, call.path["guid"])
    job = await jobs.finished(
        call.context, call.caller, "role.delete", resource_type="role", resource_guid=call.path["guid"]
    )
    return job_reply(call, job)


ROUTES: tuple[Route, ...] = (
    get("/v3/users", list_users, USERS.query),
    post("/v3/users", create_user, permission="admin"),
    get("/v3/users/<guid>", get_user),
    patch("/v3/users/<guid>", update_user, permission="admin"),
    delete("/v3/users/<guid>", delete_user, permission="admin"),
    get("/v3/roles", list_roles, ROLES.query),
    post("/v3/roles", create_role, permission=SPACE_MANAGERS),
    get("/v3/roles/<guid>", get_role, ROLES.single),
    delete("/v3/roles/<guid>", delete_role, permission=SPACE_MANAGERS),
)
