"""The calls of `cf` for quotas, tasks, buildpacks, flags and groups, command by command, with what it reads."""

from typing import Any

import httpx

from tests.api.serving import Served
from tests.api.tenants import make_tenant


class Cf:
    """What the CLI does with answers: lists by name, jobs polled to their end, "already exists" taken for success."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def call(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = await self.http.request(method, f"/v3/{path}", json=body)
        assert answer.status_code == status, answer.text
        if "Location" in answer.headers:
            job = (await self.http.get(answer.headers["Location"])).json()
            assert (job["state"], job["errors"]) == ("COMPLETE", [])
        return answer.json() if answer.content else None

    async def one(self, path: str) -> dict[str, Any]:
        found = (await self.call("GET", path))["resources"]
        assert len(found) == 1, found
        return dict(found[0])

    async def detail(self, method: str, path: str, body: Any = None, status: int = 422) -> str:
        return str((await self.call(method, path, body, status))["errors"][0]["detail"])


async def test_cf_org_quota_commands(served: Served) -> None:
    async with await served.admin() as http:
        cf = Cf(http)
        # cf create-org-quota small -m 2G -i 512M -r 10 -s 3 -a 8 --allow-paid-service-plans --reserved-route-ports 2
        wanted = {
            "name": "small",
            "apps": {"total_memory_in_mb": 2048, "per_process_memory_in_mb": 512, "total_instances": 8},
            "services": {"total_service_instances": 3, "paid_services_allowed": True},
            "routes": {"total_routes": 10, "total_reserved_ports": 2},
        }
        await cf.call("POST", "organization_quotas", wanted, 201)
        taken = await cf.detail("POST", "organization_quotas", wanted)
        assert taken == "Organization Quota 'small' already exists."
        # cf set-quota main small
        organization = (await cf.one("organizations?names=main"))["guid"]
        quota = (await cf.one("organization_quotas?names=small"))["guid"]
        data = {"data": [{"guid": organization}]}
        await cf.call("POST", f"organization_quotas/{quota}/relationships/organizations", data)
        # cf org main
        shown = await cf.one("organizations?names=main")
        assert (await cf.call("GET", f"organization_quotas/{shown['relationships']['quota']['data']['guid']}"))[
            "name"
        ] == "small"
        # cf update-org-quota small -n tiny -m 1G -a -1
        change = {"name": "tiny", "apps": {"total_memory_in_mb": 1024, "total_instances": None}}
        changed = await cf.call("PATCH", f"organization_quotas/{quota}", change)
        assert changed["apps"]["per_process_memory_in_mb"] == 512
        # cf delete-org-quota tiny
        await cf.call("POST", "organization_quotas/default/relationships/organizations", data)
        await cf.call("DELETE", f"organization_quotas/{quota}", status=202)
        assert await cf.detail("GET", f"organization_quotas/{quota}", status=404) == "Organization quota not found"


async def test_cf_space_quota_commands(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "manager")
    async with tenant.client("manager") as http:
        cf = Cf(http)
        # cf create-space-quota half -m 1G
        owner = {"organization": {"data": {"guid": tenant.organization}}}
        wanted = {"name": "half", "apps": {"total_memory_in_mb": 1024}, "relationships": owner}
        await cf.call("POST", "space_quotas", wanted, 201)
        # cf set-space-quota dev half, cf space dev
        space = await cf.one(f"spaces?names=dev&organization_guids={tenant.organization}")
        quota = await cf.one(f"space_quotas?names=half&organization_guids={tenant.organization}")
        data = {"data": [{"guid": space["guid"]}]}
        await cf.call("POST", f"space_quotas/{quota['guid']}/relationships/spaces", data)
        shown = await cf.one(f"spaces?names=dev&organization_guids={tenant.organization}")
        assert shown["relationships"]["quota"]["data"]["guid"] == quota["guid"]
        # cf unset-space-quota dev half, cf delete-space-quota half
        await cf.call("DELETE", f"space_quotas/{quota['guid']}/relationships/spaces/{space['guid']}", status=204)
        await cf.call("DELETE", f"space_quotas/{quota['guid']}", status=202)


async def test_cf_task_commands(served: Served) -> None:
    tenant = await make_tenant(served, "acme", "developer")
    await tenant.started_app(served, "dora")
    async with tenant.client("developer") as http:
        cf = Cf(http)
        app = (await cf.one(f"apps?names=dora&space_guids={tenant.space}&per_page=1&page=1"))["guid"]
        # cf run-task dora --command "rake db:migrate" --name migrate -m 64M -k 128M
        wanted = {"command": "rake db:migrate", "name": "migrate", "memory_in_mb": 64, "disk_in_mb": 128}
        made = await cf.call("POST", f"apps/{app}/tasks", wanted, 202)
        assert {"name", "sequence_id", "state", "command", "created_at"} <= set(made)
        # cf tasks dora
        listed = (await cf.call("GET", f"apps/{app}/tasks?order_by=-created_at&per_page=5000"))["resources"]
        assert [(one["sequence_id"], one["state"]) for one in listed] == [(1, "PENDING")]
        # cf terminate-task dora 1
        task = await cf.one(f"apps/{app}/tasks?sequence_ids=1")
        await cf.call("PUT", f"tasks/{task['guid']}/cancel", status=202)
        assert await cf.detail("PUT", f"tasks/{task['guid']}/cancel") == (
            "Task state is FAILED and therefore cannot be canceled"
        )


async def test_cf_buildpack_flag_and_group_commands(served: Served) -> None:
    async with await served.admin() as http:
        cf = Cf(http)
        # cf create-buildpack rust rust.zip 2 --disable, cf update-buildpack rust --enable --lock, cf buildpacks
        made = await cf.call("POST", "buildpacks", {"name": "rust", "position": 2, "enabled": False}, 201)
        bits = {"bits": ("rust.zip", b"PK\x03\x04", "application/zip")}
        sent = await http.post(f"/v3/buildpacks/{made['guid']}/upload", files=bits)
        assert (await http.get(sent.headers["Location"])).json()["state"] == "COMPLETE"
        found = await cf.one("buildpacks?names=rust")
        await cf.call("PATCH", f"buildpacks/{found['guid']}", {"enabled": True, "locked": True})
        rows = (await cf.call("GET", "buildpacks?order_by=position"))["resources"]
        assert [one["name"] for one in rows][1] == "rust"
        await cf.call("DELETE", f"buildpacks/{found['guid']}", status=202)
        # cf disable-feature-flag app_scaling, cf feature-flag app_scaling
        await cf.call("GET", "feature_flags/app_scaling")
        await cf.call("PATCH", "feature_flags/app_scaling", {"enabled": False})
        assert (await cf.call("GET", "feature_flags/app_scaling"))["enabled"] is False
        assert await cf.detail("GET", "feature_flags/none", status=404) == "Feature flag not found"
        # cf set-running-environment-variable-group '{"A": "1"}', then '{"B": "2"}': what is not named goes by null.
        group = "environment_variable_groups/running"
        await cf.call("PATCH", group, {"var": {"A": "1"}})
        gone = dict.fromkeys((await cf.call("GET", group))["var"])
        await cf.call("PATCH", group, {"var": {**gone, "B": "2"}})
        assert (await cf.call("GET", group))["var"] == {"B": "2"}
