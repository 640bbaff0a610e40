"""`cf login`, `create-space`, `set-space-role` and `create-user`, call by call as the CLI makes them.

The CLI sends Content-Type on every GET, empty POST bodies, a lower-case `bearer`; "already exists" is success to it.
"""

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


async def test_cf_create_space_grants_its_four_roles_and_twice_is_harmless(served: Served) -> None:
    await served.make_user("maker")
    async with await served.admin() as http:
        organization = (await http.get("/v3/organizations?names=main")).json()["resources"][0]
        body: dict[str, Any] = {
            "name": "staging",
            "relationships": {"organization": {"data": {"guid": organization["guid"]}}},
        }
        made = await http.post("/v3/spaces", json=body)
        assert made.status_code == 201, made.text
        again = await http.post("/v3/spaces", json=body)
        assert again.status_code == 422
        assert again.json()["errors"][0]["detail"] == "Name must be unique per organization"
        user = {"data": {"username": "maker", "origin": "uaa"}}
        space = {"data": {"guid": made.json()["guid"]}}
        in_organization = {"data": {"guid": organization["guid"]}}
        statuses = []
        for role, place in (
            ("organization_user", {"organization": in_organization}),
            ("space_manager", {"space": space}),
            ("organization_user", {"organization": in_organization}),
            ("space_developer", {"space": space}),
        ):
            answer = await http.post("/v3/roles", json={"type": role, "relationships": {"user": user, **place}})
            statuses.append(answer.status_code)
            if answer.status_code == 422:
                text = "User 'maker' already has 'organization_user' role in organization 'main'."
                assert answer.json()["errors"][0]["detail"] == text
        assert statuses == [201, 201, 422, 201]
        roles = (await http.get(f"/v3/roles?space_guids={made.json()['guid']}&include=user")).json()
        assert [one["username"] for one in roles["included"]["users"]] == ["maker"]
        assert {one["type"] for one in roles["resources"]} == {"space_manager", "space_developer"}
    # The positive control of visibility: the new developer sees the one space, and only that.
    async with served.client((await served.login("maker"))["access_token"]) as http:
        assert [one["name"] for one in (await http.get("/v3/spaces")).json()["resources"]] == ["staging"]
        refused = await http.post("/v3/organizations", json={"name": "mine"})
        assert refused.status_code == 403
        assert refused.json()["errors"][0]["code"] == 10003


async def test_cf_create_user_and_delete_user(served: Served) -> None:
    async with await served.admin() as http:
        query = {"filter": 'userName eq "new@example.org" and origin eq "uaa"'}
        assert (await http.get("/uaa/Users", params=query)).json()["totalResults"] == 0
        body = {
            "userName": "new@example.org",
            "password": PASSWORD,
            "origin": "",
            "name": {"familyName": "x", "givenName": "x"},
            "emails": [{"value": "new@example.org", "primary": True}],
        }
        made = await http.post("/uaa/Users", json={**body, "origin": "uaa"})
        assert made.status_code == 201, made.text
        assert (await http.post("/uaa/Users", json={**body, "origin": "uaa"})).status_code == 409
        registered = await http.post("/v3/users", json={"guid": made.json()["id"]})
        assert registered.status_code == 201, registered.text
        assert registered.json()["presentation_name"] == "new@example.org"
        await served.login("new@example.org")
        job = await http.delete(f"/v3/users/{made.json()['id']}")
        assert job.status_code == 202
        assert (await http.get(job.headers["Location"])).json()["state"] == "COMPLETE"
        assert (await http.delete(f"/uaa/Users/{made.json()['id']}")).status_code == 200
        assert (await http.get("/uaa/Users", params=query)).json()["totalResults"] == 0


async def test_org_and_space_pages_of_the_cli_find_everything_they_ask_for(served: Served) -> None:
    async with await served.admin() as http:
        organization = (await http.get("/v3/organizations?names=main")).json()["resources"][0]
        space = (await http.get("/v3/spaces?names=dev")).json()["resources"][0]
        quota = organization["relationships"]["quota"]["data"]["guid"]
        for path in (
            f"/v3/organizations/{organization['guid']}/domains",
            f"/v3/organizations/{organization['guid']}/relationships/default_isolation_segment",
            f"/v3/isolation_segments?organization_guids={organization['guid']}",
            f"/v3/organization_quotas/{quota}",
            f"/v3/space_quotas?organization_guids={organization['guid']}",
            f"/v3/apps?space_guids={space['guid']}&order_by=name",
            f"/v3/service_instances?space_guids={space['guid']}",
            f"/v3/spaces/{space['guid']}/relationships/isolation_segment",
            f"/v3/spaces/{space['guid']}/running_security_groups",
            f"/v3/spaces/{space['guid']}/staging_security_groups",
            f"/v3/spaces/{space['guid']}/features/ssh",
            "/v3/stacks",
            "/v3/buildpacks?order_by=position",
            "/v3/feature_flags",
            "/v3/environment_variable_groups/running",
            "/networking/v1/external/policies",
        ):
            answer = await http.get(path)
            assert answer.status_code == 200, (path, answer.text)
