"""Tokens: what is refused, with which words, and what ends a session."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey

from paasd.config import ApiConfig, AuthConfig, Config
from tests.api.serving import PASSWORD, Served, serve

INVALID = {"code": 1000, "title": "CF-InvalidAuthToken", "detail": "Invalid Auth Token; sign in again"}
EXPIRED = {**INVALID, "detail": "Invalid Auth Token; it has expired, sign in again"}
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
        answer = await http.put(f"/uaa/Users/{guid}/password", json={"password": "another one"})
        assert answer.status_code == 200, answer.text
    assert (await ask(served, f"bearer {old['access_token']}")).json()["errors"] == [INVALID]
    assert (await refresh(served, old["refresh_token"])).status_code == 401
    new = await served.login("ada", "another one")
    assert (await ask(served, f"bearer {new['access_token']}")).status_code == 200


async def test_a_user_changes_only_their_own_password_and_needs_the_old_one(served: Served) -> None:
    ada, bob = await served.make_user("ada"), await served.make_user("bob")
    async with served.client((await served.login("ada"))["access_token"]) as http:
        denied = await http.put(f"/uaa/Users/{bob}/password", json={"password": "x", "oldPassword": PASSWORD})
        assert (denied.status_code, denied.json()["error"]) == (403, "insufficient_scope")
        wrong = await http.put(f"/uaa/Users/{ada}/password", json={"password": "x", "oldPassword": "no"})
        assert wrong.status_code == 401
        right = await http.put(f"/uaa/Users/{ada}/password", json={"password": "x1", "oldPassword": PASSWORD})
        assert right.status_code == 200, right.text


async def test_published_keys_verify_a_token_without_asking_the_platform(served: Served) -> None:
    token = (await served.login())["access_token"]
    async with served.client() as http:
        discovered = (await http.get("/.well-known/openid-configuration")).json()
        keys = (await http.get(discovered["jwks_uri"])).json()
    found = jwt.decode(token, KeySet.import_key_set(keys), algorithms=["ES256"])
    assert found.claims["iss"] == discovered["issuer"]
    assert all("d" not in key for key in keys["keys"])


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
        body = {"client_id": "ci", "client_secret": "s3cret", "authorities": ["cloud_controller.admin"]}
        made = await http.post("/uaa/oauth/clients", json=body)
        assert made.status_code == 201, made.text
    async with httpx.AsyncClient(base_url=served.doors.url) as http:
        form = {"grant_type": "client_credentials", "client_id": "ci", "client_secret": "s3cret"}
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
    assert (await ask(served, f"bearer {answer.json()['access_token']}")).status_code == 200


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
