"""`clear_buildpack_cache` of an app and of the platform: who may, and what a build goes by afterwards."""

from paasd.model import App
from paasd.model.build_caches import generations
from tests.api.serving import Served
from tests.api.sign_in import events
from tests.api.tenants import make_tenant

EVERY = "/v3/admin/actions/clear_buildpack_cache"


async def test_developers_clear_an_apps_cache_and_administrators_all(served: Served) -> None:
    tenant = await make_tenant(served, "one", "developer", "supporter", "auditor")
    dora, other = await tenant.started_app(served, "dora"), await tenant.started_app(served, "other")

    def found() -> dict[str, str]:
        with served.context.database.read() as tx:
            return generations(tx)

    assert found() == {dora: "", other: ""}
    path = f"/v3/apps/{dora}/actions/clear_buildpack_cache"
    async with tenant.client("auditor") as http:
        refused = await http.post(path)
        assert (refused.status_code, refused.json()["errors"][0]["code"]) in ((403, 10003), (404, 10010))
    for kind in ("developer", "supporter"):
        async with tenant.client(kind) as http:
            done = await http.post(path)
            assert done.status_code == 202, done.text
            job = (await http.get(done.headers["Location"])).json()
            assert (job["operation"], job["state"]) == ("app.clear_buildpack_cache", "COMPLETE")
            assert (await http.post(EVERY)).status_code == 403
    assert found() == {dora: "0.2", other: ""}
    async with await served.admin() as admin:
        done = await admin.post(EVERY)
        job = (await admin.get(done.headers["Location"])).json()
        assert (job["operation"], job["state"]) == ("admin.clear_buildpack_cache", "COMPLETE")
    assert found() == {dora: "1.2", other: "1.0"}
    assert len(await events(served, "audit.app.clear_buildpack_cache")) == 2
    assert len(await events(served, "platform.build_caches.clear")) == 1
    with served.context.database.read() as tx:
        app = tx.need(App, dora)
    assert (app.state, app.version) == ("STARTED", 1), "what runs goes on"
