"""Network policies as clients meet them: shapes, texts, limits, who may, and that they go with their apps."""

from typing import Any

import httpx

from paasd.model import App, AuditEvent, NetworkPolicy, Space
from paasd.model.apps import ChangeApp, CreateApp, begin_delete_app, create_app
from paasd.model.arguments import SYSTEM
from paasd.model.network_policies import CleanPolicies, PolicySpec, check_policies, clean_policies
from paasd.model.processes import Sizes
from paasd.model.spaces import CreateSpace, create_space

from .serving import Served
from .test_security_groups import the_space, with_role

PATH = "/networking/v1/external/policies"


async def an_app(served: Served, name: str, space_guid: str | None = None) -> App:
    made = CreateApp(
        guid=f"guid-of-{name}",
        name=name,
        space_guid=space_guid or the_space(served).guid,
        sizes=Sizes(),
        actor=SYSTEM,
    )
    return await served.context.database.write(create_app, made)


def policy(
    source: App | str, destination: App | str, start: Any = 8080, end: Any = None, **more: Any
) -> dict[str, Any]:
    ends = [one.guid if isinstance(one, App) else one for one in (source, destination)]
    ports = {"start": start, "end": start if end is None else end}
    return {"source": {"id": ends[0]}, "destination": {"id": ends[1], "protocol": "tcp", "ports": ports, **more}}


async def add(http: httpx.AsyncClient, *policies: dict[str, Any]) -> httpx.Response:
    return await http.post(PATH, json={"policies": list(policies)})


async def listed(http: httpx.AsyncClient, query: str = "") -> list[Any]:
    answer = (await http.get(PATH + query)).json()
    assert answer["total_policies"] == len(answer["policies"])
    return [(one["source"]["id"], one["destination"]["id"]) for one in answer["policies"]]


async def test_policies_are_added_listed_filtered_and_deleted(served: Served):
    a, b, c = [await an_app(served, name) for name in "abc"]
    async with await served.admin() as http:
        for _again in range(2):
            answer = await add(http, policy(a, b, 8080, 8090), policy(a, c), policy(b, a))
            assert (answer.status_code, answer.json()) == (200, {})
        assert (await http.get(PATH)).json()["policies"][0] == policy(a, b, 8080, 8090)
        assert sorted(await listed(http)) == sorted([(a.guid, b.guid), (a.guid, c.guid), (b.guid, a.guid)])
        assert await listed(http, f"?id={c.guid}") == [(a.guid, c.guid)]
        assert len(await listed(http, f"?id={b.guid},{c.guid}")) == 3
        assert await listed(http, f"?source_id={b.guid}") == [(b.guid, a.guid)]
        assert await listed(http, f"?dest_id={b.guid}&source_id={a.guid}") == [(a.guid, b.guid)]
        body = {"policies": [policy(a, b, 8080, 8090), policy(a, b, 1)]}
        gone = await http.post(f"{PATH}/delete", json=body)
        assert (gone.status_code, gone.json()) == (200, {})
        assert await listed(http, f"?dest_id={b.guid}") == []
    with served.context.database.read() as tx:
        kinds = [event.type for event in tx.all(AuditEvent) if "network-policy" in event.type]
    assert kinds == ["audit.app.network-policy.create"] * 3 + ["audit.app.network-policy.delete"]


async def test_what_cannot_be_a_policy_is_refused_in_cloud_foundrys_words(served: Served):
    a, b = await an_app(served, "a"), await an_app(served, "b")
    bad = [
        ([], "missing policies"),
        ([policy("", b)], "missing source id"),
        ([policy(a, "")], "missing destination id"),
        ([policy(a, b, protocol="icmp")], "invalid destination protocol, specify either udp or tcp"),
        ([policy(a, b, protocol="udp")], "udp is not supported between apps; use tcp"),
        ([policy(a, b, 9, 8)], "invalid port range 9-8, start must be less than or equal to end"),
        ([policy(a, b, -1)], "invalid start port -1, must be in range 1-65535"),
        ([policy(a, b, 0)], "missing start port"),
        ([policy(a, b, 65530, 65536)], "invalid end port 65536, must be in range 1-65535"),
        ([policy(a, b, 1, 129)], "port range 1-129 is too wide: policies can open at most 128 ports of an app"),
        ([policy(a, b)] * 201, "at most 200 policies can be sent in one call"),
        ([policy(a, b, 1, 100), policy(b, b, 101, 129)], "policies can open at most 128 ports of an app"),
    ]
    async with await served.admin() as http:
        for policies, text in bad:
            answer = await add(http, *policies)
            assert answer.status_code == 400, answer.text
            assert answer.json()["error"].startswith(f"mapper: validate policies: {text}"), answer.text
        assert await listed(http) == [], "all or nothing"
        answer = await http.post(PATH, content=b"{")
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("mapper: unmarshal json: ")
        assert (await add(http, policy(a, b, 1, 100), policy(b, b, 73, 128))).status_code == 200


