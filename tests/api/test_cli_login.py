"""`cf login`, call by call as the CLI makes them; other commands are in tests/clients/replays."""

import base64
import json
from typing import Any

import httpx

from tests.api.serving import PASSWORD, Served


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


async def test_cf_login(served: Served) -> None:
    headers = {"Host": "api.system.localhost:8443", "X-Forwarded-Proto": "https", "Content-Type": "application/json"}
    async with httpx.AsyncClient(base_url=served.doors.url, headers=headers) as http:
        links = (await http.get("/")).json()["links"]
        assert links["login"]["href"] == "https://login.system.localhost:8443"
        assert links["log_cache"]["href"] == "https://log-cache.system.localhost:8443"
        assert all(link is None or isinstance(link["href"], str) for link in links.values())
        prompts = (await http.get("/login")).json()["prompts"]
        assert set(prompts) == {"username", "password", "passcode"}
        form = {"grant_type": "password", "username": "admin", "password": PASSWORD}
        answer = await http.post(
            "/oauth/token",
            content="&".join(f"{name}={value}" for name, value in form.items()),
            headers={"Content-Type": "application/x-www-form-urlencoded", "Authorization": "Basic Y2Y6"},
        )
        assert answer.status_code == 200, answer.text
        reply = answer.json()
        assert reply["token_type"] == "bearer"
        assert {"access_token", "refresh_token", "expires_in", "scope", "jti"} <= set(reply)
        claims = claims_of(reply["access_token"])
        # The CLI panics when user_name is there and one of the other two is not.
        assert claims["user_name"] == "admin"
        assert claims["user_id"]
        assert claims["origin"] == "uaa"
        assert claims["exp"] > claims["iat"] + 60
        assert "cloud_controller.admin" in claims["scope"]
        assert "revocable" not in claims
        bearer = {"Authorization": f"bearer {reply['access_token']}"}
        organizations = (await http.get("/v3/organizations?order_by=name", headers=bearer)).json()
        guid = organizations["resources"][0]["guid"]
        spaces = await http.get(f"/v3/spaces?organization_guids={guid}&order_by=name", headers=bearer)
        assert [one["name"] for one in spaces.json()["resources"]] == ["dev"]


async def test_wrong_password_is_refused_in_the_words_of_uaa(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.doors.url) as http:
        form = {"grant_type": "password", "username": "admin", "password": "wrong"}
        answer = await http.post("/uaa/oauth/token", data=form, auth=("cf", ""))
    assert answer.status_code == 401
    assert answer.json() == {"error": "unauthorized", "error_description": "Bad credentials"}
