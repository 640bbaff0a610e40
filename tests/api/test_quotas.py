"""Quotas over the API: made, changed, applied and taken away, and whom they show themselves to."""

from typing import Any

import httpx

from paasd.api.paasd_v1.quota import COUNTED
from paasd.model import Limits
from tests.api.serving import Served
from tests.api.tenants import make_tenant

EMPTY_ZIP = b"PK\x05\x06" + bytes(18)
APPS = {
    "total_memory_in_mb": 1024,
    "per_process_memory_in_mb": None,
    "total_disk_in_mb": None,
    "per_process_disk_in_mb": None,
    "total_blobs_in_mb": None,
    "total_instances": 3,
    "per_app_tasks": None,
    "log_rate_limit_in_bytes_per_second": None,
}


def data(*guids: str) -> dict[str, Any]:
    return {"data": [{"guid": guid} for guid in guids]}


async def quota_of(http: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    made = await http.post("/v3/organization_quotas", json={"name": "small", **body})
    assert made.status_code == 201, made.text
    return dict(made.json())


async def detail(answer: httpx.Response, status: int = 422) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["errors"][0]["detail"])


async def test_an_organization_quota_is_made_changed_applied_and_deleted(served: Served) -> None:
    async with await served.admin() as http:
        org = (await http.get("/v3/organizations?names=main")).json()["resources"][0]
        assert org["relationships"]["quota"]["data"] == {"guid": "default"}
        made = await quota_of(http, apps={"total_memory_in_mb": 1024, "total_instances": 3}, routes={"total_routes": 5})
        assert made["apps"] == APPS
        assert made["routes"] == {"total_routes": 5, "total_reserved_ports": None}
        assert made["services"]["paid_services_allowed"] is True
        assert made["domains"] == {"total_domains": None}
        path = f"/v3/organization_quotas/{made['guid']}"
        again = await http.post("/v3/organization_quotas", json={"name": "SMALL"})
        assert await detail(again) == "Organization Quota 'SMALL' already exists."
        changes = {"name": "tiny", "apps": {"total_instances": None, "total_disk_in_mb": 7}}
        changed = (await http.patch(path, json=changes)).json()
        assert (changed["name"], changed["apps"]["total_instances"]) == ("tiny", None)
        assert (changed["apps"]["total_memory_in_mb"], changed["apps"]["total_disk_in_mb"]) == (1024, 7)
        applied = await http.post(f"{path}/relationships/organizations", json=data(org["guid"]))
        assert applied.json()["data"] == [{"guid": org["guid"]}]
        assert (await http.get(path)).json()["relationships"]["organizations"] == data(org["guid"])
        found = (await http.get(f"/v3/organization_quotas?organization_guids={org['guid']}")).json()["resources"]
        assert [one["name"] for one in found] == ["tiny"]
        assert [one["name"] for one in (await http.get("/v3/organization_quotas?names=default")).json()["resources"]]
        assert "Apply different quotas" in await detail(await http.delete(path))
        await http.post("/v3/organization_quotas/default/relationships/organizations", json=data(org["guid"]))
        job = await http.delete(path)
        assert job.status_code == 202
        assert (await http.get(job.headers["Location"])).json()["state"] == "COMPLETE"
        assert await detail(await http.get(path), 404) == "Organization quota not found"


