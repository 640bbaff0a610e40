"""Where the operator hides variables, no answer has them: a planted one is looked for in all calls."""

from typing import Any

import httpx

from paasd.api.routes import make_route_table
from tests.api.calls import Caller
from tests.api.serving import Served
from tests.api.tenants import make_tenant

FLAGS = ("env_var_visibility", "space_developer_env_var_visibility")
PLANTED = "planted-7d1f"
MANIFEST = "applications:\n- name: dora\n  memory: 77M\n  env:\n    SECRET: other\n    SENT: one\n"


async def switch(admin: httpx.AsyncClient, flag: str, *, enabled: bool) -> None:
    answer = await admin.patch(f"/v3/feature_flags/{flag}", json={"enabled": enabled})
    assert answer.status_code == 200, answer.text


async def answers(http: httpx.AsyncClient, app: str, space: str) -> dict[str, Any]:
    """What the calls say that tell of variables beside those that show them."""
    patched = await http.patch(f"/v3/apps/{app}/environment_variables", json={"var": {"SENT": "one", "GONE": None}})
    manifest = await http.get(f"/v3/apps/{app}/manifest")
    compared = await http.post(
        f"/v3/spaces/{space}/manifest_diff", content=MANIFEST, headers={"Content-Type": "application/x-yaml"}
    )
    rows = compared.json().get("diff", [])
    return {
        "patched": patched.json().get("var"),
        "manifest": (manifest.status_code, PLANTED in manifest.text),
        "compared": [(row["path"].removeprefix("/applications/0/"), row.get("was")) for row in rows],
    }


async def test_hidden_variables_are_not_in_what_changes_or_compares_them(served: Served) -> None:
    tenant = await make_tenant(served, "acme")
    app = await tenant.started_app(served, "dora")
    async with tenant.client("developer") as developer, await served.admin() as admin:
        path = f"/v3/apps/{app}/environment_variables"
        assert (await developer.patch(path, json={"var": {"SECRET": PLANTED, "SENT": "one"}})).status_code == 200
        seen = await answers(developer, app, tenant.space)
        assert seen["patched"] == {"SECRET": PLANTED, "SENT": "one"}
        assert seen["manifest"] == (200, True)
        assert ("env/SECRET", PLANTED) in seen["compared"]
        for flag in FLAGS:
            await switch(admin, flag, enabled=False)
            for http in (developer, admin) if flag == "env_var_visibility" else (developer,):
                seen = await answers(http, app, tenant.space)
                assert seen["patched"] == {"SENT": "one"}
                assert seen["manifest"] == (403, False)
                assert [path for path, _ in seen["compared"]] == ["processes/0/memory"]
            await switch(admin, flag, enabled=True)
        assert (await developer.get(path)).json()["var"] == {"SECRET": PLANTED, "SENT": "one"}


class Planting(Caller):
    """Every app has the variable."""

    async def make_apps(self, space: str | None = None) -> dict[str, str]:
        found = await super().make_apps(space)
        path = f"/v3/apps/{found['guid']}/environment_variables"
        assert PLANTED in (await self.http.patch(path, json={"var": {"SECRET": PLANTED}})).text
        return found


async def test_no_call_shows_a_hidden_variable(caller: Caller) -> None:
    caller = Planting(caller.served, caller.http)
    told = []
    for enabled in (True, False):
        caller.seen.clear()
        await switch(caller.http, "env_var_visibility", enabled=enabled)
        for route in make_route_table():
            if route.path.startswith(("/v3/apps", "/v3/revisions", "/v3/spaces", "/paasd/v1/apps")):
                answer = await caller.call(route)
                if PLANTED in answer.text:
                    told.append((enabled, route.method, route.path))
    assert {(method, path) for enabled, method, path in told if enabled} >= {
        ("GET", "/v3/apps/<guid>/env"),
        ("GET", "/v3/apps/<guid>/environment_variables"),
        ("GET", "/v3/revisions/<guid>/environment_variables"),
    }
    assert not [one for one in told if not one[0]]
