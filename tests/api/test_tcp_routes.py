"""Routes with a port, as clients make them: the router group, its domains, ports and what is refused."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from paasd.config import Config, RouterConfig
from tests.api.serving import API, CHEAP_HASHES, Served, serve

WITH_PORTS = Config(api=API, auth=CHEAP_HASHES, router=RouterConfig(tcp_ports="20000-20001,20005"))
GROUPS = "/routing/v1/router_groups"


class Place:
    """What the tests work with: an administrator, the space and a TCP domain."""

    def __init__(self, served: Served, http: httpx.AsyncClient, space: str, group: str, domain: str) -> None:
        self.served, self.http, self.space, self.group, self.domain = served, http, space, group, domain

    async def route(self, domain: str | None = None, **fields: Any) -> httpx.Response:
        relations = {"space": {"data": {"guid": self.space}}, "domain": {"data": {"guid": domain or self.domain}}}
        return await self.http.post("/v3/routes", json={"relationships": relations, **fields})


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with serve(tmp_path, WITH_PORTS) as served, await served.admin() as http:
        space = (await http.get("/v3/spaces")).json()["resources"][0]["guid"]
        group = (await http.get(f"{GROUPS}?name=default-tcp")).json()[0]["guid"]
        body = {"name": "tcp.localhost", "router_group": {"guid": group}}
        domain = (await http.post("/v3/domains", json=body)).json()["guid"]
        yield Place(served, http, space, group, domain)


def told(answer: httpx.Response) -> str:
    assert answer.status_code == 422, answer.text
    return str(answer.json()["errors"][0]["detail"])


async def test_the_router_group_is_shown_to_who_may_see_it(place: Place) -> None:
    found = (await place.http.get(GROUPS)).json()
    assert found == [
        {"guid": place.group, "name": "default-tcp", "type": "tcp", "reservable_ports": "20000-20001,20005"}
    ]
    missing = await place.http.get(f"{GROUPS}?name=none")
    assert (missing.status_code, missing.json()["name"]) == (404, "ResourceNotFoundError")
    root = (await place.http.get("/")).json()
    assert root["links"]["routing"]["href"].endswith("/routing")
    await place.served.make_user("ann")
    async with place.served.client((await place.served.login("ann"))["access_token"]) as ann:
        assert (await ann.get(GROUPS)).status_code == 403


async def test_without_ports_set_aside_there_is_no_group_and_no_tcp_domain(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, await served.admin() as http:
        assert (await http.get(GROUPS)).json() == []
        assert (await http.get("/")).json()["links"]["routing"] is None
        body = {"name": "tcp.localhost", "router_group": {"guid": "group"}}
        assert told(await http.post("/v3/domains", json=body)) == "Router group with guid 'group' not found."


async def test_a_tcp_domain_is_everybodys_and_says_what_it_speaks(place: Place) -> None:
    shown = (await place.http.get(f"/v3/domains/{place.domain}")).json()
    assert (shown["router_group"], shown["supported_protocols"]) == ({"guid": place.group}, ["tcp"])
    usual = (await place.http.get("/v3/domains?names=apps.localhost")).json()["resources"][0]
    assert (usual["router_group"], usual["supported_protocols"]) == (None, ["http"])
    main = (await place.http.get("/v3/organizations")).json()["resources"][0]["guid"]
    owned = {"organization": {"data": {"guid": main}}}
    group = {"guid": place.group}
    for more, text in (
        ({"relationships": owned}, "Domains scoped to an organization cannot be associated to a router group."),
        ({"internal": True}, "Internal domains cannot be associated to a router group."),
        ({"router_group": {"guid": "none"}}, "Router group with guid 'none' not found."),
        ({"router_group": {"guid": place.group, "x": "y"}}, "Router group Unknown field(s): 'x'"),
        ({"router_group": {}}, "Router group guid must be a string"),
        ({"name": "TCP.localhost"}, 'The domain name "tcp.localhost" is already in use'),
    ):
        body = {"name": "more.localhost", "router_group": group, **more}
        assert told(await place.http.post("/v3/domains", json=body)) == text
    await place.served.make_user("ann")
    async with place.served.client((await place.served.login("ann"))["access_token"]) as ann:
        refused = await ann.post("/v3/domains", json={"name": "ann.localhost", "router_group": group})
        assert refused.status_code == 403


async def test_a_port_is_reserved_shown_found_and_free_again(place: Place) -> None:
    made = (await place.route(port=20001)).json()
    assert {name: made[name] for name in ("port", "protocol", "host", "path", "url")} == {
        "port": 20001,
        "protocol": "tcp",
        "host": "",
        "path": "",
        "url": "tcp.localhost:20001",
    }
    drawn = (await place.route()).json()
    assert drawn["port"] in (20000, 20005)
    found = (await place.http.get("/v3/routes?ports=20001,99999")).json()["resources"]
    assert [one["guid"] for one in found] == [made["guid"]]
    reserved = f"/v3/domains/{place.domain}/route_reservations"
    assert (await place.http.get(f"{reserved}?port=20001")).json() == {"matching_route": True}
    assert (await place.http.get(f"{reserved}?port=20002")).json() == {"matching_route": False}
    assert (await place.http.get(reserved)).json() == {"matching_route": False}
    assert (await place.http.get(f"{reserved}?port=x")).status_code == 400
    assert told(await place.route(port=20001)) == "Route already exists with port '20001' for domain 'tcp.localhost'."
    assert (await place.http.delete(f"/v3/routes/{made['guid']}")).status_code == 202
    assert (await place.route(port=20001)).status_code == 201
    events = (await place.http.get(f"/v3/audit_events?target_guids={made['guid']}")).json()["resources"]
    assert {(one["type"], one["target"]["name"]) for one in events} == {
        ("audit.route.create", "tcp.localhost:20001"),
        ("audit.route.delete-request", "tcp.localhost:20001"),
    }


async def test_what_is_no_route_with_a_port_is_refused_in_cloud_foundrys_words(place: Place) -> None:
    usual = (await place.http.get("/v3/domains?names=apps.localhost")).json()["resources"][0]["guid"]
    assert told(await place.route(host="a", port=20000)) == "Hosts are not supported for TCP routes."
    assert told(await place.route(path="/a", port=20000)) == "Paths are not supported for TCP routes."
    assert told(await place.route(usual, host="a", port=20000)) == "Routes with protocol 'http' do not support ports."
    for port in (20002, 80, 0, -1, 2**40):
        text = f"Port '{port}' is not available. Try a different port or use a different domain."
        assert told(await place.route(port=port)) == text
    assert [(await place.route()).status_code for _ in range(3)] == [201] * 3
    assert told(await place.route()) == (
        "There are no more ports available for router group: default-tcp."
        " Please contact your administrator for more information."
    )


async def test_of_two_who_ask_for_a_port_at_once_one_gets_it(place: Place) -> None:
    answers: list[int] = []

    async def ask() -> None:
        answers.append((await place.route(port=20005)).status_code)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(ask)
    assert sorted(answers) == [201, 422, 422, 422]


async def test_a_route_with_a_port_leads_to_an_app_by_call_and_by_manifest(place: Place) -> None:
    manifest = "applications: [{name: echo, routes: [{route: 'tcp.localhost:20001'}]}]"
    apply = f"/v3/spaces/{place.space}/actions/apply_manifest"
    for _ in range(2):
        answer = await place.http.post(apply, content=manifest, headers={"Content-Type": "application/x-yaml"})
        job = (await place.http.get(answer.headers["location"])).json()
        assert (job["state"], job["errors"]) == ("COMPLETE", [])
    route = (await place.http.get("/v3/routes?ports=20001")).json()["resources"][0]
    (destination,) = route["destinations"]
    assert (destination["protocol"], destination["port"]) == ("tcp", 8080)
    app = destination["app"]["guid"]
    written = (await place.http.get(f"/v3/apps/{app}/manifest")).text
    assert "route: tcp.localhost:20001" in written
    assert "protocol: tcp" in written
    second = (await place.route(port=20000)).json()["guid"]
    body: dict[str, Any] = {"destinations": [{"app": {"guid": app}}]}
    mapped = (await place.http.post(f"/v3/routes/{second}/destinations", json=body)).json()["destinations"]
    assert [one["protocol"] for one in mapped] == ["tcp"]
    body["destinations"][0]["protocol"] = "http1"
    text = told(await place.http.post(f"/v3/routes/{second}/destinations", json=body))
    assert text == "Cannot use 'http1' protocol for tcp routes; valid options are: [tcp]."


@pytest.mark.parametrize(
    ("route", "text"),
    [
        ("tcp.localhost", "is a TCP route: it is written as domain and port, as in tcp.localhost:PORT"),
        ("a.tcp.localhost:20001", "is a TCP route"),
        ("tcp.localhost:20001/a", "is a TCP route"),
        ("tcp.localhost:http", "is a TCP route"),
        ("a.apps.localhost:20001", "'apps.localhost' is a domain of HTTP routes, which have none"),
        ("tcp.localhost:20002", "Port '20002' is not available."),
    ],
)
async def test_a_manifest_says_what_is_wrong_with_a_port(place: Place, route: str, text: str) -> None:
    apply = f"/v3/spaces/{place.space}/actions/apply_manifest"
    manifest = f"applications: [{{name: echo, routes: [{{route: '{route}'}}]}}]"
    answer = await place.http.post(apply, content=manifest, headers={"Content-Type": "application/x-yaml"})
    job = (await place.http.get(answer.headers["location"])).json()
    assert job["state"] == "FAILED"
    assert text in job["errors"][0]["detail"]
