"""The audit events as administrators and the people of an organization read, check and export them."""

import json
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest
import trio

from paasd.model.auditing.lines import check_lines
from tests.api.serving import Served
from tests.cli.typing_hands import paasd

SECRET = "a password that stands in an URL"


async def organization(http: httpx.AsyncClient, name: str) -> str:
    answer = await http.post("/v3/organizations", json={"name": name})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["guid"])


async def member(served: Served, http: httpx.AsyncClient, name: str, role: str, guid: str) -> httpx.AsyncClient:
    """A signed-in user with this role in the organization."""
    user = await served.make_user(name)
    relationships = {"user": {"data": {"guid": user}}, "organization": {"data": {"guid": guid}}}
    for kind in dict.fromkeys(("organization_user", role)):
        answer = await http.post("/v3/roles", json={"type": kind, "relationships": relationships})
        assert answer.status_code == 201, answer.text
    return served.client((await served.login(name))["access_token"])


async def newest(http: httpx.AsyncClient, **filters: str) -> dict[str, Any]:
    answer = await http.get("/v3/audit_events", params={"order_by": "-created_at", **filters})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["resources"][0]
    return found


async def test_an_update_says_before_and_after_and_the_chain_from_where(served: Served) -> None:
    async with await served.admin() as http:
        guid = await organization(http, "one")
        sent = {"X-Vcap-Request-Id": "request-7"}
        await http.patch(f"/v3/organizations/{guid}", json={"name": "two"}, headers=sent)
        event = await newest(http, types="audit.organization.update")
        assert event["data"] == {"before": {"name": "one"}, "after": {"name": "two"}}
        assert event["actor"]["name"] == "admin"
        assert event["organization"] == {"guid": guid}
        lines = (await http.get("/paasd/v1/audit/events")).content.splitlines()
    [line] = [one for one in map(json.loads, lines) if one.get("type") == "audit.organization.update"]
    assert (line["address"], line["client"], line["request_id"]) == ("127.0.0.1", "cf", "request-7")


async def test_secrets_are_named_and_not_shown(served: Served) -> None:
    async with await served.admin() as http:
        space = (await http.get("/v3/spaces")).json()["resources"][0]["guid"]
        made = {"name": "app", "relationships": {"space": {"data": {"guid": space}}}}
        made["environment_variables"] = {"KEY": SECRET}
        app = (await http.post("/v3/apps", json=made)).json()["guid"]
        process = (await http.get(f"/v3/apps/{app}/processes")).json()["resources"][0]["guid"]
        await http.patch(f"/v3/processes/{process}", json={"command": f"run --key '{SECRET}'"})
        event = await newest(http, types="audit.app.process.update")
        assert event["data"]["after"]["command"] == "[PRIVATE DATA HIDDEN]"
        await http.patch(f"/v3/apps/{app}/environment_variables", json={"var": {"KEY": SECRET + "2"}})
        buildpack = "https://ann:hidden-word@example.org/pack.git"
        answer = await http.patch(
            f"/v3/apps/{app}", json={"lifecycle": {"type": "buildpack", "data": {"buildpacks": [buildpack]}}}
        )
        export = (await http.get("/paasd/v1/audit/events")).text
        if answer.status_code == 200:
            assert "https://***:***@example.org/pack.git" in export
    assert "KEY" in export and SECRET not in export and "hidden-word" not in export


async def test_everything_fits_until_somebody_changes_the_file(served: Served) -> None:
    async with await served.admin() as http:
        await organization(http, "one")
        head = (await http.get("/paasd/v1/audit/head")).json()
        assert head["head"] == f"{head['sequence']}:{head['hash']}" and head["sequence"] > 3
        await organization(http, "two")
        found = (await http.get("/paasd/v1/audit/verify", params={"heads": head["head"]})).json()
        assert found["problem"] is None and found["events"] == found["first"] - 1 + found["events"] > head["sequence"]
        wrong = (await http.get("/paasd/v1/audit/verify", params={"heads": f"{head['sequence']}:{'0' * 64}"})).json()
        assert "kept elsewhere" in wrong["problem"]
        bad = await http.get("/paasd/v1/audit/verify", params={"heads": "7"})
        assert bad.status_code == 400 and "NUMBER:HASH" in bad.text
        connection = apsw.Connection(str(served.context.database.path))
        connection.execute("UPDATE audit_events SET actor_name = 'eve' WHERE sequence = 3").fetchall()
        connection.close()
        found = (await http.get("/paasd/v1/audit/verify")).json()
        assert found["problem"].startswith("event 3 does not fit") and found["events"] == 2


