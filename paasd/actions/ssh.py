"""ssh into instances: codes to sign in with, who may enter which instance, and whether one who is in may stay.

Only who may change the app gets in: whoever is inside can do all that the app can. Who does not see the app is told the
same as for one that does not exist.
"""

import re
from collections.abc import Callable
from typing import Final

import msgspec

from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import Permission, authorise_in_organization
from paasd.actions.visibility import need_app, need_visible
from paasd.auth import Caller, root_caller
from paasd.auth.deploy import PREFIX as DEPLOY_PREFIX
from paasd.auth.service import Auth, SignIn
from paasd.auth.tokens import revocation_signature
from paasd.auth.totp import hash_code, new_code
from paasd.config import Config
from paasd.errors import Forbidden, NotFound, OrganizationSuspended, PaasdError, Unprocessable
from paasd.model import App, Instance, Organization, Process, Space, SshCode, User
from paasd.model import ssh as model
from paasd.observed import Observed
from paasd.state import ReadTx

GROUPS: Final = 4
WRONG: Final = "The code is wrong, was used before or has expired; ask for another one"
UNSEEN: Final = "There is no such app, or you have no role in its space"
NOT_DEVELOPER: Final = "Only developers of the space get into its instances"
WRITE: Final = "cloud_controller.write"
TARGET: Final = re.compile(r"cf:([0-9A-Za-z_-]{1,64})(?:/([0-9]{1,6}))?")


class Refused(PaasdError):
    """Nobody gets in; the detail says why, and nothing that its reader may not know."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """The instance that somebody enters; `epoch` tells it from those before and after it."""

    app_guid: str
    app_name: str
    process_guid: str
    process_type: str
    index: int
    instance_guid: str
    node_guid: str
    epoch: int


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """Who is in, and where. `code` keeps what the right to be there stands on."""

    caller: Caller
    place: Place
    code: SshCode


async def create_code(context: Context, caller: Caller) -> str:
    """A code for one connection, shown this once. Raises Forbidden for who cannot change any app."""
    root = caller.root
    with context.database.read() as tx:
        user = None if caller.user_guid == model.ROOT else tx.get(User, caller.user_guid)
    if user is None and not root:
        raise Forbidden("Codes for ssh are for people and deploy tokens; sign in as one")
    if not root and WRITE not in caller.scopes:
        raise Forbidden(f"The token only reads (it lacks the scope {WRITE})")
    code = new_code(GROUPS)
    arguments = model.CreateSshCode(
        code_hash=hash_code(code),
        user_guid=caller.user_guid,
        client=caller.client,
        scopes=list(caller.scopes),
        with_factor=caller.with_factor,
        signature="" if user is None else revocation_signature(user),
        expires_at=int(context.clock()) + context.config.ssh.code_s,
    )
    if (await context.database.write(model.create_ssh_code, arguments)).code_hash != arguments.code_hash:
        raise Unprocessable("The first request has made a code, and its answer is lost; ask again under another key")
    return code


def check(tx: ReadTx, context: Context, caller: Caller, app: App, process: Process, index: int) -> None:
    """Tell beforehand what `enter` would say. Raises Forbidden, Unprocessable."""
    need_app(tx, caller, app.guid, Permission.WRITE_SPACE)
    try:
        check_right(tx, context.config, caller, app)
        find_instance(tx, context.observed, app, process, index)
    except Refused as refused:
        raise Unprocessable(refused.detail) from refused


async def enter(
    context: Context,
    auth: Auth,
    target: str,
    code: str,
    address: str,
    connection: str,
    room: Callable[[Caller, Place], None],
) -> Admitted:
    """Take a code and let its owner into `target` (cf:PROCESS-GUID/INDEX). Raises Refused.

    `connection` names the connection in audit events, `address` from where it comes. A code that was right is used up
    whatever comes of it. `room` raises Refused when too many are in already.
    """
    await context.database.fresh()
    with context.database.read() as tx:
        row = tx.get(SshCode, hash_code(code))
    caller = None if row is None or row.expires_at <= context.clock() else owner_of(context, auth, row)
    if row is None or caller is None:  # what strangers make up is never written
        raise Wrong(WRONG)
    caller = msgspec.structs.replace(caller, address=address, request_id=connection)
    use = model.UseSshCode(code_hash=row.code_hash, actor=actor_of(caller), wanted=target[:100])
    admitted: Admitted | None = None
    try:
        app, process, index = find_app(context, caller, target)
        use = msgspec.structs.replace(use, app_guid=app.guid, process_type=process.type, index=index)
        with context.database.read() as tx:
            check_right(tx, context.config, caller, app)
            place = find_instance(tx, context.observed, app, process, index)
        room(caller, place)
        use = msgspec.structs.replace(use, instance_guid=place.instance_guid, node_guid=place.node_guid)
        admitted = Admitted(caller=caller, place=place, code=row)
    except Refused as refused:
        use = msgspec.structs.replace(use, refusal=refused.detail)
    if not await context.database.write(model.use_ssh_code, use):
        raise Wrong(WRONG)
    if admitted is None:
        raise Refused(use.refusal)
    return admitted


class Wrong(Refused):
    """Nothing that was ever a code, or is one no more: a guess, for all that is known."""


def owner_of(context: Context, auth: Auth, row: SshCode) -> Caller | None:
    """Whom a code stands for, if what it was made with still counts: no new password, no end of all sessions."""
    if row.user_guid == model.ROOT:
        return root_caller()
    if row.client.startswith(DEPLOY_PREFIX):
        try:
            return auth.deploy.caller_by_name(row.client, row.scopes)
        except PaasdError:
            return None
    try:
        user = auth.accounts.still(row.user_guid, row.signature)
        caller = auth.caller_of(SignIn(user=user, at=0, with_factor=row.with_factor), tuple(row.scopes), row.client)
    except PaasdError:
        return None
    return caller if WRITE in caller.scopes else None


def find_app(context: Context, caller: Caller, target: str) -> tuple[App, Process, int]:
    """What a user name of ssh means. Raises Refused, for apps that the caller does not see as for none."""
    match = TARGET.fullmatch(target)
    if match is None:
        raise Refused("The user name is cf:PROCESS-GUID/INDEX; `cf ssh` and `paasd ssh` make it")
    with context.database.read() as tx:
        try:
            process = need_visible(tx, caller, Process, match[1])
            return need_app(tx, caller, process.app_guid), process, int(match[2] or 0)
        except NotFound as error:
            raise Refused(UNSEEN) from error


def check_right(tx: ReadTx, config: Config, caller: Caller, app: App) -> None:
    """Raises Refused unless the caller may change the app and nobody has switched ssh off."""
    try:
        need_app(tx, caller, app.guid, Permission.WRITE_SPACE)
    except NotFound as error:
        raise Refused(UNSEEN) from error
    except OrganizationSuspended as error:
        raise Refused(error.detail) from error
    except Forbidden as error:
        raise Refused(NOT_DEVELOPER) from error
    why = switched_off(tx, config, app)
    if why:
        raise Refused(f"ssh is {why[0].lower()}{why[1:]}")


def switched_off(tx: ReadTx, config: Config, app: App) -> str:
    """Who forbids ssh into an app, in Cloud Foundry's words; "" when nobody does."""
    space = tx.need(Space, app.space_guid)
    if not config.ssh.enabled:
        return "Disabled globally"
    if not model.organization_allows(tx, space.organization_guid, config.ssh.allowed_by_default):
        return "Disabled for organization"
    if not space.allow_ssh:
        return "Disabled for space"
    return "" if app.features.get("ssh", True) else "Disabled for app"


