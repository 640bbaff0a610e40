"""Feature flags stop what they name, for those whom they bind; variable groups reach every app."""

from collections.abc import Awaitable, Callable

import httpx
import pytest

from paasd.model import AuditEvent, VariableGroup
from paasd.unsealing.local import LocalUnsealing
from tests.api.serving import Served
from tests.api.tenants import Tenant, make_tenant

Attempt = Callable[[httpx.AsyncClient, Tenant, str], Awaitable[httpx.Response]]


async def scale(http: httpx.AsyncClient, tenant: Tenant, app: str) -> httpx.Response:
    return await http.post(f"/v3/apps/{app}/processes/web/actions/scale", json={"instances": 2})


async def upload(http: httpx.AsyncClient, tenant: Tenant, app: str) -> httpx.Response:
    made = await http.post("/v3/packages", json={"type": "bits", "relationships": {"app": {"data": {"guid": app}}}})
    files = {"bits": ("package.zip", b"PK\x03\x04 not looked into", "application/zip")}
    return await http.post(f"/v3/packages/{made.json()['guid']}/upload", files=files)


async def route(http: httpx.AsyncClient, tenant: Tenant, app: str) -> httpx.Response:
    domain = (await http.get("/v3/domains?names=apps.localhost")).json()["resources"][0]["guid"]
    relations = {"space": {"data": {"guid": tenant.space}}, "domain": {"data": {"guid": domain}}}
    return await http.post("/v3/routes", json={"host": "h", "relationships": relations})


async def domain(http: httpx.AsyncClient, tenant: Tenant, app: str) -> httpx.Response:
    relations = {"organization": {"data": {"guid": tenant.organization}}}
    return await http.post("/v3/domains", json={"name": "x.example.org", "relationships": relations})


async def role(http: httpx.AsyncClient, tenant: Tenant, app: str) -> httpx.Response:
    relations = {
        "user": {"data": {"username": f"billing@{tenant.name}"}},
        "organization": {"data": {"guid": tenant.organization}},
    }
    return await http.post("/v3/roles", json={"type": "organization_auditor", "relationships": relations})


async def droplet(http: httpx.AsyncClient, tenant: Tenant, app: str) -> httpx.Response:
    made = await http.post("/v3/droplets", json={"relationships": {"app": {"data": {"guid": app}}}})
    files = {"bits": ("droplet.tgz", b"not looked into", "application/gzip")}
    return await http.post(f"/v3/droplets/{made.json()['guid']}/upload", files=files)


async def invitation(http: httpx.AsyncClient, tenant: Tenant, app: str) -> httpx.Response:
    path = f"/paasd/v1/organizations/{tenant.name}/invitations"
    return await http.post(path, json={"address": "admin", "organization_roles": ["organization_auditor"]})


async def env(http: httpx.AsyncClient, tenant: Tenant, app: str) -> httpx.Response:
    return await http.get(f"/v3/apps/{app}/env")


FLAGS: dict[str, tuple[str, Attempt]] = {
    "app_bits_upload": ("developer", upload),
    "app_bits_upload of a droplet": ("developer", droplet),
    "app_scaling": ("developer", scale),
    "env_var_visibility": ("developer", env),
    "private_domain_creation": ("manager", domain),
    "route_creation": ("developer", route),
    "set_roles_by_username": ("manager", role),
    "set_roles_by_username in an invitation": ("manager", invitation),
    "space_developer_env_var_visibility": ("developer", env),
}


@pytest.mark.parametrize("case", FLAGS)
async def test_a_flag_stops_what_it_names(served: Served, case: str) -> None:
    (who, attempt), name = FLAGS[case], case.split()[0]
    tenant = await make_tenant(served, "one", who)
    app = await tenant.started_app(served, "dora")
    async with await served.admin() as admin, tenant.client(who) as http:
        path = f"/v3/feature_flags/{name}"
        assert (await http.patch(path, json={"enabled": False})).status_code == 403
        off = (await admin.patch(path, json={"enabled": False})).json()
        assert (off["enabled"], off["custom_error_message"]) == (False, None)
        refused = await attempt(http, tenant, app)
        assert (refused.status_code, refused.json()["errors"]) == (
            403,
            [{"code": 330002, "title": "CF-FeatureDisabled", "detail": f"Feature Disabled: {name}"}],
        )
        await admin.patch(path, json={"custom_error_message": "ask the desk"})
        assert (await attempt(http, tenant, app)).json()["errors"][0]["detail"] == "Feature Disabled: ask the desk"
        await admin.patch(path, json={"enabled": True})
        assert (await attempt(http, tenant, app)).status_code in (200, 201, 202)


async def test_administrators_are_bound_by_one_flag_only(served: Served) -> None:
    tenant = await make_tenant(served, "one", "developer")
    app = await tenant.started_app(served, "dora")
    async with await served.admin() as admin:
        for name in ("app_scaling", "space_developer_env_var_visibility", "env_var_visibility"):
            await admin.patch(f"/v3/feature_flags/{name}", json={"enabled": False})
        assert (await scale(admin, tenant, app)).status_code == 202
        assert (await env(admin, tenant, app)).json()["errors"][0]["detail"] == "Feature Disabled: env_var_visibility"
        await admin.patch("/v3/feature_flags/env_var_visibility", json={"enabled": True})
        assert (await env(admin, tenant, app)).status_code == 200


