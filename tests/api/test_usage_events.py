"""Usage events: one for each change of what runs, read in order and only by who may see all of it."""

from typing import Any

import httpx

from paasd.model import AppUsageEvent
from paasd.model.usage_events import ExpireUsage, expire_usage
from tests.api.serving import Served
from tests.api.tenants import make_tenant

EVENTS = "/v3/app_usage_events"


async def told(http: httpx.AsyncClient, query: str = "") -> list[Any]:
    answer = await http.get(f"{EVENTS}?{query}")
    assert answer.status_code == 200, answer.text
    return [
        (one["state"]["previous"], one["state"]["current"], one["instance_count"]["current"])
        for one in answer.json()["resources"]
    ]


async def test_what_starts_stops_and_grows_is_told_in_its_order_and_what_does_not_run_is_not(served: Served) -> None:
    tenant = await make_tenant(served, "one", "developer")
    app = await tenant.started_app(served, "dora")
    async with await served.admin() as admin, tenant.client("developer") as http:
        scale = f"/v3/apps/{app}/processes/web/actions/scale"
        done = [await http.post(scale, json={"instances": number}) for number in (2, 2, 3)]
        done.append(await http.post(f"/v3/apps/{app}/actions/stop"))
        done.append(await http.post(scale, json={"instances": 1}))
        done.append(await http.post(f"/v3/apps/{app}/actions/start"))
        done.append(await http.post(f"/v3/apps/{app}/actions/restart"))
        done.append(await http.delete(f"/v3/apps/{app}"))
        assert [answer.status_code for answer in done] == [202, 202, 202, 200, 202, 200, 200, 202]
        everything = [
            ("STOPPED", "STARTED", 1),
            ("STARTED", "STARTED", 2),
            ("STARTED", "STARTED", 3),
            ("STARTED", "STOPPED", 3),
            ("STOPPED", "STARTED", 1),
            ("STARTED", "STOPPED", 1),
        ]
        assert await told(admin) == everything
        assert await told(admin, "order_by=-created_at") == everything[::-1]
        second = (await admin.get(EVENTS)).json()["resources"][1]
        assert (second["app"], second["process"]["type"]) == ({"guid": app, "name": "dora"}, "web")
        assert second["space"] == {"guid": tenant.space, "name": "dev"}
        assert second["organization"] == {"guid": tenant.organization}
        assert await told(admin, f"after_guid={second['guid']}") == everything[2:]
        assert await told(admin, f"after_guid={second['guid']}&per_page=1&page=2") == [everything[3]]
        unknown = await admin.get(f"{EVENTS}?after_guid=none")
        assert (unknown.status_code, unknown.json()["errors"][0]["detail"]) == (
            422,
            "After guid filter must be a valid app usage event guid.",
        )
        assert (await admin.get(f"{EVENTS}/{second['guid']}")).json() == second
        for guid in (second["guid"], "none"):
            assert await told(http, f"after_guid={guid}") == []
            refused = await http.get(f"{EVENTS}/{guid}")
            assert refused.json()["errors"][0]["detail"] == "App usage event not found"
        assert await told(http) == []


async def test_a_purge_begins_anew_with_what_runs(served: Served) -> None:
    tenant = await make_tenant(served, "one", "developer")
    apps = [await tenant.started_app(served, name) for name in ("one", "two")]
    async with await served.admin() as admin, tenant.client("developer") as http:
        await http.post(f"/v3/apps/{apps[0]}/actions/stop")
        purge = f"{EVENTS}/actions/destructively_purge_all_and_reseed"
        assert (await http.post(purge)).status_code == 403
        assert (await admin.post(purge)).status_code == 200
        assert await told(admin) == [("STARTED", "STARTED", 1)]
        assert (await admin.get(EVENTS)).json()["resources"][0]["app"]["guid"] == apps[1]
        await http.post(f"/v3/apps/{apps[1]}/actions/stop")
        assert await told(admin) == [("STARTED", "STARTED", 1), ("STARTED", "STOPPED", 1)]


async def test_old_events_go_and_the_newest_stays_for_whoever_reads_on_from_it(served: Served) -> None:
    tenant = await make_tenant(served, "one", "developer")
    for name in ("one", "two"):
        await tenant.started_app(served, name)
    database = served.context.database
    assert await database.write(expire_usage, ExpireUsage(before="2001-01-01T00:00:00Z")) == 0
    assert await database.write(expire_usage, ExpireUsage(before="9999-01-01T00:00:00Z")) == 1
    with database.read() as tx:
        assert [one.app_name for one in tx.all(AppUsageEvent)] == ["two"]
