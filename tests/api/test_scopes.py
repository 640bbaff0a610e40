"""A token is good for what it was asked for, and for nothing else: every endpoint, with tokens of every kind."""

import logging
import re
import time
from collections.abc import AsyncIterator
from typing import Final

import pytest
import structlog

from paasd.actions.still_allowed import caller_now
from paasd.api.app import make_app
from paasd.api.platform import Platform
from paasd.api.routes import make_route_table
from paasd.api.scopes import SIGN_IN, sign_in_name
from paasd.api.table import Auth, Route
from paasd.auth.caller import ADMIN_READ_ONLY, GLOBAL_AUDITOR
from paasd.auth.service import SignIn
from paasd.auth.tokens import Client
from tests.api.serving import PASSWORD, Served
from tests.api.sign_in import ask_token
from tests.api.tenants import Tenant, make_tenant
from tests.api.test_deploy_tokens import exchange, make_token
from tests.tenancy.calling import Answer, Api

TABLE: Final = [route for route in make_route_table() if route.auth is not Auth.NONE]
API: Final = ("/v3/", "/paasd/v1/", "/api/v1/", "/networking/v1/")
# What has to be reachable by nobody at all: a client begins here.
OPEN: Final = """
GET / GET /v3 GET /v3/info GET /paasd/v1 GET /paasd/v1/healthz GET /paasd/v1/openapi.json GET /api/v1/info
GET /login POST /oauth/token GET /token_key GET /token_keys GET /.well-known/openid-configuration
GET /oauth/token/.well-known/openid-configuration GET /passcode POST /passcode GET /invitation POST /invitation
GET /oidc/<provider> GET /oidc/<provider>/callback
"""
ONESELF: Final = {"GET /userinfo", "GET /Users/<guid>"}
OWN_PASSWORD: Final = {"PUT /Users/<guid>/password"}
SESSIONS: Final = {"DELETE /oauth/token/revoke/user/<guid>"}


def of_api(method: str = "", path: str = "/") -> set[str]:
    """Endpoints beside sign-in."""
    return {
        sign_in_name(route)
        for route in TABLE
        if route.path.startswith(API) and method in ("", route.method) and route.path.startswith(path)
    }


READS, CALLS, NETWORK = of_api("GET"), of_api(), of_api(path="/networking/")
LISTS: Final = {one for one in SIGN_IN if one.startswith(("GET /Users", "GET /Groups", "GET /oauth/clients"))}
SSH: Final = {"GET /oauth/authorize"}
ROUTING: Final = {"GET /routing/v1/router_groups"}
# What a token reaches, by its scopes.
REACHED: Final[dict[str, set[str]]] = {
    "openid": ONESELF,
    "cloud_controller.read": ONESELF | READS,
    "cloud_controller.write": ONESELF | (CALLS - READS) | SSH,
    "network.write": ONESELF | NETWORK,
    "password.write": ONESELF | OWN_PASSWORD,
    "uaa.user": ONESELF | SESSIONS,
    ADMIN_READ_ONLY: ONESELF | READS | LISTS | ROUTING,
    GLOBAL_AUDITOR: ONESELF | READS | LISTS | ROUTING,
    # Everything that `cf login` gets:
    "": ONESELF | CALLS | SSH | OWN_PASSWORD | SESSIONS,
}


@pytest.fixture
async def api(served: Served) -> AsyncIterator[Api]:
    platform = Platform(served.context, served.auth, served.context.config, "0.0")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield Api(make_app(platform, make_route_table()), served.context.database)
    structlog.reset_defaults()


def refused_for_its_scope(answer: Answer) -> bool:
    """In the words of either API."""
    if answer.status != 403:
        return False
    body = answer.json
    return body.get("error") == "insufficient_scope" or body.get("errors", [{"code": 0}])[0]["code"] == 10007


def address(route: Route, user_guid: str) -> str:
    """Oneself where a user is meant, and nothing that there is otherwise."""
    return re.sub(r"<([a-z_]+)>", lambda found: user_guid if found[1] == "guid" else "none", route.path)


def test_every_endpoint_has_a_rule_and_every_exception_an_endpoint() -> None:
    known = {sign_in_name(route) for route in TABLE}
    assert set(SIGN_IN) <= known
    assert {sign_in_name(route) for route in TABLE if not route.path.startswith(API)} == set(SIGN_IN) | ROUTING
    anybody = {sign_in_name(route) for route in make_route_table() if route.auth is Auth.NONE}
    words = OPEN.split()
    assert anybody == {f"{method} {path}" for method, path in zip(words[::2], words[1::2], strict=True)}


@pytest.mark.parametrize("scope", REACHED)
async def test_a_token_reaches_what_its_scopes_are_for(served: Served, api: Api, scope: str) -> None:
    platform_wide = (scope,) if scope in (ADMIN_READ_ONLY, GLOBAL_AUDITOR) else ()
    guid = await served.make_user("ada", platform_wide)
    wrong = []
    for route in TABLE:
        user = served.auth.find_user("ada")
        assert user is not None
        signed_in = SignIn(user=user, at=int(time.time()))
        token = str(served.auth.grant(Client(client_id="cf"), signed_in, scope.split())["access_token"])
        answer = await api.call(token, route.method, address(route, guid))
        if refused_for_its_scope(answer) is (sign_in_name(route) in REACHED[scope]):
            wrong.append(f"{route.method} {route.path}: {answer.status} {answer.body[:200]}")
    assert "\n".join(wrong) == ""


READ: Final = "cloud_controller.read"


async def tokens_that_only_read(served: Served, tenant: Tenant) -> dict[str, str]:
    """Of each kind that there is, asked for by one who could have had more."""
    secret = "a secret of 16 or more"
    async with tenant.client("developer") as http:
        deploy = await make_token(http, f"/paasd/v1/spaces/{tenant.name}/dev/deploy-tokens")
    async with await served.admin() as admin:
        both = [READ, "cloud_controller.write", "cloud_controller.admin"]
        made = {"client_id": "robot", "client_secret": secret, "authorities": both}
        assert (await admin.post("/oauth/clients", json=made)).status_code == 201
    forms = {
        "user": {"grant_type": "password", "username": f"developer@{tenant.name}", "password": PASSWORD},
        "deploy token": exchange(deploy),
        "client": {"grant_type": "client_credentials", "client_id": "robot", "client_secret": secret},
    }
    found = {}
    for kind, form in forms.items():
        answer = await ask_token(served, **form, scope=READ)
        assert (answer.status_code, answer.json().get("scope")) == (200, READ), (kind, answer.text)
        found[kind] = str(answer.json()["access_token"])
    return found


async def test_a_token_that_was_asked_for_to_read_changes_nothing_whoever_it_stands_for(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "developer")
    app = await tenant.started_app(served, "one")
    change = {"metadata": {"labels": {"a": "b"}}}
    for kind, token in (await tokens_that_only_read(served, tenant)).items():
        caller = caller_now(served.context, served.auth, served.auth.caller(token))
        assert (caller.scopes, caller.admin) == ((READ,), False), kind
        async with served.client(token) as http:
            refused = await http.patch(f"/v3/apps/{app}", json=change)
            assert (refused.status_code, refused.json()["errors"][0]["code"]) == (403, 10007), (kind, refused.text)
            # Not even what it is exchanged for once more, for a connection by ssh.
            authorize = {"client_id": "ssh-proxy", "response_type": "code"}
            assert (await http.get("/oauth/authorize", params=authorize)).status_code == 403, kind
            assert (await http.get("/v3/apps")).status_code == 200, kind
