"""A manifest maps a route that another space shares with this one, and no other route of that space."""

from typing import Any

import httpx

from tests.api.serving import Served
from tests.api.tenants import make_tenant

YAML = {"Content-Type": "application/x-yaml"}


async def test_a_manifest_maps_a_route_that_is_shared_with_the_space(served: Served) -> None:
    tenant = await make_tenant(served, "one", "developer")
    async with await served.admin() as admin:
        await admin.patch("/v3/feature_flags/route_sharing", json={"enabled": True})
        in_one = {"organization": {"data": {"guid": tenant.organization}}}
        other = (await admin.post("/v3/spaces", json={"name": "other", "relationships": in_one})).json()["guid"]
        [domain] = (await admin.get("/v3/domains?names=apps.localhost")).json()["resources"]

        async def route(host: str) -> str:
            relations = {"space": {"data": {"guid": other}}, "domain": {"data": {"guid": domain["guid"]}}}
            made = await admin.post("/v3/routes", json={"host": host, "relationships": relations})
            assert made.status_code == 201, made.text
            return str(made.json()["guid"])

        shared, kept = await route("shared"), await route("kept")
        share = await admin.post(
            f"/v3/routes/{shared}/relationships/shared_spaces", json={"data": [{"guid": tenant.space}]}
        )
        assert share.is_success, share.text

        async def mapped(guid: str) -> int:
            return len((await admin.get(f"/v3/routes/{guid}/destinations")).json()["destinations"])

        async with tenant.client("developer") as http:
            foreign = await applied(http, tenant.space, "[{route: kept.apps.localhost}]")
            assert "belongs to another space" in foreign["errors"][0]["detail"]
            changing = "[{route: shared.apps.localhost, options: {loadbalancing: least-connection}}]"
            refused = await applied(http, tenant.space, changing)
            assert "are set in the space that shares it" in refused["errors"][0]["detail"]
            assert (await mapped(shared), await mapped(kept)) == (0, 0)
            for _ in range(2):
                job = await applied(http, tenant.space, "[{route: shared.apps.localhost}]")
                assert (job["state"], job["errors"]) == ("COMPLETE", [])
                assert (await mapped(shared), await mapped(kept)) == (1, 0)


async def applied(http: httpx.AsyncClient, space: str, routes: str) -> dict[str, Any]:
    """The job of a manifest with these routes."""
    text = f"applications: [{{name: dora, routes: {routes}}}]"
    answer = await http.post(f"/v3/spaces/{space}/actions/apply_manifest", content=text, headers=YAML)
    found: dict[str, Any] = (await http.get(answer.headers["Location"])).json()
    return found
