"""Login prompts, the token endpoint, the published keys and discovery."""

from urllib.parse import parse_qsl, unquote_plus

import msgspec

from paasd.actions import clients
from paasd.api.answers import Nothing
from paasd.api.app import basic_credentials, client_address
from paasd.api.call import Call, Reply
from paasd.api.table import Auth, Route, delete, get, post
from paasd.api.uaa.answers import (
    ClientGone,
    Clients,
    ClientShown,
    Discovery,
    KeySet,
    Login,
    LoginLinks,
    PublicKey,
    TokenShown,
    UserInfo,
    Version,
)
from paasd.api.whom import PLATFORM_READERS
from paasd.auth.passwords import Asker
from paasd.auth.service import OAuthError
from paasd.auth.tokens import Client
from paasd.errors import BadRequest, Unavailable, Unprocessable
from paasd.packing import UNREADABLE

SECRET_SHORTEST = 16
FORM_LIMIT_BYTES = 64 * 1024
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class Hint(msgspec.Struct):
    """What a client says of the user before it has signed in."""

    origin: str = "uaa"


async def login(call: Call) -> Reply[Login]:
    """The prompts that a client shows before it asks for a token."""
    doors = call.platform.doors(call.urls)
    return Reply(
        body=Login(
            app=Version(version="77.0.0"),
            commit_id="paasd",
            links=LoginLinks(uaa=doors["uaa"], login=doors["login"]),
            zone_name="uaa",
            entityID=doors["login"],
            idpDefinitions=Nothing(),
            prompts={
                "username": ("text", "Email"),
                "password": ("password", "Password"),
                "passcode": ("password", f"Temporary Authentication Code ( Get one at {doors['login']}/passcode )"),
            },
        )
    )


async def token(call: Call) -> Reply[TokenShown]:
    """`POST /oauth/token`: grant types password, refresh_token and client_credentials."""
    form = await read_form(call)
    # Some clients put the grant into the query string; secrets are taken from the body alone.
    grant = form.get("grant_type", "")
    client = await _client(call, form)
    scopes = form.get("scope", "").split()
    if grant not in client.grants:
        known = ("password", "refresh_token", "client_credentials")
        error = "unauthorized_client" if grant in known else "unsupported_grant_type"
        status = 401 if grant in known else 400
        raise OAuthError(status, error, f"Unauthorized grant type: {grant}" if grant else "Missing grant type")
    auth = call.platform.auth
    match grant:
        case "password" if "passcode" in form:
            signed_in = await auth.passcode(form["passcode"], client_address(call.request), call.signed_in)
            reply = auth.grant(client, signed_in, scopes)
        case "password" if (elsewhere := _origin(call, form)) != "uaa":
            raise OAuthError(401, "unauthorized", f"Users of {elsewhere[:80]} sign in by browser: `cf login --sso`")
        case "password":
            username, password = form.get("username", ""), form.get("password", "")
            if not username or not password:
                raise OAuthError(401, "unauthorized", "Bad credentials")
            code = form.get("mfaCode") or form.get("mfa_code") or ""
            address = client_address(call.request)
            reply = await auth.password_grant(client, username, password, address, scopes, code)
        case "refresh_token":
            reply = auth.refresh_grant(client, form.get("refresh_token", ""))
        case _:
            reply = auth.client_grant(client, scopes)
    return Reply(body=msgspec.convert(reply, TokenShown), headers=NO_STORE)


def _origin(call: Call, form: dict[str, str]) -> str:
    """Where the client thinks that the user has an account: `login_hint={"origin":"..."}`."""
    hint = call.query.plain.get("login_hint") or form.get("login_hint") or "{}"
    try:
        return msgspec.json.decode(hint, type=Hint).origin or "uaa"
    except UNREADABLE:
        return "uaa"


async def _client(call: Call, form: dict[str, str]) -> Client:
    scheme, _, encoded = call.header("Authorization").strip().partition(" ")
    if scheme.lower() == "basic":
        try:
            name, secret = basic_credentials(encoded.strip())
        except BadRequest as error:
            raise OAuthError(401, "invalid_client", error.detail) from error
        name, secret = unquote_plus(name), unquote_plus(secret)
    elif "client_id" in form:
        name, secret = form["client_id"], form.get("client_secret", "")
    else:
        raise OAuthError(401, "unauthorized", "An Authentication object was not found: send the client by Basic")
    return await call.platform.auth.client(name, secret, client_address(call.request))


async def read_form(call: Call) -> dict[str, str]:
    """The form in the body. Raises OAuthError 400."""
    # Strangers reach this, so it takes no more than a form with a long token needs.
    call.body.limit_bytes = FORM_LIMIT_BYTES
    raw = await call.body.read()
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=100)
    except (UnicodeDecodeError, ValueError) as error:
        raise OAuthError(400, "invalid_request", "The body is not a form") from error
    return dict(pairs)


