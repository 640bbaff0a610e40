"""A browser that knows a password sends it with what any page asks for: such calls change nothing."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.api.serving import PASSWORD, Served
from tests.api.tenants import make_tenant

APP = "/paasd/v1/spaces/aaa/dev/apps/one"
CROSS = [
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
]
CALLS = [
    ("developer", "POST", f"{APP}/stop", ""),
    ("developer", "POST", f"{APP}/delete", ""),
    ("developer", "DELETE", APP, ""),
    ("developer", "POST", "/paasd/v1/spaces/aaa/dev/deploy-tokens", '{"name":"evil","role":"space_developer"}'),
    ("developer", "PUT", "/paasd/v1/spaces/aaa/dev/push?name=evil", "x"),
    ("manager", "POST", "/paasd/v1/organizations/aaa/invitations", '{"address":"evil@example.org"}'),
    ("developer", "PATCH", "/v3/apps/aaa-one", '{"name":"evil"}'),
    ("developer", "POST", "/networking/v1/external/policies", '{"policies":[]}'),
    ("cf", "POST", "/uaa/oauth/token", "grant_type=password&username=developer%40aaa&password=guess"),
    ("cf", "POST", "/oauth/token", "grant_type=password&username=developer%40aaa&password=guess"),
    ("developer", "DELETE", "/Users/aaa", ""),
]


@pytest.fixture
async def other(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    tenant = await make_tenant(served, "aaa", "developer", "manager")
    await tenant.started_app(served, "one")
    async with httpx.AsyncClient(base_url=served.doors.url, timeout=20) as http:
        yield http


@pytest.mark.parametrize("headers", CROSS, ids=[" ".join(one.values()) for one in CROSS])
async def test_another_site_changes_nothing_with_a_password_that_a_browser_knows(
    other: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    for name, method, path, body in CALLS:
        who = (name, "") if name == "cf" else (f"{name}@aaa", PASSWORD)
        answer = await other.request(
            method, path, content=body, auth=who, headers={**headers, "Content-Type": "text/plain"}
        )
        assert answer.status_code == 403, (method, path, answer.text)
        assert "another site" in answer.text
    shown = await other.get(APP, auth=("developer@aaa", PASSWORD))
    assert shown.json()["state"] == "STARTED"


async def test_the_platforms_own_pages_and_those_who_are_no_browser_may(
    other: httpx.AsyncClient, served: Served
) -> None:
    who = ("developer@aaa", PASSWORD)
    for headers in ({}, {"Origin": served.doors.url, "Sec-Fetch-Site": "same-origin"}):
        assert (await other.post(f"{APP}/stop", auth=who, headers=headers)).status_code == 200
    token = (await served.login("developer@aaa"))["access_token"]
    cross = {**CROSS[0], "Authorization": f"bearer {token}"}  # which no browser adds by itself
    assert (await other.post(f"{APP}/stop", headers=cross)).status_code == 200