async def test_what_is_wrong_with_a_limit_is_said_in_the_words_of_cloud_foundry(served: Served) -> None:
    async with await served.admin() as http:
        for body, text in (
            ({"apps": {"total_instances": -1}}, "Apps Total instances must be greater than or equal to 0"),
            (
                {"apps": {"total_memory_in_mb": 2**31}},
                f"Apps Total memory in mb must be less than or equal to {2**31 - 1}",
            ),
            ({"routes": {"total_routes": "many"}}, "Routes Total routes is not a number"),
            ({"apps": {"colour": 1}}, "Apps Unknown field(s): 'colour'"),
            ({"services": {"paid_services_allowed": 1}}, "Services Paid services allowed must be a boolean"),
            ({"name": ""}, "Name can't be blank"),
            ({"name": "x" * 251}, "Name is too long (maximum is 250 characters)"),
            ({"relationships": {"organizations": data("no")}}, 'Organizations with guids ["no"] do not exist'),
            ({"routes": {"total_routes": 1, "total_reserved_ports": 2}}, "Total reserved ports must be"),
        ):
            answer = await http.post("/v3/organization_quotas", json={"name": "q", **body})
            assert (await detail(answer)).startswith(text)
        # Nothing of what was refused is left.
        assert (await http.get("/v3/organization_quotas?names=q")).json()["pagination"]["total_results"] == 0


async def test_a_manager_limits_the_spaces_of_their_organization_and_no_others(served: Served) -> None:
    one, two = await make_tenant(served, "one"), await make_tenant(served, "two")
    async with one.client("manager") as http, two.client("manager") as other, one.client("developer") as developer:
        wanted = {
            "name": "half",
            "apps": {"total_memory_in_mb": 512},
            "relationships": {"organization": {"data": {"guid": one.organization}}},
        }
        assert await detail(await developer.post("/v3/space_quotas", json=wanted), 403)
        made = await http.post("/v3/space_quotas", json=wanted)
        assert made.status_code == 201, made.text
        guid = made.json()["guid"]
        assert await detail(await http.post("/v3/space_quotas", json=wanted)) == "Space Quota 'half' already exists."
        path = f"/v3/space_quotas/{guid}"
        assert (await developer.get(path)).status_code == 404
        applied = await http.post(f"{path}/relationships/spaces", json=data(one.space))
        assert applied.json()["data"] == [{"guid": one.space}]
        assert (await developer.get(path)).json()["relationships"]["spaces"] == data(one.space)
        space = (await developer.get(f"/v3/spaces/{one.space}")).json()
        assert space["relationships"]["quota"] == {"data": {"guid": guid}}
        assert [
            s["guid"] for s in (await http.get(f"/v3/space_quotas?space_guids={one.space}")).json()["resources"]
        ] == [guid]
        assert await detail(await developer.patch(path, json={"name": "x"}), 403)
        # What another tenant may not see answers as what there is not.
        for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)):
            foreign = await other.request(method, path, json=body)
            nothing = await other.request(method, "/v3/space_quotas/none", json=body)
            assert (
                (foreign.status_code, foreign.content)
                == (nothing.status_code, nothing.content)
                == (404, foreign.content)
            )
        mine = {**wanted, "relationships": {"organization": {"data": {"guid": two.organization}}}}
        theirs = (await other.post("/v3/space_quotas", json=mine)).json()["guid"]
        for guids in (one.space, "none"):
            refused = await other.post(f"/v3/space_quotas/{theirs}/relationships/spaces", json=data(guids))
            text = f'Spaces with guids ["{guids}"] do not exist, or you do not have access to them.'
            assert await detail(refused) == text
        for guids in (one.organization, "none"):
            stolen = {**wanted, "relationships": {"organization": {"data": {"guid": guids}}}}
            text = f"Organization with guid '{guids}' does not exist, or you do not have access to it."
            assert await detail(await other.post("/v3/space_quotas", json=stolen)) == text
        assert "Remove this quota from all spaces" in await detail(await http.delete(path))
        assert (await http.delete(f"{path}/relationships/spaces/{one.space}")).status_code == 204
        assert "Ensure the space quota is applied" in await detail(
            await http.delete(f"{path}/relationships/spaces/{one.space}")
        )
        assert (await http.delete(path)).status_code == 202


