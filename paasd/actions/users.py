"""Users: accounts (the UAA side) and their Cloud Controller side are one row."""

from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import NOT_ALLOWED, authorise_admin
from paasd.actions.visibility import need_visible
from paasd.auth import PLATFORM_NAMES, Caller
from paasd.errors import Forbidden, Unprocessable
from paasd.model import Job, User, accounts, leaving, platform_roles
from paasd.model import users as model
from paasd.model.arguments import Metadata
from paasd.model.jobs import OpenJob, start_finished_job
from paasd.model.metadata import MergeMetadata, merge_resource_metadata


async def create_account(
    context: Context,
    caller: Caller,
    *,
    username: str,
    origin: str = "uaa",
    email: str = "",
    password_hash: str | None = None,
) -> User:
    """The scope scim.write or an administrator. Raises Unprocessable when the name is taken."""
    _need_scim_write(caller)
    arguments = model.CreateUser(
        username=username,
        origin=origin,
        email=email,
        password_hash=password_hash,
        actor=actor_of(caller),
    )
    return await context.database.write(model.create_user, arguments)


async def change_account(
    context: Context,
    caller: Caller,
    user_guid: str,
    *,
    version: int | None = None,
    username: str | None = None,
    email: str | None = None,
    active: bool | None = None,
) -> User:
    """None leaves as it is. The scope scim.write or an administrator. Raises NotFound, StaleAccount, NameTaken."""
    _need_scim_write(caller)
    arguments = accounts.ChangeAccount(
        user_guid=user_guid, version=version, username=username, email=email, active=active, actor=actor_of(caller)
    )
    return await context.database.write(accounts.change_account, arguments)


async def delete_account(context: Context, caller: Caller, user_guid: str) -> None:
    """The user and its roles. Raises NotFound, Forbidden."""
    _need_scim_write(caller)
    await _take_rights(context, caller, user_guid, tokens=True)
    await context.database.write(model.delete_user, _delete_user(context, caller, user_guid))


def _delete_user(context: Context, caller: Caller, user_guid: str) -> model.DeleteUser:
    origins = context.config.auth.origins
    return model.DeleteUser(user_guid=user_guid, strictly=True, origins=origins, actor=actor_of(caller))


async def _take_rights(context: Context, caller: Caller, user_guid: str, *, tokens: bool) -> None:
    """First, since every organization is to have an event of what was taken away there."""
    origins = context.config.auth.origins
    arguments = leaving.TakeRights(
        user_guid=user_guid, tokens=tokens, strictly=True, origins=origins, actor=actor_of(caller)
    )
    while not await context.database.write(leaving.take_rights, arguments):
        pass


async def set_password(context: Context, caller: Caller, user_guid: str, password_hash: str) -> User:
    """One's own (the door has checked the old one) or anybody's as an administrator. Ends the user's sessions."""
    if caller.user_guid != user_guid and not caller.admin and "uaa.admin" not in caller.scopes:
        raise Forbidden(NOT_ALLOWED)
    arguments = model.SetPassword(user_guid=user_guid, password_hash=password_hash, actor=actor_of(caller))
    return await context.database.write(model.set_password, arguments)


async def sign_out_everywhere(context: Context, caller: Caller, user_guid: str) -> User:
    """One's own sessions, or anybody's as an administrator. Raises NotFound, Forbidden."""
    if caller.user_guid != user_guid and not caller.admin and "uaa.admin" not in caller.scopes:
        raise Forbidden(NOT_ALLOWED)
    return await context.database.write(model.sign_out, model.EndSessions(user_guid=user_guid, actor=actor_of(caller)))


async def change_platform_role(context: Context, caller: Caller, user_guid: str, scope: str, *, held: bool) -> User:
    """Make somebody an administrator or auditor of the platform, or no longer. Raises Forbidden."""
    authorise_admin(caller)
    arguments = platform_roles.ChangePlatformRole(user_guid=user_guid, scope=scope, held=held, actor=actor_of(caller))
    return await context.database.write(platform_roles.change_platform_role, arguments)


async def register(
    context: Context,
    caller: Caller,
    *,
    guid: str | None = None,
    username: str | None = None,
    origin: str | None = None,
    metadata: Metadata | None = None,
) -> User:
    """Tell the platform of an account (`POST /v3/users`). Raises Unprocessable when that was done before."""
    authorise_admin(caller)
    if guid is not None and guid.lower() in PLATFORM_NAMES:
        raise Unprocessable(f"The guid '{guid}' is the platform's own; choose another")
    if not all(text is None or text.isprintable() for text in (guid, username, origin)):
        raise Unprocessable("guid, username and origin contain printable characters only")
    with context.database.read() as tx:
        user = tx.get(User, guid) if guid is not None else tx.find(User, username=username, origin=origin or "uaa")
    if user is not None and user.registered:
        raise Unprocessable(f"User with guid '{user.guid}' already exists.")
    if user is None:
        created = model.CreateUser(
            guid=guid or "",
            username=username or guid or "",
            origin=origin or "uaa",
            registered=True,
            actor=actor_of(caller),
        )
        user = await context.database.write(model.create_user, created)
    else:
        updated = model.UpdateUser(user_guid=user.guid, registered=True, actor=actor_of(caller))
        user = await context.database.write(model.update_user, updated)
    await label(context, caller, user.guid, metadata)
    return user


async def update(context: Context, caller: Caller, user_guid: str, metadata: Metadata | None) -> User:
    """Labels and annotations; administrators only."""
    with context.database.read() as tx:
        user = need_visible(tx, caller, User, user_guid)
    authorise_admin(caller)
    await label(context, caller, user.guid, metadata)
    return user


async def label(context: Context, caller: Caller, user_guid: str, metadata: Metadata | None) -> None:
    """Merge metadata of a user."""
    if metadata is not None:
        arguments = MergeMetadata(
            resource_type="user", resource_guid=user_guid, metadata=metadata, actor=actor_of(caller)
        )
        await context.database.write(merge_resource_metadata, arguments)


async def delete(context: Context, caller: Caller, user_guid: str) -> Job:
    """`DELETE /v3/users/:guid`: forgets roles; the account stays until it is deleted at its own door."""
    with context.database.read() as tx:
        need_visible(tx, caller, User, user_guid)
    authorise_admin(caller)
    await _take_rights(context, caller, user_guid, tokens=False)
    await context.database.write(model.forget_roles, _delete_user(context, caller, user_guid))
    opened = OpenJob(operation="user.delete", resource_type="user", resource_guid=user_guid, actor=actor_of(caller))
    return await context.database.write(start_finished_job, opened)


def _need_scim_write(caller: Caller) -> None:
    if not caller.admin and "scim.write" not in caller.scopes:
        raise Forbidden(NOT_ALLOWED)