def find_instance(tx: ReadTx, observed: Observed, app: App, process: Process, index: int) -> Place:
    """The newest running instance of an index. Raises Refused."""
    rows = tx.all(Instance, process_guid=process.guid, index=index, order=("-epoch",))
    for row in rows:
        fact = observed.get(row.guid)
        if row.desired == "RUNNING" and fact is not None and fact.epoch == row.epoch and fact.state == "RUNNING":
            return Place(
                app_guid=app.guid,
                app_name=app.name,
                process_guid=process.guid,
                process_type=process.type,
                index=index,
                instance_guid=row.guid,
                node_guid=row.node_guid,
                epoch=row.epoch,
            )
    raise Refused(f"Instance {index} of the process '{process.type}' is not running")


def check_still(context: Context, auth: Auth, admitted: Admitted) -> None:
    """Raises Refused when one who is in may not stay, or the instance is another one by now."""
    caller = owner_of(context, auth, admitted.code)
    if caller is None:
        raise Refused("You were signed out")
    place = admitted.place
    with context.database.read() as tx:
        app = tx.get(App, place.app_guid)
        if app is None:
            raise Refused("The app was deleted")
        check_right(tx, context.config, caller, app)
        row = tx.get(Instance, place.instance_guid)
    if row is None or row.epoch != place.epoch or row.desired != "RUNNING":
        raise Refused("The instance has ended")


async def switch(context: Context, caller: Caller, organization_guid: str, allowed: bool | None) -> bool | None:
    """Managers of the organization, and administrators. Raises NotFound, Forbidden."""
    with context.database.read() as tx:
        need_visible(tx, caller, Organization, organization_guid)
        authorise_in_organization(tx, caller, organization_guid, Permission.MANAGE_ORGANIZATION)
    arguments = model.SwitchSsh(organization_guid=organization_guid, allowed=allowed, actor=actor_of(caller))
    return await context.database.write(model.switch_ssh, arguments)
