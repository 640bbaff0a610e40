"""`PUT` and `PATCH /Users/:id`: an account gets another name or address, or is switched off or on."""

import msgspec
from msgspec import UNSET, UnsetType

from paasd.actions import users
from paasd.api.call import Call, Reply
from paasd.api.numbers import whole
from paasd.api.table import Route, patch, put
from paasd.api.uaa.users import NUMBER_LIMIT, Email, ScimUser, check_account, need_user, present_user
from paasd.auth import DEPLOY_TOKEN
from paasd.auth.service import OAuthError
from paasd.model import User
from paasd.model.accounts import NameTaken, StaleAccount

IF_MATCH = "If-Match"
HERE = "uaa"
"""The origin of accounts whose names are given here."""


class AccountChanges(msgspec.Struct, kw_only=True):
    """Body of `PATCH /Users/:id`: what is not there stays; SCIM has many more fields, which mean nothing here."""

    userName: str | UnsetType | None = UNSET
    emails: list[Email] | UnsetType | None = UNSET
    active: bool | UnsetType | None = UNSET
    origin: str | UnsetType | None = UNSET


class Account(AccountChanges, kw_only=True):
    """Body of `PUT /Users/:id`: name and address must be there. Without `active` an account that is off stays off."""

    userName: str
    emails: list[Email]


async def replace(call: Call) -> Reply[ScimUser]:
    """`PUT /Users/:id`: name, address and, with `active`, whether the account is on."""
    form = await call.json(Account)
    if not form.emails:
        raise OAuthError(400, "invalid_scim_resource", "An email must be provided.")
    return await _change(call, form)


async def change(call: Call) -> Reply[ScimUser]:
    """`PATCH /Users/:id`: of name, address and `active` what is sent."""
    return await _change(call, await call.json(AccountChanges))


async def _change(call: Call, form: AccountChanges) -> Reply[ScimUser]:
    user = need_user(call, call.path["guid"])
    name = form.userName if isinstance(form.userName, str) else None
    email = form.emails[0].value if form.emails else None
    check_account(name, email)
    _check_may_change(user, name, form)
    if form.active is False and call.caller.user_guid == user.guid:
        raise OAuthError(400, "invalid_scim_resource", "Nobody switches their own account off; ask somebody else to")
    try:
        changed = await users.change_account(
            call.context,
            call.caller,
            user.guid,
            version=_version(call),
            # One that a provider gives is what it was just now, and may be another by the time this is written.
            username=name if user.origin == HERE else None,
            email=email,
            active=form.active if isinstance(form.active, bool) else None,
        )
    except StaleAccount as error:
        raise OAuthError(412, "scim", error.detail) from error
    except NameTaken as error:
        raise OAuthError(409, "scim_resource_already_exists", error.detail) from error
    return Reply(body=present_user(changed), headers={"ETag": f'"{changed.version}"'})


def _check_may_change(user: User, name: str | None, form: AccountChanges) -> None:
    """Raises OAuthError 400 for what is decided elsewhere: by the maker of a deploy token, or by a provider."""
    if user.origin == DEPLOY_TOKEN:
        raise OAuthError(400, "invalid_scim_resource", "Deploy tokens end with `paasd deploy-token revoke`")
    if form.origin and form.origin != user.origin:
        raise OAuthError(400, "invalid_scim_resource", "The origin of an account stays; make another account")
    if user.origin != HERE and name not in (None, user.username):
        text = f"The name of a user of {user.origin} is given there, and cannot be changed here"
        raise OAuthError(400, "invalid_scim_resource", text)


def _version(call: Call) -> int | None:
    """Which version the client has read, None for whatever there is. Raises OAuthError 400."""
    wanted = call.header(IF_MATCH).strip().strip('"')
    if wanted in ("", "*"):
        return None
    found = whole(wanted, most=NUMBER_LIMIT)
    if found is None:
        raise OAuthError(400, "scim", f"{IF_MATCH} is the meta.version of the account, or *")
    return found


ACCOUNT_ROUTES: tuple[Route, ...] = tuple(
    route
    for prefix in ("", "/uaa")
    for route in (
        put(f"{prefix}/Users/<guid>", replace, any_query=True, permission="scim.write"),
        patch(f"{prefix}/Users/<guid>", change, any_query=True, permission="scim.write"),
    )
)