async def test_a_manifest_is_no_way_around_a_flag(served: Served) -> None:
    tenant = await make_tenant(served, "one", "developer")
    await tenant.started_app(served, "dora")
    async with await served.admin() as admin, tenant.client("developer") as http:
        for name in ("app_scaling", "route_creation"):
            await admin.patch(f"/v3/feature_flags/{name}", json={"enabled": False})

        async def applied(text: str) -> str:
            path = f"/v3/spaces/{tenant.space}/actions/apply_manifest"
            answer = await http.post(path, content=text, headers={"Content-Type": "application/x-yaml"})
            job = (await http.get(answer.headers["Location"])).json()
            return " ".join([job["state"], *(one["detail"] for one in job["errors"])])

        text = "FAILED For application 'dora': Feature Disabled:"
        assert await applied("applications: [{name: dora, instances: 2}]") == f"{text} app_scaling"
        assert await applied("applications: [{name: dora, routes: [{route: a.apps.localhost}]}]") == (
            f"{text} route_creation"
        )
        worker = "applications: [{name: dora, processes: [{type: worker, instances: 5, memory: 4G}]}]"
        assert await applied(worker) == f"{text} app_scaling"
        assert await applied("applications: [{name: dora, processes: [{type: worker, command: run}]}]") == "COMPLETE"
        # What does not change is not forbidden, and neither is the first size of an app.
        assert await applied("applications: [{name: dora, instances: 1}]") == "COMPLETE"
        assert await applied("applications: [{name: new, instances: 2, no-route: true}]") == "COMPLETE"


async def test_people_make_organizations_of_their_own_where_that_is_allowed(served: Served) -> None:
    tenant = await make_tenant(served, "one", "developer")
    async with await served.admin() as admin, tenant.client("developer") as http:
        assert (await http.post("/v3/organizations", json={"name": "own"})).status_code == 403
        await admin.patch("/v3/feature_flags/user_org_creation", json={"enabled": True})
        made = await http.post("/v3/organizations", json={"name": "own"})
        assert made.status_code == 201, made.text
        relations = {"organization": {"data": {"guid": made.json()["guid"]}}}
        assert (await http.post("/v3/spaces", json={"name": "s", "relationships": relations})).status_code == 201


async def test_a_flag_of_what_the_platform_does_not_have_stays_off(served: Served) -> None:
    async with await served.admin() as admin:
        refused = await admin.patch("/v3/feature_flags/diego_docker", json={"enabled": True})
        assert "Docker images are not run" in refused.json()["errors"][0]["detail"]
        assert (await admin.patch("/v3/feature_flags/diego_docker", json={"enabled": False})).status_code == 200
        market = await admin.patch(
            "/v3/feature_flags/hide_marketplace_from_unauthenticated_users", json={"enabled": True}
        )
        assert "nobody sees anything without signing in" in market.json()["errors"][0]["detail"]
        nothing = await admin.patch("/v3/feature_flags/none", json={"enabled": False})
        assert (nothing.status_code, nothing.json()["errors"][0]["detail"]) == (404, "Feature flag not found")
        names = [one["name"] for one in (await admin.get("/v3/feature_flags?per_page=100")).json()["resources"]]
        assert names == sorted(names)


async def test_a_variable_group_reaches_every_app_and_the_app_has_the_last_word(served: Served) -> None:
    tenant = await make_tenant(served, "one", "developer")
    app = await tenant.started_app(served, "dora")
    async with await served.admin() as admin, tenant.client("developer") as http:
        path = "/v3/environment_variable_groups/running"
        assert (await http.patch(path, json={"var": {"A": "x"}})).status_code == 403
        assert (await admin.get(path)).json()["var"] == {}
        set_ = await admin.patch(path, json={"var": {"PROXY": "http://planted-secret", "NUMBER": 3, "BOTH": "group"}})
        assert set_.json()["var"] == {"PROXY": "http://planted-secret", "NUMBER": "3", "BOTH": "group"}
        await admin.patch("/v3/environment_variable_groups/staging", json={"var": {"MIRROR": "m"}})
        await admin.patch(path, json={"var": {"NUMBER": None}})
        await http.patch(f"/v3/apps/{app}/environment_variables", json={"var": {"BOTH": "app"}})
        shown = (await http.get(f"/v3/apps/{app}/env")).json()
        assert shown["running_env_json"] == {"PROXY": "http://planted-secret", "BOTH": "group"}
        assert shown["staging_env_json"] == {"MIRROR": "m"}
        assert shown["environment_variables"] == {"BOTH": "app"}
        refused = await admin.patch(path, json={"var": {"VCAP_SERVICES": "x"}})
        assert "set by the platform" in refused.json()["errors"][0]["detail"]
        assert (await admin.get("/v3/environment_variable_groups/none")).status_code == 404
        await http.post(f"/v3/apps/{app}/actions/restart")
        instance = await tenant.instance(served, app)
        found = await LocalUnsealing(served.context.database, served.context.sealer).instance(instance.guid, 1)
        assert found.environment == {"PROXY": "http://planted-secret", "BOTH": "app"}
        with served.context.database.read() as tx:
            rows = [*tx.all(VariableGroup), *tx.all(AuditEvent)]
        assert "PROXY" in repr(rows)
        assert "planted-secret" not in repr(rows)
