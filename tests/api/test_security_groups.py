"""Security groups as clients meet them: shapes, texts, who sees and who may, and what a space ends up with."""

from typing import Any

import httpx
import pytest

from paasd.model import AuditEvent, Organization, SecurityGroupSpace, Space
from paasd.model.arguments import SYSTEM
from paasd.model.roles import CreateRole, create_role
from paasd.model.security_groups import effective_rules
from paasd.sandbox.network.egress import NOT_PUBLIC

from .serving import Served

TCP = {"protocol": "tcp", "destination": "10.0.0.5", "ports": "5432"}


async def created(http: httpx.AsyncClient, name: str = "database", **more: Any) -> dict[str, Any]:
    answer = await http.post("/v3/security_groups", json={"name": name, "rules": [TCP], **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def the_space(served: Served) -> Space:
    with served.context.database.read() as tx:
        return tx.all(Space)[0]


async def with_role(served: Served, name: str, role: str) -> httpx.AsyncClient:
    guid = await served.make_user(name)
    space = the_space(served)
    for kind in ("organization_user", role):
        where = (
            {"space_guid": space.guid} if kind.startswith("space") else {"organization_guid": space.organization_guid}
        )
        await served.context.database.write(create_role, CreateRole(type=kind, user_guid=guid, **where, actor=SYSTEM))
    return served.client((await served.login(name))["access_token"])


def detail(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["errors"][0]["detail"])


async def test_a_platform_begins_with_the_groups_of_cloud_foundry(served: Served):
    async with await served.admin() as http:
        listed = (await http.get("/v3/security_groups")).json()["resources"]
    assert [group["name"] for group in listed] == ["public_networks", "dns"]
    assert all(group["globally_enabled"] == {"running": True, "staging": False} for group in listed)


def test_public_networks_are_all_but_the_private_ranges():
    from ipaddress import IPv4Network

    from paasd.model.security_rules import destination_ranges
    from paasd.state.engine import load_migrations

    script = next(one.script for one in load_migrations() if one.name == "network")
    text = script.partition('"destination":"')[2].partition('"')[0]
    allowed = sum(int(last) - int(first) + 1 for first, last in destination_ranges(text))
    assert allowed == 2**32 - sum(IPv4Network(one).num_addresses for one in NOT_PUBLIC)
    for closed in map(IPv4Network, NOT_PUBLIC):
        assert not any(first <= closed[-1] and closed[0] <= last for first, last in destination_ranges(text)), closed


async def test_a_group_is_created_shown_changed_bound_and_deleted(served: Served):
    space = the_space(served)
    async with await served.admin() as http:
        group = await created(http, relationships={"running_spaces": {"data": [{"guid": space.guid}]}})
        assert group["rules"] == [TCP]
        assert group["globally_enabled"] == {"running": False, "staging": False}
        assert group["relationships"] == {
            "running_spaces": {"data": [{"guid": space.guid}]},
            "staging_spaces": {"data": []},
        }
        path = f"/v3/security_groups/{group['guid']}"
        assert (await http.get(path)).json() == group
        bound = await http.post(f"{path}/relationships/staging_spaces", json={"data": [{"guid": space.guid}]})
        assert bound.status_code == 200
        assert bound.json()["data"] == [{"guid": space.guid}]
        assert bound.json()["links"]["self"]["href"].endswith(f"{path}/relationships/staging_spaces")
        changed = await http.patch(path, json={"name": "db", "rules": [], "globally_enabled": {"staging": True}})
        assert changed.json()["name"] == "db"
        assert changed.json()["rules"] == []
        assert changed.json()["globally_enabled"] == {"running": False, "staging": True}
        for phase in ("running", "staging"):
            gone = await http.delete(f"{path}/relationships/{phase}_spaces/{space.guid}")
            assert gone.status_code == 204
        assert (await http.get(path)).json()["relationships"]["running_spaces"] == {"data": []}
        job = await http.delete(path)
        assert job.status_code == 202
        assert (await http.get(job.headers["Location"])).json()["state"] == "COMPLETE"
        assert detail(await http.get(path), 404) == "Security group not found"
    with served.context.database.read() as tx:
        events = [event.type for event in tx.all(AuditEvent) if event.target_guid == group["guid"]]
    assert events == [
        "audit.security_group.create",
        "audit.security_group.bind",
        "audit.security_group.bind",
        "audit.security_group.update",
        "audit.security_group.unbind",
        "audit.security_group.unbind",
        "audit.security_group.delete",
    ]


async def test_lists_are_filtered(served: Served):
    space = the_space(served)
    async with await served.admin() as http:
        group = await created(http, relationships={"running_spaces": {"data": [{"guid": space.guid}]}})

        async def names(query: str, path: str = "/v3/security_groups") -> list[str]:
            answer = await http.get(f"{path}?{query}")
            assert answer.status_code == 200, answer.text
            return [one["name"] for one in answer.json()["resources"]]

        assert await names("names=database,dns") == ["dns", "database"]
        assert await names(f"guids={group['guid']}") == ["database"]
        assert await names(f"running_space_guids={space.guid}") == ["database"]
        assert await names(f"staging_space_guids={space.guid}") == []
        assert await names("globally_enabled_running=false") == ["database"]
        assert await names("globally_enabled_staging=true") == []
        of_space = f"/v3/spaces/{space.guid}"
        assert await names("", f"{of_space}/running_security_groups") == ["public_networks", "dns", "database"]
        assert await names("names=dns", f"{of_space}/running_security_groups") == ["dns"]
        assert await names("", f"{of_space}/staging_security_groups") == []
        assert (await http.get("/v3/security_groups?labels=x")).status_code == 400


BAD = [
    ({"rules": 1}, "Rules must be an array"),
    ({"rules": [1]}, "Rules[0]: must be an object"),
    ({"rules": [{**TCP, "x": 1}]}, 'Rules[0]: unknown field(s): ["x"]'),
    ({"rules": [{**TCP, "ports": None}]}, "Rules[0]: ports are required for protocols of type TCP and UDP"),
    ({"rules": [{**TCP, "ports": "0"}]}, "Rules[0]: ports must be a valid single port, comma separated list"),
    ({"rules": [{**TCP, "ports": "9-2"}]}, "Rules[0]: ports must be a valid single port, comma separated list"),
    ({"rules": [{**TCP, "ports": "1,x"}]}, "Rules[0]: ports must be a valid single port, comma separated list"),
    ({"rules": [TCP, {**TCP, "protocol": "x"}]}, "Rules[1]: protocol must be 'tcp', 'udp', 'icmp', 'icmpv6' or 'all'"),
    ({"rules": [{**TCP, "destination": "x"}]}, "Rules[0]: destination must contain valid CIDR(s), IP address(es)"),
    ({"rules": [{**TCP, "destination": "::1"}]}, "Rules[0]: destination must contain valid CIDR(s), IP address(es)"),
    ({"rules": [{**TCP, "destination": "10.0.0.1/33"}]}, "Rules[0]: destination must contain valid CIDR(s)"),
    ({"rules": [{**TCP, "destination": "1.1.1.1, 1.1.1.2"}]}, "Rules[0]: destination must not contain whitespace"),
    ({"rules": [{**TCP, "destination": "1.1.1.1,"}]}, "Rules[0]: empty destination specified in comma-delimited list"),
    ({"rules": [{**TCP, "destination": "1.1.1.9-1.1.1.2"}]}, "Rules[0]: beginning of IP address range is numerically"),
    ({"rules": [{**TCP, "destination": "1.1.1.9-x"}]}, "Rules[0]: destination IP address range is invalid"),
    ({"rules": [{**TCP, "destination": "1.1.1.01"}]}, "Rules[0]: destination octets cannot contain leading zeros"),
    ({"rules": [{**TCP, "destination": 4}]}, "Rules[0]: destination must be a string"),
    ({"rules": [{**TCP, "log": "yes"}]}, "Rules[0]: log must be a boolean"),
    ({"rules": [{**TCP, "description": 4}]}, "Rules[0]: description must be a string"),
    ({"rules": [{"protocol": "all", "destination": "1.1.1.1", "ports": "1"}]}, "Rules[0]: ports are not allowed for"),
    ({"rules": [{"protocol": "icmp", "destination": "1.1.1.1", "type": 8}]}, "Rules[0]: code is required for"),
    ({"rules": [{"protocol": "icmp", "destination": "1.1.1.1", "type": 8, "code": 256}]}, "Rules[0]: code must be an"),
    ({"rules": [{"protocol": "icmpv6", "destination": "1.1.1.1", "type": 8, "code": 0}]}, "Rules[0]: icmpv6 cannot"),
    ({"rules": [TCP] * 1001}, "has 1001 entries; send at most 1000"),
    ({"rules": [{**TCP, "description": "x" * 100_000}]}, "Rules length must not exceed 100000 characters"),
    ({"globally_enabled": 1}, "Globally enabled must be an object"),
    ({"globally_enabled": {"x": True}}, "Globally enabled only allows keys 'running' or 'staging'"),
    ({"globally_enabled": {"running": 1}}, "Globally enabled values must be booleans"),
    ({"relationships": {"running_spaces": {"data": [{"guid": "x"}]}}}, 'Spaces with guids ["x"] do not exist.'),
    ({"name": "dns"}, "Security group with name 'dns' already exists."),
    ({"name": "a\nb"}, "Security group name contains invalid characters."),
]


async def test_what_cannot_be_used_is_refused_in_cloud_foundrys_words(served: Served):
    async with await served.admin() as http:
        for body, text in BAD:
            answer = await http.post("/v3/security_groups", json={"name": "new", "rules": [TCP], **body})
            assert text in detail(answer, 422), body
        both = [{**TCP, "ports": "x", "log": 3}]
        answer = await http.post("/v3/security_groups", json={"name": "new", "rules": both})
        assert detail(answer, 422).startswith("Rules[0]: log must be a boolean, Rules[0]: ports must be a valid")
        assert (await http.post("/v3/security_groups", json={"name": "new", "rules": [TCP]})).status_code == 201


@pytest.mark.parametrize("role", ["space_auditor", "space_developer", "space_manager", "organization_manager"])
async def test_members_see_the_groups_of_their_spaces_and_managers_bind_them(served: Served, role: str):
    space = the_space(served)
    async with await served.admin() as admin, await with_role(served, "ann", role) as http:
        hidden, shown = await created(admin, "hidden"), await created(admin, "shown")
        path = f"/v3/security_groups/{shown['guid']}"
        running = f"{path}/relationships/running_spaces"
        await admin.post(running, json={"data": [{"guid": space.guid}]})
        assert (await http.get(path)).status_code == 200
        listed = {one["name"] for one in (await http.get("/v3/security_groups")).json()["resources"]}
        assert listed == {"public_networks", "dns", "shown"}
        absent = f"/v3/security_groups/{hidden['guid']}"
        assert detail(await http.get(absent), 404) == "Security group not found"
        for answer in (
            await http.patch(absent, json={"name": "x"}),
            await http.delete(absent),
            await http.post(f"{absent}/relationships/running_spaces", json={"data": []}),
            await http.delete(f"{absent}/relationships/running_spaces/{space.guid}"),
        ):
            assert detail(answer, 404) == "Security group not found"
        assert detail(await http.post("/v3/security_groups", json={"name": "x"}), 403)
        assert detail(await http.patch(path, json={"name": "x"}), 403)
        assert detail(await http.delete(path), 403)
        may = role.endswith("_manager")
        staging = f"{path}/relationships/staging_spaces"
        answer = await http.post(staging, json={"data": [{"guid": space.guid}]})
        assert answer.status_code == (200 if may else 403), answer.text
        answer = await http.delete(f"{running}/{space.guid}")
        assert answer.status_code == (204 if may else 403), answer.text


async def test_a_foreign_space_and_one_that_is_not_there_give_the_same_answers(served: Served):
    async with await served.admin() as admin, await with_role(served, "ann", "space_manager") as http:
        organization = (await admin.post("/v3/organizations", json={"name": "other"})).json()["guid"]
        wanted = {"name": "far", "relationships": {"organization": {"data": {"guid": organization}}}}
        foreign = (await admin.post("/v3/spaces", json=wanted)).json()["guid"]
        group = await created(admin, globally_enabled={"running": True})
        path = f"/v3/security_groups/{group['guid']}/relationships/running_spaces"
        await admin.post(path, json={"data": [{"guid": foreign}]})
        absent = foreign[:-4] + "0000"
        told = {}
        for guid in (foreign, absent):
            told[guid] = [
                detail(await http.post(path, json={"data": [{"guid": guid}]}), 422),
                detail(await http.delete(f"{path}/{guid}"), 422),
                detail(await http.get(f"/v3/spaces/{guid}/running_security_groups"), 404),
            ]
        assert told[absent] == [text.replace(foreign, absent) for text in told[foreign]]
        shown = (await http.get(f"/v3/security_groups/{group['guid']}")).json()
        assert shown["relationships"]["running_spaces"]["data"] == [], "spaces of others are not told"


async def test_what_counts_in_a_space_adds_up_and_goes_with_it(served: Served):
    space = the_space(served)
    async with await served.admin() as http:
        await created(http, "one", relationships={"running_spaces": {"data": [{"guid": space.guid}]}})
        await created(http, "all", globally_enabled={"running": True}, rules=[{**TCP, "ports": "1"}])
        await created(http, "none", rules=[{**TCP, "ports": "2"}])
        with served.context.database.read() as tx:
            rules = effective_rules(tx, "running", space.guid)
            assert effective_rules(tx, "staging", space.guid) == []
        assert [rule.get("ports") for rule in rules] == [None, "53", "53", "5432", "1"]
        await http.delete(f"/v3/spaces/{space.guid}")
        with served.context.database.read() as tx:
            assert tx.count(Organization) == 1
        from paasd.model.deletion import DeleteChunk, delete_chunk

        while not await served.context.database.write(delete_chunk, DeleteChunk(kind="space", guid=space.guid)):
            pass
        with served.context.database.read() as tx:
            assert tx.count(SecurityGroupSpace) == 0
