"""SCIM users: what `cf create-user`, `delete-user`, `passwd` and role commands look up."""

import re
from typing import Literal

import msgspec

from paasd.actions import users
from paasd.api.answers import Answer
from paasd.api.call import Call, Reply
from paasd.api.numbers import whole
from paasd.api.table import Route, delete, get, post, put
from paasd.auth import DEPLOY_TOKEN
from paasd.auth.passwords import Asker
from paasd.auth.service import OAuthError
from paasd.auth.strength import why_weak
from paasd.model import User
from paasd.model.platform_roles import PLATFORM_ROLES
from paasd.state import Condition, Eq, Ne

TERM = re.compile(
    r"active\s+eq\s+(?P<on>true|false)"
    r'|(?P<name>userName|user_name|id|origin|email)\s+(?P<how>eq|ne)\s+"(?P<value>(?:[^"\\]|\\.)*)"',
    re.IGNORECASE,
)
AND = re.compile(r"\s+and\s+", re.IGNORECASE)
COLUMNS = {"username": "username", "user_name": "username", "id": "guid", "origin": "origin", "email": "email"}
SCHEMAS = ["urn:scim:schemas:core:1.0"]
PAGE_LIMIT = 500
NUMBER_LIMIT = 10**9
TEXT_LIMIT = 255
SCIM_READ = "scim.read"
REVOKE = "/oauth/token/revoke/user/<guid>"


class Email(msgspec.Struct):
    """One address of a SCIM user."""

    value: str = ""


class NewUser(msgspec.Struct, kw_only=True):
    """Body of `POST /Users`; SCIM has many more fields, which mean nothing here."""

    userName: str
    password: str | None = None
    origin: str = "uaa"
    emails: list[Email] = []


class NewPassword(msgspec.Struct, kw_only=True):
    """Body of `PUT /Users/:id/password`."""

    password: str
    oldPassword: str | None = None


class EmailShown(Answer):
    """The one address of a user."""

    value: str
    primary: bool


class ScimMeta(Answer):
    """When it was made and changed."""

    version: int
    created: str
    lastModified: str


class ScimName(Answer):
    """What SCIM wants of a name: here both are the user name."""

    familyName: str
    givenName: str


class GroupOfUser(Answer):
    """A role above organizations that the user has."""

    value: str
    display: str
    type: Literal["DIRECT"]


class ScimUser(Answer):
    """A user in SCIM's words."""

    id: str
    meta: ScimMeta
    userName: str
    name: ScimName
    emails: list[EmailShown]
    groups: list[GroupOfUser]
    active: bool
    verified: bool
    origin: str
    zoneId: str
    schemas: list[str]


class ScimUsers(Answer):
    """A page of users; `startIndex` counts from 1."""

    resources: list[ScimUser]
    startIndex: int
    itemsPerPage: int
    totalResults: int
    schemas: list[str]


class Done(Answer):
    """It was done."""

    status: Literal["ok"]
    message: str


def parse_filter(text: str) -> list[Condition]:
    """`userName eq "u" and origin eq "uaa"` as conditions. Raises OAuthError 400."""
    made: list[Condition] = []
    rest = text.strip()
    # One term after the other: what stands between them may also stand in quotes.
    while (term := TERM.match(rest)) is not None:
        made.append(_condition(term))
        rest = rest[term.end() :]
        if not rest:
            return made
        if (between := AND.match(rest)) is None:
            break
        rest = rest[between.end() :]
    raise OAuthError(400, "scim", f"Invalid filter expression: [{text}]")


def _condition(term: re.Match[str]) -> Condition:
    if term["on"] is not None:
        return Eq("active", term["on"].lower() == "true")
    compare = Eq if term["how"].lower() == "eq" else Ne
    return compare(COLUMNS[term["name"].lower()], re.sub(r"\\(.)", r"\1", term["value"]))


def present_user(user: User) -> ScimUser:
    """A user in SCIM's words; never the hash."""
    return ScimUser(
        id=user.guid,
        meta=ScimMeta(version=user.version, created=user.created_at, lastModified=user.updated_at),
        userName=user.username,
        name=ScimName(familyName=user.username, givenName=user.username),
        emails=[EmailShown(value=user.email or user.username, primary=True)],
        groups=[GroupOfUser(value=role, display=role, type="DIRECT") for role in user.scopes if role in PLATFORM_ROLES],
        active=user.active,
        verified=True,
        origin=user.origin,
        zoneId="uaa",
        schemas=SCHEMAS,
    )


def need_oneself_or(call: Call, scope: str) -> None:
    """Raises OAuthError 403 for somebody else without the scope; who sees everything may look at anybody."""
    caller = call.caller
    if caller.user_guid == call.path["guid"] or caller.admin or scope in caller.scopes:
        return
    if scope != SCIM_READ or not caller.sees_everything:
        raise OAuthError(403, "insufficient_scope", "Insufficient scope for this resource")


async def list_users(call: Call) -> Reply[ScimUsers]:
    """`GET /Users?filter=`."""
    conditions = parse_filter(call.query.plain["filter"]) if call.query.plain.get("filter") else []
    start = max(1, _number(call, "startIndex", 1))
    count = min(max(0, _number(call, "count", 100)), PAGE_LIMIT)
    with call.context.database.read() as tx:
        total = tx.count(User, *conditions)
        rows = tx.all(User, *conditions, order=("created_at", "guid"), limit=count, offset=start - 1)
    return Reply(
        body=ScimUsers(
            resources=[present_user(row) for row in rows],
            startIndex=start,
            itemsPerPage=count,
            totalResults=total,
            schemas=SCHEMAS,
        )
    )


