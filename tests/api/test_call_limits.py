"""One user's calls are counted on each node: Cloud Foundry's headers, its 429, and nobody else waits."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from paasd.api.errors import TooManyRequests
from paasd.api.limits import CallLimits
from paasd.api.payer import Payer
from paasd.config import ApiConfig
from tests.api.serving import PASSWORD, serve, with_api
from tests.api.tenants import Tenant, make_tenant

SSH = {"client_id": "ssh-proxy", "response_type": "code"}
LEFT = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


def refused(answer: httpx.Response) -> str:
    """What the 429 says."""
    assert answer.status_code == 429, answer.text
    [error] = answer.json()["errors"]
    assert (error["code"], error["title"]) == (10013, "CF-RateLimitExceeded")
    assert int(answer.headers["Retry-After"]) >= 1
    return str(error["detail"])


async def test_who_calls_too_often_waits_and_nobody_else_does(tmp_path: Path) -> None:
    async with serve(tmp_path, with_api(calls_per_h=3)) as served:
        tenant = await make_tenant(served, "one", "developer", "auditor")
        async with tenant.client("developer") as http, tenant.client("auditor") as other, await served.admin() as admin:
            answers = [await http.get("/v3/apps") for _ in range(4)]
            assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
            assert "3 calls an hour of this node (api.calls_per_h); try again in 1" in refused(answers[3])
            assert 0 < int(answers[0].headers["X-RateLimit-Reset"]) - served.clock() < 3600
            assert refused(await http.get("/v3/apps/nothing"))
            assert (await other.get("/v3/apps")).status_code == 200
            for _ in range(9):
                assert (await admin.get("/v3/apps")).status_code == 200
            told = (await admin.get("/v3/info")).json()["rate_limits"]
            assert told == {"enabled": True, "general_limit": 3, "reset_interval_in_minutes": 60}
        async with served.root_client() as root:
            for _ in range(9):
                answer = await root.get("/v3/apps")
                assert answer.status_code == 200
                assert not any(name in answer.headers for name in LEFT)


async def test_changes_have_a_limit_of_their_own(tmp_path: Path) -> None:
    async with serve(tmp_path, with_api(changes_per_min=2)) as served:
        tenant = await make_tenant(served, "one", "developer")
        async with tenant.client("developer") as http:
            made = {"relationships": {"space": {"data": {"guid": tenant.space}}}}
            answers = [await http.post("/v3/apps", json={"name": f"app-{one}", **made}) for one in range(3)]
            assert [answer.status_code for answer in answers[:2]] == [201, 201]
            assert "2 changes a minute" in refused(answers[2])
            assert answers[2].headers["X-RateLimit-Limit"] == "2"
            assert (await http.get("/v3/apps")).json()["pagination"]["total_results"] == 2


async def test_a_call_that_writes_is_a_change_though_it_only_reads(tmp_path: Path) -> None:
    async with serve(tmp_path, with_api(changes_per_min=2)) as served:
        tenant = await make_tenant(served, "one", "developer", "manager")
        apps = [await tenant.started_app(served, name) for name in ("a", "b", "c")]
        async with tenant.client("developer") as http, tenant.client("manager") as other:
            answers = [await http.get(f"/v3/apps/{app}/env") for app in apps]
            assert [answer.status_code for answer in answers[:2]] == [200, 200]
            assert "2 changes a minute" in refused(answers[2])
            # What is told already is no write, and who changes nothing reads on.
            assert (await http.get(f"/v3/apps/{apps[0]}/env")).status_code == 200
            assert (await http.get("/v3/apps")).status_code == 200
            assert (await http.get("/oauth/authorize", params=SSH)).status_code == 429
            assert (await other.patch("/v3/organizations/" + tenant.organization, json={})).status_code == 200


async def test_whoever_takes_passcodes_all_the_time_is_counted_though_nobody_needs_to_sign_in(tmp_path: Path) -> None:
    async with serve(tmp_path, with_api(changes_per_day=5)) as served:
        await served.make_user("nobody")
        token = (await served.login("nobody"))["access_token"]
        before, codes = served.context.database.index, []
        async with httpx.AsyncClient(base_url=served.doors.url) as http:

            async def ask() -> httpx.Response:
                return await http.get("/passcode", headers={"Authorization": f"bearer {token}"})

            async def exchange(code: str) -> httpx.Response:
                form = {"grant_type": "password", "passcode": code}
                return await http.post("/oauth/token", data=form, auth=("cf", ""))

            for _ in range(3):
                codes.append((await ask()).json()["passcode"])
            for code in codes[:2]:
                assert (await exchange(code)).status_code == 200
            assert served.context.database.index == before + 5
            for answer in (await ask(), await exchange(codes[2])):
                assert "a user may make 5 changes a day" in refused(answer)
            form = await http.post("/passcode", data={"username": "nobody", "password": PASSWORD})
            assert form.status_code == 429
            assert served.context.database.index == before + 5
            # Another one's codes are another one's changes, from the same address.
            form = await http.post("/passcode", data={"username": "admin", "password": PASSWORD})
            assert form.status_code == 200


async def test_the_people_of_an_organization_share_its_changes_of_a_day_and_others_have_theirs(tmp_path: Path) -> None:
    async with serve(tmp_path, with_api(organization_changes_per_day=3)) as served:
        one, two = (
            await make_tenant(served, "one", "developer", "manager"),
            await make_tenant(served, "two", "developer"),
        )

        def made(tenant: Tenant, name: str) -> dict[str, Any]:
            return {"name": name, "relationships": {"space": {"data": {"guid": tenant.space}}}}

        async with one.client("developer") as http, one.client("manager") as same, two.client("developer") as other:
            for name in ("a", "b", "c"):
                assert (await http.post("/v3/apps", json=made(one, name))).status_code == 201
            text = (
                "the people of an organization may make 3 changes a day of this node (api.organization_changes_per_day)"
            )
            for client in (http, same):
                assert text in refused(await client.post("/v3/apps", json=made(one, "d")))
            assert (await http.get("/v3/apps")).status_code == 200
            assert (await other.post("/v3/apps", json=made(two, "a"))).status_code == 201


def test_a_change_counts_for_one_organization_of_the_caller_that_has_some_left() -> None:
    config = ApiConfig(organization_changes_per_day=1, changes_per_day=3)
    limits = CallLimits(config, lambda: 0.0, lambda: 0.0)
    both, first = Payer("ann", lambda: ["one", "two"]), Payer("bob", lambda: ["one"])
    limits.count(first, "POST")
    limits.count(both, "POST")
    with pytest.raises(TooManyRequests, match="the people of an organization"):
        limits.count(both, "POST")
    limits.count(both, "GET")
    with pytest.raises(TooManyRequests, match="a user may make 3 changes a day"):
        for _ in range(2):
            limits.count(Payer("ann"), "POST")


def test_what_was_used_up_comes_back_with_time() -> None:
    now = [100.0]
    limits = CallLimits(
        ApiConfig(calls_per_h=3600, changes_per_min=0, changes_per_day=0), lambda: now[0], lambda: 1_000_000.0
    )
    caller = Payer("ann")
    for _ in range(3600):
        headers = limits.count(caller, "POST")
    assert headers["X-RateLimit-Remaining"] == "0"
    assert headers["X-RateLimit-Reset"] == str(1_000_000 + 3600)
    now[0] += 60
    assert limits.count(caller, "GET")["X-RateLimit-Remaining"] == "59"
    assert limits.count(Payer("root", free=True), "GET") == {}
    assert CallLimits(ApiConfig(calls_per_h=0), lambda: 0.0, lambda: 0.0).count(caller, "GET") == {}