async def test_nobody_sees_the_quotas_of_others_not_even_through_a_filter(served: Served) -> None:
    one, two = await make_tenant(served, "one"), await make_tenant(served, "two")
    async with await served.admin() as admin, two.client("manager") as other:
        made = await quota_of(admin, relationships={"organizations": data(one.organization)})
        assert (await other.get(f"/v3/organization_quotas/{made['guid']}")).status_code == 404
        # Both have had the default one; which others have it is not told.
        await admin.post("/v3/organization_quotas/default/relationships/organizations", json=data(one.organization))
        shown = (await other.get("/v3/organization_quotas/default")).json()
        assert shown["relationships"]["organizations"] == data(two.organization)
        filtered = await other.get(f"/v3/organization_quotas?organization_guids={one.organization}")
        assert filtered.json()["resources"] == []
        assert await detail(await other.post("/v3/organization_quotas", json={"name": "mine"}), 403)
        assert await detail(await other.patch("/v3/organization_quotas/default", json={"name": "mine"}), 403)


async def test_what_is_used_is_shown_beside_what_is_refused(served: Served) -> None:
    tenant = await make_tenant(served, "one")
    async with await served.admin() as admin, tenant.client("developer") as http:
        app = await tenant.started_app(served, "dora")
        sizes = served.context.sizes
        await quota_of(
            admin,
            apps={"total_memory_in_mb": 2 * sizes.memory_mb},
            relationships={"organizations": data(tenant.organization)},
        )
        path = f"/v3/apps/{app}/processes/web/actions/scale"
        assert (await http.post(path, json={"instances": 2})).status_code == 202
        refused = await http.post(path, json={"instances": 3})
        assert refused.status_code == 422
        assert refused.json()["errors"] == [
            {"code": 10008, "title": "CF-UnprocessableEntity", "detail": "memory quota_exceeded"}
        ]
        for kind, guid in (("organizations", tenant.organization), ("spaces", tenant.space)):
            used = (await http.get(f"/v3/{kind}/{guid}/usage_summary")).json()["usage_summary"]
            assert (used["memory_in_mb"], used["disk_in_mb"]) == (2 * sizes.memory_mb, 2 * sizes.disk_mb)
            assert used["started_instances"] == 2


async def test_a_space_is_shown_what_it_uses_beside_its_limits_by_name(served: Served) -> None:
    tenant = await make_tenant(served, "one", "developer")
    async with await served.admin() as admin, tenant.client("developer") as http:
        await tenant.started_app(served, "dora")
        await quota_of(admin, apps={"total_instances": 7}, relationships={"organizations": data(tenant.organization)})
        found = (await http.get("/paasd/v1/spaces/one/dev/quota")).json()
        assert (found["organization"]["quota"], found["space"]["quota"]) == ("small", None)
        assert found["organization"]["counted"]["instances"] == {"used": 1, "limit": 7}
        assert found["space"]["counted"]["instances"] == {"used": 1, "limit": None}
        assert set(Limits.__struct_fields__) >= {limit for _, _, limit in COUNTED}


async def test_a_build_of_the_usual_size_has_to_fit_too(served: Served) -> None:
    tenant = await make_tenant(served, "one", "developer")
    async with await served.admin() as admin, tenant.client("developer") as http:
        await quota_of(
            admin, apps={"total_memory_in_mb": 1500}, relationships={"organizations": data(tenant.organization)}
        )
        answers = []
        for name in ("first", "second"):
            space = {"space": {"data": {"guid": tenant.space}}}
            app = (await http.post("/v3/apps", json={"name": name, "relationships": space})).json()["guid"]
            package = {"type": "bits", "relationships": {"app": {"data": {"guid": app}}}}
            guid = (await http.post("/v3/packages", json=package)).json()["guid"]
            files = {"bits": ("bits.zip", EMPTY_ZIP)}
            assert (await http.post(f"/v3/packages/{guid}/upload", files=files)).status_code == 200
            answers.append(await http.post("/v3/builds", json={"package": {"guid": guid}}))
        assert [answer.status_code for answer in answers] == [201, 422]
        text = "organization's memory limit exceeded: staging requires 1024M memory"
        assert answers[1].json()["errors"][0]["detail"] == text