async def get_user(call: Call) -> Reply[ScimUser]:
    """`GET /Users/:id`."""
    need_oneself_or(call, SCIM_READ)
    return Reply(body=present_user(need_user(call, call.path["guid"])))


async def create_user(call: Call) -> Reply[ScimUser]:
    """`POST /Users`: 201, or 409 when the name is taken."""
    form = await call.json(NewUser)
    form.origin = form.origin or "uaa"
    check_account(form.userName, (form.emails[0].value or None) if form.emails else None)
    password_hash = None
    if form.origin == DEPLOY_TOKEN:
        raise OAuthError(400, "invalid_scim_resource", "Deploy tokens are made with `paasd deploy-token create`")
    if form.origin == "uaa" and form.password is not None:
        _check_password(form.password, form.userName)
        here = Asker(address=call.address, known=True)
        password_hash = await call.platform.auth.passwords.hash(form.password, here)
    email = form.emails[0].value if form.emails else form.userName
    if call.platform.auth.find_user(form.userName, form.origin) is not None:
        raise OAuthError(409, "scim_resource_already_exists", f"Username already in use: {form.userName}")
    user = await users.create_account(
        call.context,
        call.caller,
        username=form.userName,
        origin=form.origin,
        email=email,
        password_hash=password_hash,
    )
    return Reply(status=201, body=present_user(user))


def check_account(username: str | None, email: str | None) -> None:
    """Raise OAuthError 400 for a name or an address that is none; None is one that was not sent."""
    if username is not None and not username.strip():
        raise OAuthError(400, "invalid_scim_resource", "A username must be provided.")
    for what, text in (("username", username), ("email", email)):
        if text is not None and not (text.isprintable() and len(text.strip()) >= 1 and len(text) <= TEXT_LIMIT):
            raise OAuthError(
                400, "invalid_scim_resource", f"The {what} must be 1 to {TEXT_LIMIT} printable characters."
            )


async def delete_user(call: Call) -> Reply[ScimUser]:
    """`DELETE /Users/:id`: the user and its roles."""
    user = need_user(call, call.path["guid"])
    await users.delete_account(call.context, call.caller, user.guid)
    return Reply(body=present_user(user))


async def set_password(call: Call) -> Reply[Done]:
    """`PUT /Users/:id/password`: one's own with the old one, anybody's as an administrator."""
    form = await call.json(NewPassword)
    own = call.caller.user_guid == call.path["guid"]
    need_oneself_or(call, "uaa.admin")
    user = need_user(call, call.path["guid"])
    if form.oldPassword is not None or (own and not call.caller.admin):
        address = call.address
        await call.platform.auth.check_password(user, form.oldPassword or "", address)
        if form.password == form.oldPassword:
            raise OAuthError(422, "invalid_password", "The new password is the old one; choose another.")
    _check_password(form.password, user.username)
    if user.origin != "uaa":
        raise OAuthError(400, "invalid_scim_resource", f"The password of a user of {user.origin} is not kept here")
    here = Asker(address=call.address, known=True)
    password_hash = await call.platform.auth.passwords.hash(form.password, here)
    await users.set_password(call.context, call.caller, user.guid, password_hash)
    return Reply(body=Done(status="ok", message="password updated"))


async def sign_out_everywhere(call: Call) -> Reply[Done]:
    """Ends every session of a user: one's own, or anybody's as an administrator."""
    need_oneself_or(call, "uaa.admin")
    user = await users.sign_out_everywhere(call.context, call.caller, need_user(call, call.path["guid"]).guid)
    return Reply(body=Done(status="ok", message=f"every session of {user.username} has ended"))


def _check_password(password: str, username: str) -> None:
    if (why := why_weak(password, username)) is not None:
        raise OAuthError(422, "invalid_password", why)


def need_user(call: Call, guid: str) -> User:
    """Raises OAuthError 404."""
    with call.context.database.read() as tx:
        user = tx.get(User, guid)
    if user is None:
        raise OAuthError(404, "scim_resource_not_found", f"User {guid} does not exist")
    return user


def _number(call: Call, name: str, default: int) -> int:
    found = whole(call.query.plain.get(name, ""), most=NUMBER_LIMIT)
    return default if found is None else found


USER_ROUTES: tuple[Route, ...] = tuple(
    route
    for prefix in ("", "/uaa")
    for route in (
        get(f"{prefix}/Users", list_users, any_query=True, permission="admin_read_only, global_auditor or scim.read"),
        post(f"{prefix}/Users", create_user, any_query=True, permission="scim.write"),
        get(
            f"{prefix}/Users/<guid>",
            get_user,
            any_query=True,
            permission="admin_read_only, global_auditor, scim.read or oneself",
        ),
        delete(f"{prefix}/Users/<guid>", delete_user, any_query=True, permission="scim.write"),
        put(f"{prefix}/Users/<guid>/password", set_password, any_query=True, permission="uaa.admin or oneself"),
        delete(f"{prefix}{REVOKE}", sign_out_everywhere, any_query=True, permission="uaa.admin or oneself"),
    )
)
