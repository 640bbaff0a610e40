"""Sign-in at another provider: the browser is sent there, comes back with a code, and is shown a passcode.

What has to be remembered meanwhile (state, nonce, PKCE verifier) is sealed into a cookie of the browser, so that any
node can go on, and nobody can finish in one browser what was begun in another.
"""

import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

import msgspec

from paasd.api.answers import Html
from paasd.api.app import client_address
from paasd.api.call import Call, Reply
from paasd.api.payer import Payer
from paasd.api.table import Auth, Route, get
from paasd.api.uaa.pages import base, failure
from paasd.api.uaa.passcode import finish
from paasd.auth.oidc import ProviderError
from paasd.auth.service import SignIn
from paasd.errors import Unprocessable
from paasd.model.identities import SignInExternally, sign_in_externally
from paasd.state.sealing import SealingError

COOKIE: Final = "paasd_sign_in"
BEGUN: Final = "sign_in/begun"
BEGUN_S: Final = 600
NO_PROVIDER: Final = "There is no such provider; /passcode shows those that there are"


class Begun(msgspec.Struct, frozen=True):
    """A sign-in that was sent to a provider."""

    provider: str
    state: str
    nonce: str
    verifier: str
    until: float


async def begin(call: Call) -> Reply[Html] | Reply[None]:
    """302 to the provider."""
    provider = call.platform.auth.providers.get(call.path["provider"])
    if provider is None:
        return failure(call, NO_PROVIDER, status=400)
    login = call.platform.doors(call.urls)["login"]
    if call.urls.base + base(call) != login:
        # The cookie has to be that of the host to which the provider sends back.
        return Reply(status=302, headers={"Location": f"{login}/oidc/{provider.name}", "Cache-Control": "no-store"})
    begun = Begun(
        provider=provider.name,
        state=secrets.token_urlsafe(24),
        nonce=secrets.token_urlsafe(24),
        verifier=secrets.token_urlsafe(48),
        until=call.context.clock() + BEGUN_S,
    )
    try:
        where = await provider.authorization_url(
            redirect_uri=_redirect_uri(call), state=begun.state, nonce=begun.nonce, verifier=begun.verifier
        )
    except ProviderError as error:
        return failure(call, error.detail, status=502)
    sealed = call.context.sealer.seal(msgspec.json.encode(begun), BEGUN)
    headers = {"Location": where, "Set-Cookie": _cookie(call, sealed, BEGUN_S), "Cache-Control": "no-store"}
    return Reply(status=302, headers=headers)


async def come_back(call: Call) -> Reply[Html] | Reply[None]:
    """What the provider sent the browser back with."""
    provider, query = call.platform.auth.providers.get(call.path["provider"]), call.query.plain
    if provider is None:
        return failure(call, NO_PROVIDER, status=400)
    gone = _cookie(call, "", 0)
    begun = _begun(call)
    if begun is None or begun.provider != provider.name or begun.until < call.context.clock():
        return failure(call, "This sign-in was not begun in this browser, or too long ago", cookie=gone)
    if not hmac.compare_digest(begun.state.encode(), query.get("state", "").encode()):
        return failure(call, "This sign-in was not begun in this browser", cookie=gone)
    if query.get("iss", provider.config.issuer) != provider.config.issuer:
        return failure(call, f"The answer is not of {provider.label}", cookie=gone)
    if "error" in query or not query.get("code"):
        why = query.get("error_description") or query.get("error") or "it sent no code"
        return failure(call, f"{provider.label} did not sign you in: {why[:200]}", cookie=gone)
    address = client_address(call.request)
    try:
        person = await provider.person(
            code=query["code"], redirect_uri=_redirect_uri(call), nonce=begun.nonce, verifier=begun.verifier
        )
        arguments = SignInExternally(
            origin=provider.name,
            subject=person.subject,
            username=person.username,
            email=person.email,
            may_register=provider.config.register,
            address=address,
        )
        call.payer = Payer(f"{person.subject} of {provider.name}")
        user = await call.context.database.write(sign_in_externally, arguments)
    except (ProviderError, Unprocessable) as error:
        call.platform.auth.on_refused(address, provider.name, error.detail)
        return failure(call, error.detail, cookie=gone)
    return await finish(
        call, SignIn(user=user, at=int(call.context.clock()), with_factor=person.with_factor), cookie=gone
    )


def _redirect_uri(call: Call) -> str:
    return f"{call.platform.doors(call.urls)['login']}/oidc/{call.path['provider']}/callback"


def _begun(call: Call) -> Begun | None:
    try:
        morsel = SimpleCookie(call.header("Cookie")).get(COOKIE)
        if morsel is None:
            return None
        return msgspec.json.decode(call.context.sealer.open(morsel.value, BEGUN), type=Begun)
    except (CookieError, SealingError, msgspec.DecodeError):
        return None


def _cookie(call: Call, value: str, life_s: int) -> str:
    secure = "; Secure" if urlsplit(call.urls.base).scheme == "https" else ""
    return f"{COOKIE}={value}; Path=/; Max-Age={life_s}; HttpOnly; SameSite=Lax{secure}"


OIDC_ROUTES: tuple[Route, ...] = tuple(
    route
    for prefix in ("", "/uaa")
    for route in (
        get(f"{prefix}/oidc/<provider>", begin, auth=Auth.NONE, any_query=True, permission="whoever signs in"),
        get(
            f"{prefix}/oidc/<provider>/callback",
            come_back,
            auth=Auth.NONE,
            any_query=True,
            permission="whoever signs in",
        ),
    )
)
