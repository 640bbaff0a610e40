"""Tokens: what is refused, with which words, and what ends a session."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import jwt as jwt_of_others
import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from paasd.auth.guesses import ADDRESS_FACTOR
from paasd.auth.service import OAuthError
from paasd.config import ApiConfig, AuthConfig, Config
from paasd.state import MemoryLog
from tests.api.serving import CHEAP_HASHES, PASSWORD, Served, serve
from tests.api.sign_in import ask_token, events, make_member, make_place, signed_in

INVALID = {"code": 1000, "title": "CF-InvalidAuthToken", "detail": "Invalid Auth Token; sign in again"}
EXPIRED = {**INVALID, "detail": "Invalid Auth Token; it has expired, sign in again"}
NEW = "seven green bottles of rain"
SECRET = "k2Jq0Zx9vB7mLw3T"
MISSING = {"code": 10002, "title": "CF-NotAuthenticated", "detail": "Authentication error"}


async def ask(served: Served, authorization: str | None) -> httpx.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with httpx.AsyncClient(base_url=served.doors.url) as http:
        return await http.get("/v3/organizations", headers=headers)


async def refresh(served: Served, token: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=served.doors.url) as http:
        form = {"grant_type": "refresh_token", "refresh_token": token}
        return await http.post("/uaa/oauth/token", data=form, auth=("cf", ""))


def payload_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def encoded(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


async def test_a_good_token_is_let_in_whatever_the_case_of_bearer(served: Served) -> None:
    token = (await served.login())["access_token"]
    for scheme in ("bearer", "Bearer", "BEARER"):
        assert (await ask(served, f"{scheme} {token}")).status_code == 200


async def test_no_token_and_bad_tokens_have_their_own_errors(served: Served) -> None:
    missing = await ask(served, None)
    assert (missing.status_code, missing.json()["errors"]) == (401, [MISSING])
    reply = await served.login()
    good = reply["access_token"]
    head, body, signature = good.split(".")
    claims = payload_of(good)
    own_key = ECKey.generate_key("P-256", {"kid": json.loads(base64.urlsafe_b64decode(head + "=="))["kid"]})
    public = served.auth.published_keys()[0]
    confused = OctKey.import_key(json.dumps(public).encode())
    bad = {
        "nonsense": "nonsense",
        "cut": good[:-10],
        "other claims": f"{head}.{encoded({**claims, 'user_name': 'root'})}.{signature}",
        "no signature": f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{body}.",
        "own key": jwt.encode({"alg": "ES256", "kid": own_key.kid}, claims, own_key, algorithms=["ES256"]),
        "public key as secret": jwt.encode({"alg": "HS256", "kid": public["kid"]}, claims, confused),
        "refresh token": reply["refresh_token"],
    }
    for name, token in bad.items():
        answer = await ask(served, f"bearer {token}")
        assert (answer.status_code, answer.json()["errors"]) == (401, [INVALID]), name
    basic = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    refused = (await ask(served, f"Basic {basic}")).json()["errors"][0]
    assert (refused["code"], refused["title"]) == (INVALID["code"], INVALID["title"])
    assert refused["detail"].startswith(INVALID["detail"])


async def test_an_access_token_ends_after_its_time_and_the_refresh_token_gives_another(served: Served) -> None:
    reply = await served.login()
    served.clock.ahead_s = served.auth.config.access_token_s + 1
    assert (await ask(served, f"bearer {reply['access_token']}")).json()["errors"] == [EXPIRED]
    answer = await refresh(served, reply["refresh_token"])
    assert answer.status_code == 200, answer.text
    assert (await ask(served, f"bearer {answer.json()['access_token']}")).status_code == 200
    served.clock.ahead_s = served.auth.config.refresh_token_s + 1
    assert (await refresh(served, reply["refresh_token"])).json()["error"] == "invalid_token"


async def test_a_changed_password_ends_every_session_at_once(served: Served) -> None:
    await served.make_user("ada")
    old = await served.login("ada")
    assert (await ask(served, f"bearer {old['access_token']}")).status_code == 200
    async with await served.admin() as http:
        guid = payload_of(old["access_token"])["user_id"]
        answer = await http.put(f"/uaa/Users/{guid}/password", json={"password": NEW})
        assert answer.status_code == 200, answer.text
    assert (await ask(served, f"bearer {old['access_token']}")).json()["errors"] == [INVALID]
    assert (await refresh(served, old["refresh_token"])).status_code == 401
    new = await served.login("ada", NEW)
    assert (await ask(served, f"bearer {new['access_token']}")).status_code == 200


async def test_a_user_changes_only_their_own_password_and_needs_the_old_one(served: Served) -> None:
    ada, bob = await served.make_user("ada"), await served.make_user("bob")
    async with served.client((await served.login("ada"))["access_token"]) as http:
        denied = await http.put(f"/uaa/Users/{bob}/password", json={"password": "x", "oldPassword": PASSWORD})
        assert (denied.status_code, denied.json()["error"]) == (403, "insufficient_scope")
        path = f"/uaa/Users/{ada}/password"
        for old in ({"oldPassword": "no"}, {}):
            wrong = await http.put(path, json={"password": NEW, **old})
            assert (wrong.status_code, wrong.json()["error"]) == (401, "unauthorized")
        weak = await http.put(path, json={"password": "Password2026!", "oldPassword": PASSWORD})
        assert (weak.status_code, weak.json()["error"]) == (422, "invalid_password")
        assert "tried first" in weak.json()["error_description"]
        right = await http.put(path, json={"password": NEW, "oldPassword": PASSWORD})
        assert right.status_code == 200, right.text
    changes = await events(served, "audit.user.password_changed")
    assert [(one["actor"]["name"], one["target"]["name"]) for one in changes] == [("ada", "ada")]


async def test_every_session_of_a_user_ends_at_the_word_of_the_user_or_an_administrator(served: Served) -> None:
    guid, other = await served.make_user("ada"), await served.make_user("bob")
    for name in ("admin", "ada"):
        async with served.client((await served.login(name))["access_token"]) as http:
            sessions = [await served.login("ada") for _ in range(2)]
            ended = await http.delete(f"/uaa/oauth/token/revoke/user/{guid}")
            assert ended.status_code == 200, ended.text
        for session in sessions:
            assert (await ask(served, f"bearer {session['access_token']}")).json()["errors"] == [INVALID]
            assert (await refresh(served, session["refresh_token"])).status_code == 401
    async with served.client((await served.login("ada"))["access_token"]) as http:
        assert (await http.get("/v3/organizations")).status_code == 200
        denied = await http.delete(f"/uaa/oauth/token/revoke/user/{other}")
        assert (denied.status_code, denied.json()["error"]) == (403, "insufficient_scope")
    ends = await events(served, "audit.user.sign_out_everywhere")
    assert [one["actor"]["name"] for one in ends] == ["admin", "ada"]


async def test_published_keys_verify_a_token_without_asking_the_platform(served: Served) -> None:
    """As a program of somebody else does it: PyJWT, which is not what the platform signs with."""
    token = (await served.login())["access_token"]
    async with served.client() as http:
        discovered = (await http.get("/.well-known/openid-configuration")).json()
        keys = (await http.get(discovered["jwks_uri"])).json()
        newest = (await http.get("/token_key")).json()
    assert all("d" not in key for key in keys["keys"])
    head = jwt_of_others.get_unverified_header(token)
    assert head["kid"] == newest["kid"]
    published = jwt_of_others.PyJWKSet.from_dict(keys)[head["kid"]]
    claims = jwt_of_others.decode(
        token,
        published.key,
        algorithms=[key["alg"] for key in keys["keys"]],
        audience="cloud_controller",
        issuer=discovered["issuer"],
        options={"require": ["exp", "iat", "iss", "sub", "aud", "jti"]},
    )
    assert claims["user_name"] == "admin"
    with pytest.raises(jwt_of_others.InvalidAudienceError):
        jwt_of_others.decode(token, published.key, algorithms=["ES256"], audience="somebody else")
    required = {"issuer", "authorization_endpoint", "token_endpoint", "jwks_uri", "response_types_supported"}
    assert required | {"subject_types_supported", "id_token_signing_alg_values_supported"} <= set(discovered)


async def test_keys_change_without_signing_anyone_out_on_another_node_neither(tmp_path: Path) -> None:
    auth = msgspec.structs.replace(CHEAP_HASHES, key_rotate_s=60, key_publish_s=10)
    config, log = Config(api=ApiConfig(port=0, grace_s=1.0), auth=auth), MemoryLog(1)
    async with serve(tmp_path / "one", config, log=log.client()) as one:
        (tmp_path / "two").mkdir(mode=0o700)
        shutil.copy2(tmp_path / "one" / "root-key", tmp_path / "two" / "root-key")
        async with serve(tmp_path / "two", config, log=log.client()) as two:
            before = await one.login()
            for rotation in range(1, 4):
                one.clock.ahead_s = two.clock.ahead_s = 60 * rotation
                await one.auth.refresh_keys()
                await two.context.database.fresh()
                await two.auth.refresh_keys()
                for node in (one, two):
                    answer = await ask(node, f"bearer {before['access_token']}")
                    assert answer.status_code == 200, "rotated away"
                    assert (await refresh(node, before["refresh_token"])).status_code == 200
            after = await two.login()
            assert after["access_token"].split(".")[0] != before["access_token"].split(".")[0]
            assert (await ask(one, f"bearer {after['access_token']}")).status_code == 200
            one.clock.ahead_s = auth.access_token_s + 1
            assert (await ask(one, f"bearer {before['access_token']}")).json()["errors"] == [EXPIRED]


async def test_a_rotated_key_still_verifies_what_it_signed(tmp_path: Path) -> None:
    auth = AuthConfig(hash_memory_kib=64, hash_time_cost=1, key_rotate_s=60, key_publish_s=10)
    async with serve(tmp_path, Config(api=ApiConfig(port=0), auth=auth)) as served:
        before = (await served.login())["access_token"]
        served.clock.ahead_s = 55
        await served.auth.refresh_keys()
        kids = [key["kid"] for key in served.auth.published_keys()]
        assert len(kids) == 2
        assert (await served.login())["access_token"].split(".")[0] == before.split(".")[0]
        served.clock.ahead_s = 75
        after = (await served.login())["access_token"]
        assert after.split(".")[0] != before.split(".")[0]
        for token in (before, after):
            assert (await ask(served, f"bearer {token}")).status_code == 200


async def test_a_client_signs_in_for_itself(served: Served) -> None:
    async with await served.admin() as http:
        body = {"client_id": "ci", "client_secret": SECRET, "authorities": ["cloud_controller.admin"]}
        made = await http.post("/uaa/oauth/clients", json=body)
        assert made.status_code == 201, made.text
    async with httpx.AsyncClient(base_url=served.doors.url) as http:
        form = {"grant_type": "client_credentials", "client_id": "ci", "client_secret": SECRET}
        answer = await http.post("/oauth/token", data=form)
        assert answer.status_code == 200, answer.text
        assert "refresh_token" not in answer.json()
        claims = payload_of(answer.json()["access_token"])
        assert claims["client_id"] == "ci"
        assert "user_name" not in claims
        wrong = await http.post("/oauth/token", data={**form, "client_secret": "no"})
        assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
        other = await http.post("/oauth/token", data={**form, "grant_type": "implicit"})
        assert (other.status_code, other.json()["error"]) == (400, "unsupported_grant_type")
    token = answer.json()["access_token"]
    assert (await ask(served, f"bearer {token}")).status_code == 200
    async with await served.admin() as http:
        [shown] = (await http.get("/oauth/clients")).json()["resources"]
        assert shown["client_id"] == "ci"
        assert "secret" not in str(shown)
        assert (await http.delete("/oauth/clients/ci")).status_code == 200
        assert (await http.delete("/oauth/clients/ci")).status_code == 404
    assert (await ask(served, f"bearer {token}")).status_code == 401
    for kind in ("audit.oauth_client.put", "audit.oauth_client.delete"):
        [event] = await events(served, kind)
        assert (event["actor"]["name"], event["target"]["name"]) == ("admin", "ci")
        assert SECRET not in str(event)


async def test_a_client_has_just_the_scopes_it_was_registered_with(served: Served) -> None:
    reads = {"client_id": "reads", "client_secret": SECRET, "authorities": ["cloud_controller.read"]}
    async with await served.admin() as http:
        assert (await http.post("/uaa/oauth/clients", json=reads)).status_code == 201
        for refused in ({"authorities": ["everything"]}, {"client_secret": "short"}, {"client_id": "cf"}):
            assert (await http.post("/uaa/oauth/clients", json={**reads, **refused})).status_code == 422, refused
    form = {"grant_type": "client_credentials", "client_id": "reads", "client_secret": SECRET}
    reply = await ask_token(served, **form)
    assert reply.json()["scope"] == "cloud_controller.read"
    assert (await ask_token(served, **form, scope="cloud_controller.admin")).json()["error"] == "invalid_scope"
    async with served.client(reply.json()["access_token"]) as http:
        assert (await http.get("/v3/organizations")).status_code == 200
        denied = await http.post("/v3/organizations", json={"name": "x"})
        assert (denied.status_code, denied.json()["errors"][0]["code"]) == (403, 10007)
        assert (await http.get("/Users")).json()["error"] == "insufficient_scope"
    await served.make_user("ada")
    async with served.client((await served.login("ada"))["access_token"]) as http:
        assert (await http.post("/uaa/oauth/clients", json=reads)).status_code == 403


async def test_a_token_that_was_asked_for_reading_changes_nothing(served: Served) -> None:
    place = await make_place(served)
    await make_member(served, "ada", place, "space_developer")
    body = {"name": "web", "relationships": {"space": {"data": {"guid": place[1]}}}}
    for scope, status in (("cloud_controller.read", 403), ("cloud_controller.read cloud_controller.write", 201)):
        async with await signed_in(served, "ada", scope=scope) as http:
            assert (await http.get("/v3/apps")).status_code == 200
            assert (await http.post("/v3/apps", json=body)).status_code == status


async def test_that_an_administrator_came_in_is_recorded_once_an_hour_and_others_write_nothing(served: Served) -> None:
    await served.make_user("ada")

    async def recorded(count: int) -> list[dict[str, Any]]:
        async with served.context.database.watch("audit_events") as changes:
            while len(found := await events(served, "audit.user.sign_in")) < count:
                await changes.wait()
                changes.take()
        return found

    for _ in range(3):
        await served.login("ada")
        await served.login("admin")
    [event] = await recorded(1)
    assert (event["actor"]["name"], event["data"]) == ("admin", {"by": "password", "address": "127.0.0.1"})
    served.clock.ahead_s += 3601
    await served.login("admin")
    assert len(await recorded(2)) == 2


async def test_guessing_the_old_password_has_to_wait_too(tmp_path: Path) -> None:
    auth = msgspec.structs.replace(CHEAP_HASHES, login_failures=3, login_wait_s=60.0)
    async with serve(tmp_path, Config(api=ApiConfig(port=0), auth=auth)) as served:
        ada = await served.make_user("ada")
        async with served.client((await served.login("ada"))["access_token"]) as http:
            path = f"/uaa/Users/{ada}/password"
            for _ in range(3):
                wrong = await http.put(path, json={"password": NEW, "oldPassword": "wrong"})
                assert wrong.json()["error_description"] == "Old password is incorrect"
            locked = await http.put(path, json={"password": NEW, "oldPassword": PASSWORD})
            assert "locked" in locked.json()["error_description"]
            served.clock.ahead_s = 61
            same = await http.put(path, json={"password": PASSWORD, "oldPassword": PASSWORD})
            assert (same.status_code, same.json()["error"]) == (422, "invalid_password")
            assert (await http.put(path, json={"password": NEW, "oldPassword": PASSWORD})).status_code == 200


async def test_guessing_has_to_wait_and_the_right_password_too(tmp_path: Path) -> None:
    auth = AuthConfig(hash_memory_kib=64, hash_time_cost=1, login_failures=3, login_wait_s=60.0)
    async with (
        serve(tmp_path, Config(api=ApiConfig(port=0), auth=auth)) as served,
        httpx.AsyncClient(base_url=served.doors.url) as http,
    ):
        form = {"grant_type": "password", "username": "admin", "password": "wrong"}
        for _ in range(3):
            assert (await http.post("/oauth/token", data=form, auth=("cf", ""))).json()["error"] == "unauthorized"
        locked = await http.post("/oauth/token", data={**form, "password": PASSWORD}, auth=("cf", ""))
        assert locked.status_code == 401
        assert "locked" in locked.json()["error_description"]
        served.clock.ahead_s = 61
        assert (await http.post("/oauth/token", data={**form, "password": PASSWORD}, auth=("cf", ""))).is_success


async def test_a_network_of_ipv6_is_one_guesser(tmp_path: Path) -> None:
    config = AuthConfig(hash_memory_kib=64, hash_time_cost=1, login_failures=1, login_wait_s=60.0)
    async with serve(tmp_path, Config(api=ApiConfig(port=0), auth=config)) as served:
        auth = served.auth
        for number in range(ADDRESS_FACTOR):
            with pytest.raises(OAuthError, match="Bad credentials"):
                await auth.login(f"name{number}", "wrong", f"2001:db8::{number:x}")
        with pytest.raises(OAuthError, match="locked"):
            await auth.login("another", "wrong", "2001:db8::ffff:1")
        with pytest.raises(OAuthError, match="Bad credentials"):
            await auth.login("another", "wrong", "2001:db8:0:1::1")


async def test_wrong_secrets_of_a_client_are_told_and_have_to_wait(tmp_path: Path) -> None:
    config = AuthConfig(hash_memory_kib=64, hash_time_cost=1, login_failures=2, login_wait_s=60.0)
    async with serve(tmp_path, Config(api=ApiConfig(port=0), auth=config)) as served:
        refused: list[tuple[str, str, str]] = []
        served.auth.on_refused = lambda *what: refused.append(what)
        for _ in range(3):
            with pytest.raises(OAuthError):
                await served.auth.client("ci", "wrong", "192.0.2.1")
        assert [one[2] for one in refused] == ["wrong client secret"] * 2 + ["too many wrong secrets"]
        assert {one[:2] for one in refused} == {("192.0.2.1", "ci")}


@pytest.mark.root
async def test_root_needs_no_token_on_the_unix_socket(served: Served) -> None:
    async with served.root_client() as http:
        made = await http.post("/v3/organizations", json={"name": "by-root"})
        assert made.status_code == 201, made.text
        wrong = await http.get("/v3/organizations", headers={"Authorization": "bearer nonsense"})
        assert wrong.status_code == 401
    path = served.doors.unix_path
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600
