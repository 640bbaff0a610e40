"""No body, however long its lists are, keeps the loop of a node from everybody else."""

import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio

from tests.api.serving import Served
from tests.api.tenants import Tenant, make_tenant

BODY_BYTES = 2 * 1024 * 1024 - 100
MANIFEST_BYTES = 128 * 1024 - 100
STILL_S = 0.5
"""Processor time of the loop's thread from one turn to the next: what else runs on the machine does not count."""


@asynccontextmanager
async def looked_at() -> AsyncIterator[None]:
    """Fails when the loop stands still meanwhile."""
    longest = 0.0

    async def look() -> None:
        nonlocal longest
        while True:
            began = time.thread_time()
            await trio.sleep(0.002)
            longest = max(longest, time.thread_time() - began)

    gc.collect()
    gc.freeze()  # what a collection goes through is this test's, and not of all those before
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            yield
            nursery.cancel_scope.cancel()
    finally:
        gc.unfreeze()
    assert longest < STILL_S, f"the loop stood still for {longest:.2f} s"


def many(one: Any) -> list[Any]:
    """As many of it as a body holds."""
    return [one] * ((BODY_BYTES - 200) // (len(msgspec.json.encode(one)) + 1))


def named(value: Any) -> dict[str, Any]:
    return {f"n{number}": value for number in range((BODY_BYTES - 200) // (len(msgspec.json.encode(value)) + 12))}


async def calls(served: Served, tenant: Tenant) -> dict[str, tuple[str, str, str, Any]]:
    """Who calls what with which body."""
    app = await tenant.started_app(served, "one")
    async with tenant.client("developer") as http:
        domain = (await http.get("/v3/domains?names=apps.localhost")).json()["resources"][0]["guid"]
        place = {"space": {"data": {"guid": tenant.space}}, "domain": {"data": {"guid": domain}}}
        route = (await http.post("/v3/routes", json={"host": "h", "relationships": place})).json()["guid"]
    async with await served.admin() as http:
        group = (await http.post("/v3/security_groups", json={"name": "g"})).json()["guid"]
        quota = (await http.post("/v3/organization_quotas", json={"name": "q"})).json()["guid"]
    policy = {"source": {"id": app}, "destination": {"id": app, "protocol": "tcp", "ports": {"start": 1, "end": 2}}}
    space, one = {"guid": tenant.space}, f"/v3/routes/{route}/destinations"
    to = {"destinations": many({"app": {"guid": app}})}
    return {
        "added destinations": ("developer", "POST", one, to),
        "replaced destinations": ("developer", "PATCH", one, to),
        "policies": ("developer", "POST", "/networking/v1/external/policies", {"policies": many(policy)}),
        "invited spaces": (
            *("manager", "POST", "/paasd/v1/organizations/aaa/invitations"),
            {"address": "a@example.org", "spaces": named(["space_developer"])},
        ),
        "invited roles": (
            *("manager", "POST", "/paasd/v1/organizations/aaa/invitations"),
            {"address": "a@example.org", "organization_roles": many("organization_manager")},
        ),
        "variables": ("developer", "PATCH", f"/v3/apps/{app}/environment_variables", {"var": named(None)}),
        "labels": ("developer", "PATCH", f"/v3/apps/{app}", {"metadata": {"labels": named(None)}}),
        "buildpacks": (
            *("developer", "PATCH", f"/v3/apps/{app}"),
            {"lifecycle": {"type": "buildpack", "data": {"buildpacks": many("go")}}},
        ),
        "types of a sidecar": (
            *("developer", "POST", f"/v3/apps/{app}/sidecars"),
            {"name": "s", "command": "c", "process_types": many("web")},
        ),
        "spaces of a group": (
            "admin",
            "POST",
            f"/v3/security_groups/{group}/relationships/running_spaces",
            {"data": many(space)},
        ),
        "rules of a group": (
            *("admin", "PATCH", f"/v3/security_groups/{group}"),
            {"rules": many({"protocol": "all", "destination": "10.0.0.0/8"})},
        ),
        "organizations of a quota": (
            "admin",
            "POST",
            f"/v3/organization_quotas/{quota}/relationships/organizations",
            {"data": many({"guid": tenant.organization})},
        ),
        "members": ("admin", "POST", "/uaa/Users", {"userName": "x", "emails": many({"value": "a@b"})}),
        "authorities": ("admin", "POST", "/uaa/oauth/clients", {"client_id": "x", "authorities": many("a.b")}),
    }


@pytest.fixture
async def tenant(served: Served) -> Tenant:
    return await make_tenant(served, "aaa", "developer", "manager")


async def test_a_list_as_long_as_a_body_may_be_stops_nobody_else(served: Served, tenant: Tenant) -> None:
    for name, (who, method, path, body) in (await calls(served, tenant)).items():
        raw = msgspec.json.encode(body)
        assert len(raw) > BODY_BYTES // 2
        async with await served.admin() if who == "admin" else tenant.client(who) as http:
            http.timeout = 100
            async with looked_at():
                answer = await http.request(method, path, content=raw)
        assert answer.status_code in (400, 422), (name, answer.status_code, answer.text[:300])


@pytest.mark.parametrize("call", ["apply_manifest", "diff"])
async def test_nor_does_a_manifest(served: Served, tenant: Tenant, call: str) -> None:
    path = {"apply_manifest": "actions/apply_manifest", "diff": "manifest_diff"}[call]
    apps = "applications:\n" + "".join(f"- name: a{number}\n" for number in range(5000))
    values = f"applications: [{{name: a, env: {{a: [{', '.join(['x'] * (MANIFEST_BYTES // 3 - 40))}]}}}}]"
    async with tenant.client("developer") as http:
        for text in (apps, values):
            assert MANIFEST_BYTES // 2 < len(text) < MANIFEST_BYTES
            async with looked_at():
                await http.post(
                    f"/v3/spaces/{tenant.space}/{path}", content=text, headers={"Content-Type": "application/x-yaml"}
                )