async def test_an_app_has_at_most_200_policies(served: Served):
    a = await an_app(served, "a")
    others = [await an_app(served, f"b{number}") for number in range(201)]
    async with await served.admin() as http:
        assert (await add(http, *(policy(a, one) for one in others[:200]))).status_code == 200
        assert (await add(http, policy(a, others[0]))).status_code == 200, "there already"
        answer = await add(http, policy(a, others[200]))
        assert (answer.status_code, answer.json()) == (403, {"error": "policy quota exceeded"})


async def test_only_developers_of_both_spaces_may_and_nobody_learns_more(served: Served):
    near = the_space(served)
    other = CreateSpace(name="far", organization_guid=near.organization_guid, actor=SYSTEM)
    far = await served.context.database.write(create_space, other)
    a, b, c = await an_app(served, "a"), await an_app(served, "b"), await an_app(served, "c", far.guid)
    async with (
        await served.admin() as admin,
        await with_role(served, "dev", "space_developer") as developer,
        await with_role(served, "aud", "space_auditor") as auditor,
        await with_role(served, "man", "organization_manager") as manager,
    ):
        await add(admin, policy(a, b), policy(a, c))
        assert (await add(developer, policy(b, a))).status_code == 200
        refusals = [
            await add(developer, policy(a, c, 1)),
            await add(developer, policy(c, a)),
            await add(developer, policy(a, "not-there")),
            await add(auditor, policy(a, b, 1)),
            await add(manager, policy(a, b, 1)),
            await developer.post(f"{PATH}/delete", json={"policies": [policy(a, c)]}),
        ]
        told = {(one.status_code, one.text) for one in refusals}
        assert told == {(403, '{"error":"one or more applications cannot be found or accessed"}')}
        assert sorted(await listed(developer)) == [(a.guid, b.guid), (b.guid, a.guid)]
        assert await listed(auditor) == await listed(manager) == []
        assert len(await listed(admin)) == 3
        assert (await developer.post(f"{PATH}/cleanup")).status_code == 403


async def test_policies_go_with_either_app(served: Served):
    a, b, c = [await an_app(served, name) for name in "abc"]
    async with await served.admin() as http:
        await add(http, policy(a, b), policy(b, c), policy(c, a))
        await served.context.database.write(begin_delete_app, ChangeApp(app_guid=a.guid, actor=SYSTEM))
        assert await listed(http) == [(b.guid, c.guid)]
        cleaned = await http.post(f"{PATH}/cleanup")
        assert cleaned.json() == {"total_policies": 0, "policies": []}
        with served.context.database.read() as tx:
            assert tx.count(NetworkPolicy) == 1
            assert tx.count(Space) == 1
    assert await served.context.database.write(clean_policies, CleanPolicies()) == []


def test_a_range_of_the_largest_width_is_a_policy():
    one = PolicySpec(source_guid="a", destination_guid="b", protocol="tcp", start_port=1, end_port=128)
    check_policies([one])


async def test_what_others_have_is_not_looked_at(served: Served) -> None:
    """Listing stands on the event loop: the policies of the platform may not count there."""
    a, *others = [await an_app(served, f"a{number}") for number in range(12)]
    async with await served.admin() as admin, await with_role(served, "aud", "organization_auditor") as stranger:
        costs = []
        for foreign in (others[:1], others):
            await add(admin, *(policy(a, one) for one in foreign))
            asked: list[str] = []
            for reader in served.context.database._readers:
                reader.exec_trace = lambda _cursor, text, _values, asked=asked: asked.append(text) or True
            assert await listed(stranger) == []
            for reader in served.context.database._readers:
                reader.exec_trace = None
            costs.append(len(asked))
        assert costs[0] == costs[1] > 0
