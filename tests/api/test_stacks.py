"""Stacks come with the platform: administrators label them, nobody makes one or takes one away."""

from typing import Any

import httpx
import pytest

from paasd.model import AuditEvent
from tests.api.calls import Caller
from tests.api.serving import Served
from tests.api.sign_in import signed_in

TEAM = {"metadata": {"labels": {"team": "red"}, "annotations": {"note": "ours"}}}


def detail(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["errors"][0]["detail"])


async def names(http: httpx.AsyncClient, selector: str) -> list[str]:
    answer = await http.get("/v3/stacks", params={"label_selector": selector})
    return [one["name"] for one in answer.json()["resources"]]


async def test_administrators_label_stacks_and_selectors_find_them(served: Served) -> None:
    async with await served.admin() as http:
        changed = await http.patch("/v3/stacks/host", json=TEAM)
        assert changed.status_code == 200, changed.text
        shown = (await http.get("/v3/stacks/host")).json()
        assert shown == changed.json()
        assert shown["metadata"] == TEAM["metadata"]
        assert await names(http, "team") == await names(http, "team in (red,blue)") == ["host"]
        assert await names(http, "!team") == await names(http, "team!=red") == ["cflinuxfs4", "debian12"]
        assert await names(http, "team=blue") == await names(http, "team=red,!team") == []
        assert (await http.patch("/v3/stacks/host", json={"metadata": {"labels": {"team": None}}})).status_code == 200
        assert await names(http, "team") == []
        assert "label key error" in detail(
            await http.patch("/v3/stacks/host", json={"metadata": {"labels": {"": "x"}}}), 422
        )
    with served.context.database.read() as tx:
        events = tx.all(AuditEvent, type="audit.stack.update", target_guid="stack/host")
    assert len(events) == 2


async def test_stacks_are_ordered_and_told_apart_by_time_as_other_things(served: Served) -> None:
    async with await served.admin() as http:
        made = (await http.get("/v3/stacks/host")).json()["created_at"]
        every = len((await http.get("/v3/stacks?order_by=-created_at")).json()["resources"])
        for query, found in (
            (f"created_ats={made}", every),
            ("created_ats=2020-01-01T00:00:00Z", 0),
            (f"created_ats[gt]={made}", 0),
            (f"created_ats[gte]={made}&updated_ats[lte]={made}", every),
            (f"updated_ats[lt]={made}&order_by=updated_at", 0),
        ):
            answer = await http.get(f"/v3/stacks?{query}")
            assert answer.json()["pagination"]["total_results"] == found, answer.text
        assert "invalid timestamp format" in detail(await http.get("/v3/stacks?created_ats[gt]=yesterday"), 400)


async def test_a_user_that_is_called_like_a_stack_has_labels_of_its_own(served: Served) -> None:
    async with await served.admin() as http:
        assert (await http.post("/v3/users", json={"guid": "host", **TEAM})).status_code == 201
        assert await names(http, "team") == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("POST", "", {"name": "mine"}, 422, "Stacks come with the platform and cannot be added"),
        ("POST", "", {"name": "host"}, 422, "Name must be unique"),
        ("POST", "", {"name": ""}, 422, "Name can't be blank"),
        ("DELETE", "/debian12", None, 422, "Stack 'debian12' comes with the platform and cannot be deleted"),
        ("DELETE", "/none", None, 404, "Stack not found"),
        ("PATCH", "/none", {}, 404, "Stack not found"),
        ("PATCH", "/host", {"state": "DISABLED", "state_reason": "old"}, 422, "is ACTIVE and stays so"),
        ("PATCH", "/host", {"state": "ACTIVE"}, 200, ""),
        ("PATCH", "/host", {"name": "other"}, 422, "Unknown field(s): 'name'"),
    ],
)
async def test_what_cannot_be_done_is_said(
    served: Served, method: str, path: str, body: Any, status: int, text: str
) -> None:
    async with await served.admin() as http:
        answer = await http.request(method, f"/v3/stacks{path}", json=body)
        assert answer.status_code == status and text in answer.text, answer.text


async def test_a_stack_with_apps_is_not_deleted_in_cloud_foundrys_words(caller: Caller) -> None:
    await caller.make_apps()
    answer = await caller.http.delete("/v3/stacks/host")
    assert detail(answer, 422) == "Cannot delete stack 'host' because apps are currently using the stack."


async def test_others_see_stacks_and_change_nothing(served: Served) -> None:
    await served.make_user("ann")
    async with await signed_in(served, "ann") as http:
        assert (await http.get("/v3/stacks/host")).status_code == 200
        for method, path in (("PATCH", "/host"), ("DELETE", "/host"), ("POST", "")):
            answer = await http.request(method, f"/v3/stacks{path}", json={"name": "x"} if not path else {})
            assert "not authorized" in detail(answer, 403)
