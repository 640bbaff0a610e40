"""Tasks over the API, as rows: who may ask for them, see them and end them."""

from typing import Any

import trio

from tests.api.serving import Served
from tests.api.tenants import make_tenant


async def test_a_task_is_shown_to_its_space_and_its_command_to_who_may_read_secrets(served: Served) -> None:
    one, two = await make_tenant(served, "one", "developer", "supporter"), await make_tenant(served, "two", "developer")
    app = await one.started_app(served, "dora")
    async with one.client("developer") as http, one.client("supporter") as helper, two.client("developer") as other:
        path = f"/v3/apps/{app}/tasks"
        made = await http.post(path, json={"command": "secret --run", "name": "t", "memory_in_mb": 64})
        assert made.status_code == 202, made.text
        task = made.json()
        assert (task["command"], task["state"], task["sequence_id"]) == ("secret --run", "PENDING", 1)
        template = {"template": {"process": {"guid": (await http.get(f"/v3/apps/{app}/processes/web")).json()["guid"]}}}
        assert (await http.post(path, json=template)).json()["command"] == "run"
        assert (await helper.post(path, json={"command": "x"})).status_code == 403
        assert [one["sequence_id"] for one in (await http.get(f"{path}?sequence_ids=1")).json()["resources"]] == [1]
        assert (await http.get(f"{path}?sequence_ids=x")).status_code == 400
        listed = (await http.get(f"/v3/tasks?names=t&space_guids={one.space}&states=PENDING")).json()["resources"]
        assert [found["guid"] for found in listed] == [task["guid"]]
        assert "command" not in listed[0]
        assert "command" not in (await helper.get(f"/v3/tasks/{task['guid']}")).json()
        assert (await http.get(f"/v3/tasks/{task['guid']}")).json()["command"] == "secret --run"
        for method, tail in (("GET", ""), ("PATCH", ""), ("PUT", "/cancel"), ("POST", "/actions/cancel")):
            answers = [await other.request(method, f"/v3/tasks/{guid}{tail}", json={}) for guid in (task["guid"], "no")]
            assert [answer.status_code for answer in answers] == [404, 404]
            assert answers[0].content == answers[1].content
        for path_of in (f"/v3/apps/{app}/tasks", "/v3/apps/no/tasks"):
            assert (await other.post(path_of, json={"command": "x"})).json()["errors"][0]["detail"] == "App not found"
        assert (await helper.put(f"/v3/tasks/{task['guid']}/cancel")).json()["state"] == "FAILED"
        label = await http.patch(f"/v3/tasks/{task['guid']}", json={"metadata": {"labels": {"a": "b"}}})
        assert label.json()["metadata"]["labels"] == {"a": "b"}
        events = (await http.get(f"/v3/audit_events?target_guids={app}")).json()["resources"]
        assert {"audit.app.task.create", "audit.app.task.cancel"} <= {event["type"] for event in events}
        assert "secret --run" not in str(events)


async def test_the_flag_stops_tasks(served: Served) -> None:
    tenant = await make_tenant(served, "one", "developer")
    app = await tenant.started_app(served, "dora")
    async with await served.admin() as admin, tenant.client("developer") as http:
        await admin.patch("/v3/feature_flags/task_creation", json={"enabled": False})
        refused = await http.post(f"/v3/apps/{app}/tasks", json={"command": "x"})
        assert refused.json()["errors"][0]["detail"] == "Feature Disabled: task_creation"
        assert (await admin.post(f"/v3/apps/{app}/tasks", json={"command": "x"})).status_code == 202


async def test_of_calls_that_race_for_the_last_of_a_quota_just_as_many_pass_as_fit(served: Served) -> None:
    """Scaling two apps, a start and tasks, all at once: together they ask for more than there is."""
    tenant = await make_tenant(served, "one", "developer")
    one, two = [await tenant.started_app(served, name) for name in ("one", "two")]
    size = served.context.sizes.memory_mb
    async with await served.admin() as admin, tenant.client("developer") as http:
        limits = {"apps": {"total_memory_in_mb": 5 * size}}
        assert (await admin.patch("/v3/organization_quotas/default", json=limits)).status_code == 200
        statuses: list[int] = []

        async def call(path: str, body: dict[str, Any]) -> None:
            statuses.append((await http.post(path, json=body)).status_code)

        async with trio.open_nursery() as nursery:
            for app in (one, two):
                nursery.start_soon(call, f"/v3/apps/{app}/processes/web/actions/scale", {"instances": 2})
                for _ in range(3):
                    nursery.start_soon(call, f"/v3/apps/{app}/tasks", {"command": "x", "memory_in_mb": size})
        used = (await http.get(f"/v3/spaces/{tenant.space}/usage_summary")).json()["usage_summary"]
        assert sorted(statuses) == [202] * 3 + [422] * 5
        assert used["memory_in_mb"] == 5 * size