async def test_an_organization_reads_its_own_chain_and_no_other(served: Served) -> None:
    async with await served.admin() as http:
        one, two = await organization(http, "one"), await organization(http, "two")
        auditor = await member(served, http, "auditor", "organization_auditor", one)
        manager = await member(served, http, "manager", "organization_manager", one)
        billing = await member(served, http, "billing", "organization_billing_manager", one)
        for who, path, status in [
            (auditor, "?organization=one", 200),
            (manager, "?organization=one", 200),
            (billing, "?organization=one", 403),
            (auditor, "?organization=two", 404),
            (auditor, "?organization=none", 404),
            (auditor, "", 403),
            (http, "?organization=two", 200),
        ]:
            for name in ("head", "verify", "events"):
                answer = await who.get(f"/paasd/v1/audit/{name}{path}")
                assert answer.status_code == status, (name, path, answer.text)
        answer = await auditor.get("/paasd/v1/audit/events?organization=one")
        found = check_lines(answer.content.splitlines())
        assert (found.problem, found.whole) == (None, True) and found.events >= 7
        assert two not in answer.text and one in answer.text
        numbers = [one["sequence"] for one in map(json.loads, answer.content.splitlines()[1:-1])]
        assert numbers == list(range(1, len(numbers) + 1)), "how much others do cannot be seen either"
        for client in (auditor, manager, billing):
            await client.aclose()


async def test_an_export_of_some_time_says_what_it_goes_on_from(served: Served) -> None:
    async with await served.admin() as http:
        await organization(http, "one")
        served.clock.ahead_s += 100
        since = (await organization_at(http, "two"))["created_at"]
        served.clock.ahead_s += 100
        until = (await organization_at(http, "three"))["created_at"]
        answer = await http.get("/paasd/v1/audit/events", params={"since": since, "until": until})
        lines = answer.content.splitlines()
        assert check_lines(lines).problem is None
        assert [one["target_name"] for one in map(json.loads, lines[1:-1])] == ["two"]
        assert json.loads(lines[0])["after"]["sequence"] == json.loads(lines[1])["sequence"] - 1 > 0
        none = await http.get("/paasd/v1/audit/events", params={"since": "2999-01-01T00:00:00Z"})
        assert check_lines(none.content.splitlines()).events == 0
        bad = await http.get("/paasd/v1/audit/events", params={"since": "yesterday"})
        assert bad.status_code == 400


async def organization_at(http: httpx.AsyncClient, name: str) -> dict[str, Any]:
    await organization(http, name)
    return await newest(http, types="audit.organization.create")


async def test_an_export_that_follows_brings_what_comes(served: Served) -> None:
    begun, came = trio.Event(), trio.Event()

    async def follow(http: httpx.AsyncClient) -> None:
        async with http.stream("GET", "/paasd/v1/audit/events?follow=1") as answer:
            async for line in answer.aiter_lines():
                begun.set()
                if json.loads(line).get("target_name") == "while it follows":
                    came.set()

    with trio.fail_after(10):
        async with await served.admin() as http, await served.admin() as other, trio.open_nursery() as nursery:
            nursery.start_soon(follow, http)
            await begun.wait()
            await organization(other, "while it follows")
            await came.wait()
            served.end_streams()


async def test_events_are_filtered_as_cloud_foundry_does(served: Served) -> None:
    async with await served.admin() as http:
        one, two = await organization(http, "one"), await organization(http, "two")
        every = (await http.get("/v3/audit_events")).json()["pagination"]["total_results"]
        for query, count in [
            (f"target_guids={one}", 1),
            (f"target_guids={one},{two}", 2),
            (f"target_guids[not]={one}", every - 1),
            (f"target_guids[not]={one},{two}&types=audit.organization.create", 1),
            (f"organization_guids={two}", 1),
            ("created_ats[gt]=2999-01-01T00:00:00Z", 0),
            ("updated_ats[lt]=2999-01-01T00:00:00Z", every),
        ]:
            answer = await http.get(f"/v3/audit_events?{query}")
            assert answer.status_code == 200, answer.text
            assert answer.json()["pagination"]["total_results"] == count, query
        bad = await http.get(f"/v3/audit_events?types[not]={one}")
        assert bad.status_code == 400 and "types[not]" in bad.text