async def token_keys(call: Call) -> Reply[KeySet]:
    """The public keys as a JWK set, for programs that verify tokens themselves."""
    keys = msgspec.convert(call.platform.auth.published_keys(), list[PublicKey])
    return Reply(body=KeySet(keys=keys), headers={"Cache-Control": "max-age=300"})


async def token_key(call: Call) -> Reply[PublicKey]:
    """The newest public key."""
    keys = call.platform.auth.published_keys()
    if not keys:
        raise Unavailable("There is no token-signing key yet; try again in a moment")
    return Reply(body=msgspec.convert(keys[0], PublicKey))


async def discovery(call: Call) -> Reply[Discovery]:
    """OpenID discovery: codes are for ssh's client alone, and there are no ID tokens, whose field it has to have."""
    uaa = call.platform.doors(call.urls)["uaa"]
    return Reply(
        body=Discovery(
            issuer=call.platform.auth.tokens.issuer,
            authorization_endpoint=f"{uaa}/oauth/authorize",
            token_endpoint=f"{uaa}/oauth/token",
            jwks_uri=f"{uaa}/token_keys",
            userinfo_endpoint=f"{uaa}/userinfo",
            grant_types_supported=["password", "refresh_token", "client_credentials"],
            token_endpoint_auth_methods_supported=["client_secret_basic", "client_secret_post"],
            id_token_signing_alg_values_supported=[],
            response_types_supported=["code"],
            subject_types_supported=["public"],
            scopes_supported=["openid", "cloud_controller.read", "cloud_controller.write"],
        )
    )


async def userinfo(call: Call) -> Reply[UserInfo]:
    """Who the token is about."""
    caller = call.caller
    return Reply(body=UserInfo(sub=caller.user_guid, user_id=caller.user_guid, user_name=caller.username))


class NewClient(msgspec.Struct, kw_only=True):
    """Body of `POST /oauth/clients`; fields of UAA that mean nothing here are passed over."""

    client_id: str
    client_secret: str
    authorities: list[str] = []
    authorized_grant_types: tuple[str, ...] = ("client_credentials",)


async def create_client(call: Call) -> Reply[ClientShown]:
    """Register a client that signs in for itself; platform administrators only."""
    form = await call.json(NewClient)
    if form.authorized_grant_types != ("client_credentials",):
        raise Unprocessable("Only clients with the single grant type client_credentials can be registered")
    clients.check(call.caller, form.client_id, tuple(form.authorities))
    if len(form.client_secret) < SECRET_SHORTEST:
        raise Unprocessable(
            f"client_secret has at least {SECRET_SHORTEST} characters; `openssl rand -hex 24` makes one"
        )
    here = Asker(address=client_address(call.request), known=True)
    secret_hash = await call.platform.auth.passwords.hash(form.client_secret, here)
    made = await clients.register(call.context, call.caller, form.client_id, secret_hash, tuple(form.authorities))
    return Reply(status=201, body=_present_client(made))


def _present_client(client: Client) -> ClientShown:
    return ClientShown(
        client_id=client.client_id,
        authorities=list(client.scopes),
        scope=["uaa.none"],
        authorized_grant_types=list(client.grants),
    )


async def list_clients(call: Call) -> Reply[Clients]:
    """Registered clients; never their secrets."""
    found = [_present_client(client) for client in clients.listed(call.context, call.caller)]
    return Reply(body=Clients(resources=found, startIndex=1, itemsPerPage=len(found), totalResults=len(found)))


async def delete_client(call: Call) -> Reply[ClientGone]:
    """Its tokens end with it."""
    await clients.delete(call.context, call.caller, call.path["client_id"])
    return Reply(body=ClientGone(client_id=call.path["client_id"]))


TOKEN_ROUTES: tuple[Route, ...] = tuple(
    route
    for prefix in ("", "/uaa")
    for route in (
        get(f"{prefix}/login", login, auth=Auth.NONE, any_query=True),
        post(f"{prefix}/oauth/token", token, auth=Auth.NONE, any_query=True),
        get(f"{prefix}/token_keys", token_keys, auth=Auth.NONE, any_query=True),
        get(f"{prefix}/token_key", token_key, auth=Auth.NONE, any_query=True),
        get(f"{prefix}/.well-known/openid-configuration", discovery, auth=Auth.NONE, any_query=True),
        get(f"{prefix}/oauth/token/.well-known/openid-configuration", discovery, auth=Auth.NONE, any_query=True),
        get(f"{prefix}/userinfo", userinfo, any_query=True),
        get(f"{prefix}/oauth/clients", list_clients, any_query=True, permission=PLATFORM_READERS),
        post(f"{prefix}/oauth/clients", create_client, any_query=True, permission="admin"),
        delete(f"{prefix}/oauth/clients/<client_id>", delete_client, any_query=True, permission="admin"),
    )
)
