"""Revisions over the API: what is told of them, to whom, and how one goes back to one."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from paasd.api.present.apps import REDACTED
from paasd.model import AuditEvent, Revision
from tests.api.hands import tar_of, working_hands
from tests.api.serving import PASSWORD, Served
from tests.api.tenants import make_tenant
from tests.cli.typing_hands import paasd


class Pushed:
    """The app `dora`, which has a client of its own."""

    def __init__(self, http: httpx.AsyncClient, guid: str) -> None:
        self.http = http
        self.guid = guid
        self.app = f"/v3/apps/{guid}"

    async def get(self, path: str) -> Any:
        answer = await self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def versions(self, query: str = "") -> list[int]:
        return [one["version"] for one in (await self.get(f"{self.app}/revisions{query}"))["resources"]]

    async def deployed(self) -> list[int]:
        return [one["version"] for one in (await self.get(f"{self.app}/revisions/deployed"))["resources"]]

    async def revision(self, version: int) -> Any:
        (found,) = (await self.get(f"{self.app}/revisions?versions={version}"))["resources"]
        return found

    async def set(self, **variables: str | None) -> None:
        answer = await self.http.patch(f"{self.app}/environment_variables", json={"var": variables})
        assert answer.status_code == 200, answer.text

    async def act(self, action: str) -> None:
        assert (await self.http.post(f"{self.app}/actions/{action}")).status_code == 200

    async def push(self, content: bytes) -> None:
        params, source = {"name": "dora", "wait": "true"}, tar_of({"Procfile": b"web: run", "x": content})
        answer = await self.http.post("/paasd/v1/spaces/main/dev/push", params=params, content=source)
        assert answer.status_code == 200, answer.text


@asynccontextmanager
async def open_pushed(served: Served) -> AsyncIterator[Pushed]:
    async with working_hands(served.context), await served.admin() as http:
        pushed = Pushed(http, "")
        await pushed.push(b"first")
        yield Pushed(http, (await pushed.get("/v3/apps?names=dora"))["resources"][0]["guid"])


async def test_the_first_start_makes_one_and_it_is_shown_whole(served: Served) -> None:
    async with open_pushed(served) as dora:
        (one,) = (await dora.get(f"{dora.app}/revisions"))["resources"]
        droplet = (await dora.get(f"{dora.app}/droplets/current"))["guid"]
        assert await dora.get(f"/v3/revisions/{one['guid']}") == one
        assert {key: one[key] for key in ("version", "droplet", "description", "deployable", "sidecars")} == {
            "version": 1,
            "droplet": {"guid": droplet},
            "description": "Initial revision.",
            "deployable": True,
            "sidecars": [],
        }
        assert one["processes"] == {"web": {"command": None}, "worker": {"command": None}}
        assert one["relationships"] == {"app": {"data": {"guid": dora.guid}}}
        assert one["metadata"] == {"labels": {}, "annotations": {}}
        for name, path in (("self", ""), ("environment_variables", "/environment_variables")):
            assert one["links"][name]["href"].endswith(f"/v3/revisions/{one['guid']}{path}")
        assert one["links"]["app"]["href"].endswith(dora.app)


async def test_a_push_a_variable_and_a_command_make_more_and_the_list_filters_and_orders_them(served: Served) -> None:
    async with open_pushed(served) as dora:
        await dora.set(A="1")
        await dora.act("restart")
        await dora.push(b"second")
        await dora.http.patch(f"{dora.app}/processes/web", json={"command": "own"})
        await dora.act("restart")
        await dora.act("restart")
        newest = await dora.get(f"{dora.app}/revisions?order_by=-created_at&per_page=3")
        assert [(one["version"], one["description"]) for one in newest["resources"]] == [
            (4, "Custom start command added for 'web' process."),
            (3, "New droplet deployed."),
            (2, "New environment variables deployed."),
        ]
        assert newest["pagination"]["total_results"] == 4
        assert await dora.versions() == [1, 2, 3, 4]
        assert await dora.versions("?versions=2,4&order_by=-updated_at") in ([4, 2], [2, 4])
        assert await dora.versions("?versions=5,99999") == []
        wrong = await dora.http.get(f"{dora.app}/revisions?versions=one")
        assert (wrong.status_code, wrong.json()["errors"][0]["detail"]) == (
            400,
            "The query parameter is invalid: Versions must be numbers from 1 to 9999",
        )
        assert (await dora.http.get(f"{dora.app}/revisions/deployed?versions=1")).status_code == 400


async def test_they_come_in_the_order_of_the_starts_though_clocks_of_nodes_differ(served: Served) -> None:
    async with open_pushed(served) as dora:
        for ahead_s in (0, -20, -40):
            served.clock.ahead_s = ahead_s
            await dora.set(A=str(ahead_s))
            await dora.act("restart")
        assert await dora.versions("?order_by=-created_at") == [4, 3, 2, 1]
        assert await dora.versions("?per_page=2&page=2") == [3, 4]


async def test_those_of_an_app_that_is_being_deleted_are_gone_at_once(served: Served) -> None:
    app = await (await make_tenant(served, "acme")).started_app(served, "dora")
    async with await served.admin() as http:
        guid = (await http.get(f"/v3/apps/{app}/revisions")).json()["resources"][0]["guid"]
        assert (await http.delete(f"/v3/apps/{app}")).status_code == 202
        with served.context.database.read() as tx:
            assert tx.get(Revision, guid) is not None  # the rest follows in chunks
        assert (await http.get(f"/v3/revisions/{guid}")).status_code == 404


async def test_the_deployed_one_is_that_of_the_last_start_while_the_app_is_started(served: Served) -> None:
    async with open_pushed(served) as dora:
        await dora.set(A="1")
        assert await dora.deployed() == [1]
        await dora.act("restart")
        assert await dora.deployed() == [2]
        newest = await dora.revision(2)
        for process in (await dora.get(f"{dora.app}/processes"))["resources"]:
            assert process["relationships"]["revision"]["data"] == {"guid": newest["guid"]}
        await dora.act("stop")
        assert await dora.deployed() == []


async def test_a_process_that_was_added_since_has_no_revision(served: Served) -> None:
    async with open_pushed(served) as dora:
        space = (await dora.get(dora.app))["relationships"]["space"]["data"]["guid"]
        added = "applications: [{name: dora, processes: [{type: clock, command: tick}]}]"
        headers = {"Content-Type": "application/x-yaml"}
        path = f"/v3/spaces/{space}/actions/apply_manifest"
        assert (await dora.http.post(path, content=added, headers=headers)).status_code == 202
        clock = f"{dora.app}/processes/clock"
        assert (await dora.get(clock))["relationships"]["revision"] == {"data": None}
        await dora.act("restart")
        newest = await dora.revision(2)
        assert newest["description"] == "New process type 'clock' added."
        assert (await dora.get(clock))["relationships"]["revision"]["data"] == {"guid": newest["guid"]}


async def test_variables_that_are_set_back_before_a_start_make_none(served: Served) -> None:
    async with open_pushed(served) as dora:
        await dora.set(A="1", B="x")
        await dora.act("restart")
        await dora.set(A="2")
        await dora.set(A="1")
        await dora.act("restart")
        assert await dora.versions() == [1, 2]
        await dora.set(A=None, B=None)
        await dora.act("restart")
        assert (await dora.revision(3))["description"] == "New environment variables deployed."


async def test_each_keeps_the_variables_of_its_time_sealed_and_tells_them_on_the_record(served: Served) -> None:
    async with open_pushed(served) as dora:
        for value in ("planted-one", "planted-two"):
            await dora.set(KEY=value)
            await dora.act("restart")
        for version, var in ((1, {}), (2, {"KEY": "planted-one"}), (3, {"KEY": "planted-two"})):
            path = f"/v3/revisions/{(await dora.revision(version))['guid']}"
            shown = await dora.get(f"{path}/environment_variables")
            assert shown["var"] == var
            for name, address in (("self", f"{path}/environment_variables"), ("revision", path), ("app", dora.app)):
                assert shown["links"][name]["href"].endswith(address)
        with served.context.database.read() as tx:
            events = tx.all(AuditEvent, type="audit.app.revision.environment_variables.show", order=("sequence",))
            assert [(event.target_guid, event.actor_name, event.data["revision_version"]) for event in events] == [
                (dora.guid, "admin", version) for version in (1, 2, 3)
            ]
            assert "planted" not in repr(tx.all(AuditEvent)) + repr(tx.all(Revision))
        assert "planted" not in (await dora.http.get(f"{dora.app}/revisions")).text


async def test_labels_are_set_and_selected_by(served: Served) -> None:
    async with open_pushed(served) as dora:
        path = f"/v3/revisions/{(await dora.revision(1))['guid']}"
        metadata = {"labels": {"good": "yes"}, "annotations": {"note": "kept"}}
        assert (await dora.http.patch(path, json={"metadata": metadata})).json()["metadata"] == metadata
        assert await dora.versions("?label_selector=good=yes") == [1]
        assert await dora.versions("?label_selector=good=no") == []
        bad = await dora.http.patch(path, json={"metadata": {"labels": {"-": "x"}}})
        assert bad.status_code == 422


async def test_without_its_droplet_it_cannot_be_deployed(served: Served) -> None:
    async with open_pushed(served) as dora:
        former = await dora.revision(1)
        await dora.push(b"second")
        assert await dora.versions("?deployable=false") == []
        assert (await dora.http.delete(f"/v3/droplets/{former['droplet']['guid']}")).status_code == 202
        assert not (await dora.revision(1))["deployable"]
        assert (await dora.versions("?deployable=false"), await dora.versions("?deployable=true")) == ([1], [2])
        assert (await dora.http.get(f"{dora.app}/revisions?deployable=perhaps")).status_code == 400


async def test_one_goes_back_by_setting_its_droplet_as_the_refusal_of_a_deployment_says(served: Served) -> None:
    async with open_pushed(served) as dora:
        await dora.push(b"second")
        former = await dora.revision(1)
        asked = {"relationships": {"app": {"data": {"guid": dora.guid}}}, "revision": {"guid": former["guid"]}}
        refused = await dora.http.post("/v3/deployments", json=asked)
        assert refused.status_code == 422
        assert "`cf set-droplet APP DROPLET_GUID` and `cf restart APP`" in refused.json()["errors"][0]["detail"]
        body = {"data": {"guid": former["droplet"]["guid"]}}
        answer = await dora.http.patch(f"{dora.app}/relationships/current_droplet", json=body)
        assert answer.status_code == 200
        await dora.act("restart")
        assert (await dora.revision(3))["droplet"] == former["droplet"]


async def test_the_command_lists_them_and_goes_back_to_former_code(served: Served) -> None:
    me = {"PAASD_API": served.doors.url, "PAASD_USER": "admin", "PAASD_PASSWORD": PASSWORD, "PAASD_SPACE": "main/dev"}
    async with open_pushed(served) as dora:
        await dora.set(A="1")
        await dora.act("restart")
        await dora.push(b"second")
        back = await paasd("revisions", "dora", "--back-to", "1", **me)
        assert back.code == 0 and "dora (web): 1 of 1 running" in back.out, back
        first = await dora.revision(1)
        assert (await dora.revision(4))["droplet"] == first["droplet"]
        await dora.push(b"third")
        assert (await dora.http.delete(f"/v3/droplets/{first['droplet']['guid']}")).status_code == 202
        listed = [re.split(" {2,}", line) for line in (await paasd("revisions", "dora", **me)).out.splitlines()]
        assert [(one[0], one[1] == "runs", one[-3], one[-1]) for one in listed[1:]] == [
            ("5", True, "kept", "New droplet deployed."),
            ("4", False, "gone", "New droplet deployed."),
            ("3", False, "kept", "New droplet deployed."),
            ("2", False, "gone", "New environment variables deployed."),
            ("1", False, "gone", "Initial revision."),
        ]
        for version, text in (("1", "the droplet of version 1 is gone"), ("9", "dora has no version 9; `paasd rev")):
            refused = await paasd("revisions", "dora", "--back-to", version, **me)
            assert (refused.code, text in refused.err) == (1, True), refused


async def test_the_feature_is_on_and_can_be_switched_off(served: Served) -> None:
    async with open_pushed(served) as dora:
        feature = f"{dora.app}/features/revisions"
        assert (await dora.get(feature))["enabled"]
        assert (await dora.http.patch(feature, json={"enabled": False})).json()["enabled"] is False
        await dora.set(A="1")
        await dora.act("restart")
        assert (await dora.versions(), await dora.deployed()) == ([1], [])
        web = await dora.get(f"{dora.app}/processes/web")
        assert web["relationships"]["revision"] == {"data": None}


async def test_all_who_see_the_app_see_them_and_only_developers_what_is_secret(served: Served) -> None:
    tenant, other = await make_tenant(served, "acme"), await make_tenant(served, "other")
    app = await tenant.started_app(served, "dora")
    async with tenant.client("developer") as developer:
        await developer.patch(f"/v3/apps/{app}/processes/web", json={"command": "run --key"})
        side = {"name": "side", "command": "walk --key", "process_types": ["web"]}
        await developer.post(f"/v3/apps/{app}/sidecars", json=side)
        await developer.post(f"/v3/apps/{app}/actions/restart")
        listed = (await developer.get(f"/v3/apps/{app}/revisions?versions=2")).json()["resources"][0]
        path = f"/v3/revisions/{listed['guid']}"
        assert commands(listed) == [REDACTED, REDACTED]
        assert commands((await developer.get(path)).json()) == ["run --key", "walk --key"]
        assert (await developer.get(f"{path}/environment_variables")).status_code == 200
    for kind in ("supporter", "manager"):
        async with tenant.client(kind) as http:
            assert commands((await http.get(path)).json()) == [REDACTED, REDACTED]
            for refused in (
                await http.get(f"{path}/environment_variables"),
                await http.patch(path, json={"metadata": {}}),
            ):
                assert (refused.status_code, refused.json()["errors"][0]["code"]) == (403, 10003)
    async with other.client("developer") as stranger:
        for method, where in (("GET", path), ("GET", f"{path}/environment_variables"), ("PATCH", path)):
            answer = await stranger.request(method, where, json={} if method == "PATCH" else None)
            assert (answer.status_code, answer.json()["errors"][0]["detail"]) == (404, "Revision not found")
        assert (await stranger.get(f"/v3/apps/{app}/revisions")).status_code == 404


def commands(revision: dict[str, Any]) -> list[str]:
    return [revision["processes"]["web"]["command"], revision["sidecars"][0]["command"]]


async def test_where_variables_are_hidden_from_developers_so_are_former_ones(served: Served) -> None:
    tenant = await make_tenant(served, "acme")
    app = await tenant.started_app(served, "dora")
    async with tenant.client("developer") as developer, await served.admin() as admin:
        guid = (await developer.get(f"/v3/apps/{app}/revisions")).json()["resources"][0]["guid"]
        path, flag = f"/v3/revisions/{guid}/environment_variables", "/v3/feature_flags/env_var_visibility"
        assert (await developer.get(path)).status_code == 200
        await admin.patch(flag, json={"enabled": False})
        assert (await developer.get(path)).status_code == 403
        await admin.patch(flag, json={"enabled": True})
        assert (await developer.get(path)).status_code == 200


async def test_there_is_no_list_of_everybodys(served: Served) -> None:
    async with await served.admin() as http:
        answer = await http.get("/v3/revisions")
        assert (answer.status_code, answer.json()["errors"][0]["detail"]) == (404, "Unknown request")