async def test_the_commands_tell_it_in_words_and_by_their_exit(served: Served, tmp_path: Path) -> None:
    async with await served.admin() as http:
        await organization(http, "one")
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run" / "api.sock").symlink_to(served.doors.unix_path)
    file = tmp_path / "events.jsonl"

    async def run(*words: str) -> tuple[int, str]:
        typed = await paasd("--data", str(tmp_path), "audit", *words)
        return typed.code, typed.out

    code, head = await run("head")
    assert code == 0 and ":" in head
    assert await run("export", "-o", str(file)) == (0, "")
    code, said = await run("verify", str(file), "--head", head.strip())
    assert code == 0 and "Every event is there" in said
    code, said = await run("verify", "--head", head.strip())
    assert code == 0 and "Every event is there" in said
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    code, said = await run("verify", str(file))
    assert code == 1 and "event 2 is missing" in said
    file.write_bytes(b"".join(lines[:-1]))
    code, said = await run("verify", str(file))
    assert code == 0 and "no last line" in said
    code, said = await run("verify", "--head", f"1:{'0' * 64}")
    assert code == 1 and "event 1 has another hash" in said


@pytest.mark.parametrize("harm", [None, "changed"])
async def test_the_file_of_refusals_is_checked_with_it(harm: str | None, served: Served) -> None:
    from paasd.actions.audit import REFUSALS
    from paasd.chained_file import ChainedFile
    from paasd.model.nodes import RegisterNode, register_node
    from paasd.model.refusals import NoteRefusals, note_refusals

    database, path = served.context.database, served.context.database.path.parent / REFUSALS
    chain = ChainedFile(path, served.clock)
    for why in ("one", "two", "three"):
        chain.add("sign-in", "192.0.2.1", "admin", why)
    node = RegisterNode(guid=served.context.node_guid, name="n", zone="z", memory_mb=1, disk_mb=1, cpus=1)
    await database.write(register_node, node)
    witnessed = NoteRefusals(node_guid=served.context.node_guid, count=chain.count, head=chain.head)
    await database.write(note_refusals, witnessed)
    if harm is not None:
        path.write_text(path.read_text().replace("two", "tow"))
    async with await served.admin() as http:
        problem = (await http.get("/paasd/v1/audit/verify")).json()["problem"]
    assert problem is None if harm is None else "record 2 was changed" in problem


async def test_commands_are_hidden_in_lists_and_from_those_who_may_only_look(served: Served) -> None:
    async with await served.admin() as http:
        space = (await http.get("/v3/spaces")).json()["resources"][0]
        place = {"data": {"guid": space["guid"]}}
        app = (await http.post("/v3/apps", json={"name": "app", "relationships": {"space": place}})).json()["guid"]
        body = {"name": "one", "command": f"run {SECRET}", "process_types": ["web"]}
        made = await http.post(f"/v3/apps/{app}/sidecars", json=body)
        assert made.status_code == 201 and made.json()["command"] == f"run {SECRET}"
        one = f"/v3/sidecars/{made.json()['guid']}"
        assert (await http.get(one)).json()["command"] == f"run {SECRET}"
        assert SECRET not in (await http.get(f"/v3/apps/{app}/sidecars")).text
        organization = space["relationships"]["organization"]["data"]["guid"]
        auditor = await member(served, http, "auditor", "organization_auditor", organization)
        user = (await http.get("/v3/users?usernames=auditor")).json()["resources"][0]["guid"]
        role = {"type": "space_auditor", "relationships": {"user": {"data": {"guid": user}}, "space": place}}
        assert (await http.post("/v3/roles", json=role)).status_code == 201
        shown = await auditor.get(one)
        assert shown.status_code == 200 and SECRET not in shown.text
        await auditor.aclose()


async def test_variables_that_did_not_change_are_no_event(served: Served) -> None:
    async with await served.admin() as http:
        space = (await http.get("/v3/spaces")).json()["resources"][0]["guid"]
        made = {"name": "app", "relationships": {"space": {"data": {"guid": space}}}}
        made["environment_variables"] = {"KEPT": "1"}
        guid = (await http.post("/v3/apps", json=made)).json()["guid"]
        path = f"/v3/apps/{guid}/environment_variables"
        absent = {f"ABSENT_{number}": None for number in range(900)}
        assert (await http.patch(path, json={"var": {**absent, "KEPT": "1"}})).json()["var"] == {"KEPT": "1"}
        assert (await http.get("/v3/audit_events?types=audit.app.update")).json()["resources"] == []
        await http.patch(path, json={"var": {**absent, "NEW": "2", "KEPT": None}})
        assert (await newest(http, types="audit.app.update"))["data"] == {
            "environment_variables": ["KEPT", "NEW"],
            "removed": ["KEPT"],
        }
