"""ssh: a whole invitation to an instance in one call, and the switch of an organization."""

from paasd.actions import ssh
from paasd.actions.permissions import Permission
from paasd.actions.visibility import need_app, visible
from paasd.api.answers import Answer
from paasd.api.call import Call, Form, Reply, created
from paasd.api.numbers import Number
from paasd.api.paasd_v1.names import find_app, find_organization
from paasd.api.table import Auth, Route, get, patch, post
from paasd.errors import NotFound, Unavailable, Unprocessable
from paasd.model import Process, SshSwitch


class Wanted(Form):
    """Which instance."""

    process: str = "web"
    index: Number = 0


class Switch(Form):
    """null goes back to the platform's default."""

    allowed: bool | None


class Invited(Answer):
    """Where an ssh client connects, as whom, with which password, and what key it must be shown."""

    host: str
    port: int
    user: str
    code: str
    expires_in: int
    host_key: str
    host_key_fingerprint: str


class Switched(Answer):
    """What the organization says, if anything, and what counts."""

    allowed: bool | None
    effective: bool


async def invite(call: Call) -> Reply[Invited]:
    """Where to connect, as whom, with which code, and what the host key must be."""
    door = call.platform.ssh
    wanted = await call.json(Wanted)
    with call.context.database.read() as tx:
        app = need_app(tx, call.caller, find_app(call, tx).guid, Permission.WRITE_SPACE)
        if door is None:
            raise Unprocessable("There is no door for ssh here; [ssh] in the configuration opens it")
        if not door.address:
            raise Unavailable("The door for ssh does not listen yet; try again in a moment")
        process = tx.find(Process, *visible(tx, call.caller, Process), app_guid=app.guid, type=wanted.process)
        if process is None:
            raise NotFound("Process", f"App '{app.name}' has no process '{wanted.process}'")
        ssh.check(tx, call.context, call.caller, app, process, wanted.index)
    code = await ssh.create_code(call.context, call.caller)
    host, _, port = door.address.rpartition(":")
    return created(
        Invited(
            host=host,
            port=int(port),
            user=f"cf:{process.guid}/{wanted.index}",
            code=code,
            expires_in=call.context.config.ssh.code_s,
            host_key=door.public_key,
            host_key_fingerprint=door.fingerprint,
        )
    )


async def get_switch(call: Call) -> Reply[Switched]:
    """What the organization says, and what counts."""
    with call.context.database.read() as tx:
        organization = find_organization(call, tx)
        row = tx.get(SshSwitch, organization.guid)
    return Reply(body=_present(call, None if row is None else row.allowed))


async def set_switch(call: Call) -> Reply[Switched]:
    """Those who are in go at once when it is forbidden."""
    with call.context.database.read() as tx:
        organization = find_organization(call, tx)
    form = await call.json(Switch)
    return Reply(body=_present(call, await ssh.switch(call.context, call.caller, organization.guid, form.allowed)))


def _present(call: Call, allowed: bool | None) -> Switched:
    default = call.context.config.ssh.allowed_by_default
    return Switched(allowed=allowed, effective=default if allowed is None else allowed)


ORGANIZATION = "/paasd/v1/organizations/<organization>/ssh"
ROUTES: tuple[Route, ...] = (
    post(
        "/paasd/v1/spaces/<organization>/<space>/apps/<app>/ssh", invite, auth=Auth.BASIC, permission="space_developer"
    ),
    get(ORGANIZATION, get_switch, auth=Auth.BASIC),
    patch(ORGANIZATION, set_switch, auth=Auth.BASIC, permission="organization_manager"),
)
