"""`/passcode`: where a person signs in with a browser, by password or at another provider, and is given a code.

There are no sessions of browsers: each time one signs in, a code is shown, and a client exchanges it for tokens.
"""

from html import escape
from typing import Final

import msgspec

from paasd.actions import passcodes
from paasd.api.answers import Answer, Html
from paasd.api.app import client_address
from paasd.api.call import Call, Reply
from paasd.api.table import Auth, Route, get, post
from paasd.api.uaa.pages import base, check_same_site, error_of, failure, page, passcode_page
from paasd.api.uaa.tokens import read_form
from paasd.auth import DEPLOY_TOKEN
from paasd.auth.service import OAuthError, SignIn
from paasd.errors import Crowded
from paasd.model import User
from paasd.state.sealing import SealingError

PROOF: Final = "sign_in/proof"
PROOF_S: Final = 300


class Proof(msgspec.Struct, frozen=True):
    """That somebody has signed in, but for the second factor; sealed into the form that asks for it."""

    user_guid: str
    until: float


class PasscodeShown(Answer):
    """A code and for how many seconds it counts."""

    passcode: str
    expires_in: int


async def show(call: Call) -> Reply[PasscodeShown] | Reply[Html]:
    """The form; for one with a token, the code at once."""
    if call.header("Authorization"):
        return await for_bearer(call)
    return page(call, form_of(call))


async def for_bearer(call: Call) -> Reply[PasscodeShown]:
    """A code for the owner of a token, as JSON."""
    scheme, _, token = call.header("Authorization").strip().partition(" ")
    if scheme.lower() != "bearer":
        raise OAuthError(401, "unauthorized", "Send an access token, or open this page in a browser")
    await call.context.database.fresh()  # a token that was revoked elsewhere makes no code
    caller = call.platform.auth.caller(token.strip())
    if caller.origin != DEPLOY_TOKEN and not call.platform.auth.is_whole(caller):
        raise OAuthError(403, "insufficient_scope", "A token of fewer scopes than its user has makes no passcode")
    call.signed_in(caller)
    code = await passcodes.create(call.context, caller)
    body = PasscodeShown(passcode=code, expires_in=call.context.config.auth.passcode_s)
    return Reply(body=body, headers={"Cache-Control": "no-store"})


async def answer(call: Call) -> Reply[Html]:
    """What was typed into the form."""
    check_same_site(call)
    form = await read_form(call)
    auth = call.platform.auth
    try:
        if "proof" in form:
            return await _prove(call, form)
        username, password = form.get("username", ""), form.get("password", "")
        signed_in = await auth.login(username, password, client_address(call.request), form.get("code", ""))
    except OAuthError as error:
        return page(call, form_of(call, error.detail), status=error.status)
    except Crowded as error:
        return page(call, form_of(call, error.detail), status=429)
    return await finish(call, signed_in)


async def finish(call: Call, signed_in: SignIn, *, cookie: str = "") -> Reply[Html]:
    """The page with the code, or with the question for the second factor."""
    auth = call.platform.auth
    if not signed_in.with_factor and auth.factors.of(signed_in.user) is not None:
        return page(call, _question(call, signed_in.user), cookie=cookie)
    caller = auth.caller_of(signed_in)
    call.signed_in(caller)
    code = await passcodes.create(call.context, caller)
    return passcode_page(call, code, cookie=cookie)


async def _prove(call: Call, form: dict[str, str]) -> Reply[Html]:
    try:
        opened = call.context.sealer.open(form["proof"], PROOF)
        proof = msgspec.json.decode(opened, type=Proof)
    except (SealingError, msgspec.DecodeError):
        return failure(call, "That form was not made here; sign in again")
    with call.context.database.read() as tx:
        user = tx.get(User, proof.user_guid)
    if user is None or proof.until < call.context.clock():
        return failure(call, "That took too long; sign in again")
    if why := call.platform.auth.accounts.why_shut(user):
        return failure(call, why)
    await call.platform.auth.second_step(user, form.get("code", ""), client_address(call.request))
    return await finish(call, SignIn(user=user, at=int(call.context.clock()), with_factor=True))


def _question(call: Call, user: User) -> str:
    proof = Proof(user_guid=user.guid, until=call.context.clock() + PROOF_S)
    sealed = call.context.sealer.seal(msgspec.json.encode(proof), PROOF)
    return (
        f"<p>Signed in as {escape(user.username)}.</p>"
        f'<form method="post" action="{base(call)}/passcode">'
        f'<input type="hidden" name="proof" value="{escape(sealed)}">'
        f"{_field('code', 'Code of your second factor', 'text', 'one-time-code')}"
        "<button>Go on</button></form>"
    )


def form_of(call: Call, why: str = "") -> str:
    """What is asked of a person: name, password, code; or the way to another provider."""
    providers = "".join(
        f'<p><a class="button" href="{base(call)}/oidc/{name}">Sign in with {escape(provider.label)}</a></p>'
        for name, provider in sorted(call.platform.auth.providers.items())
    )
    return (
        f"{error_of(why)}{providers}"
        f'<form method="post" action="{base(call)}/passcode">'
        f"{_field('username', 'Name', 'text', 'username')}"
        f"{_field('password', 'Password', 'password', 'current-password')}"
        f"{_field('code', 'Code of your second factor, if you have one', 'text', 'one-time-code')}"
        "<button>Sign in</button></form>"
    )


def _field(name: str, label: str, kind: str, autocomplete: str) -> str:
    return (
        f'<label for="{name}">{label}</label>'
        f'<input id="{name}" name="{name}" type="{kind}" autocomplete="{autocomplete}" spellcheck="false">'
    )


PASSCODE_ROUTES: tuple[Route, ...] = tuple(
    route
    for prefix in ("", "/uaa")
    for route in (
        get(f"{prefix}/passcode", show, auth=Auth.NONE, any_query=True, permission="whoever signs in"),
        post(f"{prefix}/passcode", answer, auth=Auth.NONE, any_query=True, permission="whoever signs in"),
    )
)
