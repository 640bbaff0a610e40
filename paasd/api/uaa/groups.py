"""SCIM groups: who administers or audits the whole platform, as `uaac member add cloud_controller.admin NAME` says it.

A group's id is its name. Only administrators see and change them: a client that makes accounts makes no administrators.
"""

import re
from typing import Annotated, Literal

import msgspec

from paasd.actions import users
from paasd.api.answers import Answer
from paasd.api.call import Call, Reply
from paasd.api.table import Route, delete, get, post
from paasd.api.uaa.users import SCHEMAS, need_user
from paasd.api.words import said
from paasd.auth.service import OAuthError
from paasd.model import User
from paasd.model.platform_roles import PLATFORM_ROLES, holders

TERM = re.compile(r'\s*(?:displayName|id)\s+eq\s+"([^"]*)"\s*', re.IGNORECASE)


class NewMember(msgspec.Struct, kw_only=True):
    """Body of `POST /Groups/:id/members`: `value` is the guid of an account."""

    value: str
    type: Annotated[str, said("USER")] = "USER"
    origin: str = "uaa"


class MemberShown(Answer):
    """An account that is in a group."""

    value: str
    type: Literal["USER"]
    origin: str
    display: str


class GroupShown(Answer):
    """A group, by the role that its members have."""

    id: str
    displayName: str
    members: list[MemberShown]
    zoneId: str
    schemas: list[str]


class GroupsShown(Answer):
    """Those that were asked for."""

    resources: list[GroupShown]
    startIndex: int
    itemsPerPage: int
    totalResults: int
    schemas: list[str]


async def list_groups(call: Call) -> Reply[GroupsShown]:
    """`GET /Groups?filter=displayName eq "..."`: three at most."""
    found = _wanted(call.query.plain.get("filter", ""))
    return Reply(
        body=GroupsShown(
            resources=[_present(call, name) for name in found],
            startIndex=1,
            itemsPerPage=len(found),
            totalResults=len(found),
            schemas=SCHEMAS,
        )
    )


async def get_group(call: Call) -> Reply[GroupShown]:
    """`GET /Groups/:id` with its members."""
    return Reply(body=_present(call, _need_group(call)))


async def list_members(call: Call) -> Reply[list[MemberShown]]:
    """`GET /Groups/:id/members`."""
    return Reply(body=_members(call, _need_group(call)))


async def add_member(call: Call) -> Reply[MemberShown]:
    """`POST /Groups/:id/members`: the account has the role at once, also in sessions that it has."""
    group = _need_group(call)
    form = await call.json(NewMember)
    if form.type != "USER":
        raise OAuthError(400, "invalid_scim_resource", "Members of these groups are accounts: type is USER")
    user = need_user(call, form.value)
    await users.change_platform_role(call.context, call.caller, user.guid, group, held=True)
    return Reply(status=201, body=_member(user))


async def remove_member(call: Call) -> Reply[MemberShown]:
    """`DELETE /Groups/:id/members/:guid`: the account loses the role at once, also in sessions that it has."""
    group = _need_group(call)
    user = need_user(call, call.path["guid"])
    if group not in user.scopes:
        raise OAuthError(404, "member_not_found", f"{user.username} is no member of {group}")
    await users.change_platform_role(call.context, call.caller, user.guid, group, held=False)
    return Reply(body=_member(user))


def _wanted(text: str) -> tuple[str, ...]:
    if not text:
        return PLATFORM_ROLES
    if (match := TERM.fullmatch(text)) is None:
        raise OAuthError(
            400, "scim", f'Invalid filter expression: [{text}]; such as displayName eq "{PLATFORM_ROLES[0]}"'
        )
    return tuple(name for name in PLATFORM_ROLES if name == match[1])


def _need_group(call: Call) -> str:
    if (group := call.path["group"]) not in PLATFORM_ROLES:
        raise OAuthError(404, "scim_resource_not_found", f"There is no group {group}, but {', '.join(PLATFORM_ROLES)}")
    return group


def _present(call: Call, group: str) -> GroupShown:
    return GroupShown(id=group, displayName=group, members=_members(call, group), zoneId="uaa", schemas=SCHEMAS)


def _members(call: Call, group: str) -> list[MemberShown]:
    with call.context.database.read() as tx:
        return [_member(user) for user in holders(tx, group)]


def _member(user: User) -> MemberShown:
    return MemberShown(value=user.guid, type="USER", origin=user.origin, display=user.username)


PERMISSION = "uaa.admin"
READERS = "admin_read_only, global_auditor or uaa.admin"
GROUP_ROUTES: tuple[Route, ...] = tuple(
    route
    for prefix in ("", "/uaa")
    for route in (
        get(f"{prefix}/Groups", list_groups, any_query=True, permission=READERS),
        get(f"{prefix}/Groups/<group>", get_group, any_query=True, permission=READERS),
        get(f"{prefix}/Groups/<group>/members", list_members, any_query=True, permission=READERS),
        post(f"{prefix}/Groups/<group>/members", add_member, any_query=True, permission=PERMISSION),
        delete(f"{prefix}/Groups/<group>/members/<guid>", remove_member, any_query=True, permission=PERMISSION),
    )
)
