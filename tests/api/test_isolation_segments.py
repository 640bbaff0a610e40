"""A platform without isolation segments answers about them as one."""

from tests.api.serving import Served
from tests.api.tenants import make_tenant


async def test_there_are_no_isolation_segments_and_none_can_be_assigned(served: Served) -> None:
    tenant = await make_tenant(served, "one", "manager", "developer")
    organization = f"/v3/organizations/{tenant.organization}/relationships/default_isolation_segment"
    space = f"/v3/spaces/{tenant.space}/relationships/isolation_segment"
    async with await served.admin() as admin, tenant.client("manager") as http, tenant.client("developer") as other:
        assert (await http.get("/v3/isolation_segments?names=a")).json()["resources"] == []
        gone = await http.get("/v3/isolation_segments/none")
        assert (gone.status_code, gone.json()["errors"][0]["detail"]) == (404, "Isolation segment not found")
        bodies = {"POST": {"data": [{"guid": tenant.organization}]}, "PATCH": {"name": "b"}}
        for method, below in (
            ("GET", "/organizations"),
            ("GET", "/relationships/organizations"),
            ("GET", "/relationships/spaces"),
            ("POST", "/relationships/organizations"),
            ("PATCH", ""),
            ("DELETE", ""),
            ("DELETE", f"/relationships/organizations/{tenant.organization}"),
        ):
            missing = await admin.request(method, f"/v3/isolation_segments/none{below}", json=bodies.get(method, {}))
            assert (missing.status_code, missing.json()["errors"][0]) == (404, gone.json()["errors"][0]), missing.text
        assert (await http.post("/v3/isolation_segments", json={"name": "a"})).status_code == 403
        assert (await admin.post("/v3/isolation_segments", json={"name": "a"})).status_code == 422
        for path in (organization, space):
            assert (await http.patch(path, json={"data": None})).json()["data"] is None
            refused = await http.patch(path, json={"data": {"guid": "x"}})
            text = "Unable to assign isolation segment with guid 'x'. Ensure it has been entitled to the organization"
            assert refused.json()["errors"][0]["detail"].startswith(text)
            assert (await other.patch(path, json={"data": None})).status_code == 403
