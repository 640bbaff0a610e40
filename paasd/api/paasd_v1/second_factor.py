"""Second factors: one's own, that of others for administrators, and which organizations demand one."""

from paasd.actions import second_factor as actions
from paasd.api.answers import Answer
from paasd.api.call import Call, Form, Reply, created, no_content
from paasd.api.paasd_v1.names import find_organization
from paasd.api.query import QuerySpec
from paasd.api.table import Auth, Route, delete, get, post, put

MINE = "/paasd/v1/me/second-factor"
DEMAND = "/paasd/v1/organizations/<organization>/second-factor"


class CodeForm(Form):
    """A code of the authenticator, or where one counts a recovery code."""

    code: str


class EnrolForm(Form):
    """The password, unless one has signed in within five minutes."""

    password: str | None = None


class DemandForm(Form):
    """Whether an organization is shown to those with a second factor alone."""

    demanded: bool


class Standing(Answer):
    """Whether the caller has a second factor, and has signed in with it."""

    enrolled: bool
    recovery_codes_left: int
    signed_in_with_it: bool


class Enrolment(Answer):
    """What an authenticator wants to know."""

    secret: str
    uri: str


class RecoveryCodes(Answer):
    """Each counts once."""

    recovery_codes: list[str]


class Demand(Answer):
    """Whether the organization demands a second factor."""

    demanded: bool


async def show(call: Call) -> Reply[Standing]:
    """Whether the caller has one."""
    factor = actions.standing(call.context, call.caller)
    confirmed = factor is not None and factor.confirmed
    left = len(factor.recovery_hashes) if factor is not None else 0
    shown = call.caller.with_factor
    return Reply(body=Standing(enrolled=confirmed, recovery_codes_left=left, signed_in_with_it=shown))


async def enrol(call: Call) -> Reply[Enrolment]:
    """201 with what the authenticator wants to know, shown this once."""
    form = await call.json(EnrolForm)
    secret, uri = await actions.enrol(call.context, call.caller, call.platform.auth, form.password)
    return created(Enrolment(secret=secret, uri=uri))


async def confirm(call: Call) -> Reply[RecoveryCodes]:
    """The recovery codes, shown this once. From now on signing in wants a code; sessions from before end."""
    form = await call.json(CodeForm)
    codes = await actions.confirm(call.context, call.caller, call.platform.auth, form.code)
    return Reply(body=RecoveryCodes(recovery_codes=codes))


async def renew(call: Call) -> Reply[RecoveryCodes]:
    """New recovery codes instead of the old ones."""
    form = await call.json(CodeForm)
    codes = await actions.renew_recovery_codes(call.context, call.caller, call.platform.auth, form.code)
    return Reply(body=RecoveryCodes(recovery_codes=codes))


async def remove(call: Call) -> Reply[None]:
    """Take one's own away."""
    form = await call.json(CodeForm)
    await actions.remove(call.context, call.caller, call.platform.auth, form.code)
    return no_content()


async def reset(call: Call) -> Reply[None]:
    """Take somebody's away who lost it."""
    await actions.reset(call.context, call.caller, call.path["user"], call.query.plain.get("origin"))
    return no_content()


async def show_demand(call: Call) -> Reply[Demand]:
    """Whether the organization demands one."""
    return Reply(body=Demand(demanded=actions.demanded(call.context, call.caller, _organization(call))))


async def change_demand(call: Call) -> Reply[Demand]:
    """Demand one, or no longer."""
    form = await call.json(DemandForm)
    await actions.demand(call.context, call.caller, _organization(call), wanted=form.demanded)
    return Reply(body=Demand(demanded=form.demanded))


def _organization(call: Call) -> str:
    with call.context.database.read() as tx:
        return find_organization(call, tx).guid


ROUTES: tuple[Route, ...] = (
    get(MINE, show, auth=Auth.BASIC, permission="oneself"),
    post(MINE, enrol, auth=Auth.BASIC, permission="oneself"),
    post(f"{MINE}/actions/confirm", confirm, auth=Auth.BASIC, permission="oneself"),
    post(f"{MINE}/actions/renew-recovery-codes", renew, auth=Auth.BASIC, permission="oneself"),
    post(f"{MINE}/actions/remove", remove, auth=Auth.BASIC, permission="oneself"),
    delete(
        "/paasd/v1/users/<user>/second-factor",
        reset,
        QuerySpec(plain=("origin",)),
        auth=Auth.BASIC,
        permission="admin",
    ),
    get(DEMAND, show_demand, auth=Auth.BASIC),
    put(DEMAND, change_demand, auth=Auth.BASIC, permission="organization_manager"),
)
