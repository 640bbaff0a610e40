"""Options of routes and shares of destinations: what is kept, and what is refused in Cloud Foundry's words."""

from typing import Any

import httpx

from paasd.model import Domain

from .serving import Served
from .test_network_policies import an_app
from .test_security_groups import detail, the_space


async def route(served: Served, http: httpx.AsyncClient, host: str, **more: Any) -> httpx.Response:
    domain = more.pop("domain", "apps.localhost")
    with served.context.database.read() as tx:
        found = tx.find(Domain, name=domain)
    assert found is not None
    relationships = {"space": {"data": {"guid": the_space(served).guid}}, "domain": {"data": {"guid": found.guid}}}
    return await http.post("/v3/routes", json={"host": host, "relationships": relationships, **more})


async def test_options_are_kept_changed_and_taken_away(served: Served):
    async with await served.admin() as http:
        options = {"loadbalancing": "hash", "hash_header": "X-Tenant", "hash_balance": 1.5}
        made = await route(served, http, "one", options=options)
        assert made.status_code == 201, made.text
        assert made.json()["options"] == options
        path = f"/v3/routes/{made.json()['guid']}"
        changed = {"loadbalancing": "least-connection", "hash_header": None, "hash_balance": None}
        assert (await http.patch(path, json={"options": changed})).json()["options"] == {
            "loadbalancing": "least-connection"
        }
        assert (await http.patch(path, json={"options": {"loadbalancing": None}})).json()["options"] == {}


async def test_options_that_mean_nothing_are_refused(served: Served):
    bad = [
        ({"loadbalancing": "fair"}, "Loadbalancing must be one of 'round-robin, least-connection, hash' if present"),
        ({"colour": "red"}, "Unknown field(s): 'colour'"),
        ({"hash_header": "x"}, "Hash header can only be set when loadbalancing is hash"),
        ({"loadbalancing": "round-robin", "hash_balance": 2}, "Hash balance can only be set when loadbalancing is"),
        ({"loadbalancing": "hash"}, "Hash header must be present when loadbalancing is set to hash"),
        ({"loadbalancing": "hash", "hash_header": "a b"}, "Hash header must be the name of a request header"),
        ({"loadbalancing": "hash", "hash_header": "x" * 129}, "Hash header must be at most 128 characters"),
        ({"loadbalancing": "hash", "hash_header": "x", "hash_balance": 1.05}, "Hash balance must be either 0 or"),
        ({"loadbalancing": "hash", "hash_header": "x", "hash_balance": "many"}, "Hash balance must be either 0 or"),
    ]
    async with await served.admin() as http:
        made = (await route(served, http, "one")).json()
        for options, text in bad:
            assert detail(await route(served, http, "two", options=options), 422).startswith(text)
            answer = await http.patch(f"/v3/routes/{made['guid']}", json={"options": options})
            assert detail(answer, 422).startswith(text)


async def test_shares_of_destinations_make_a_hundred(served: Served):
    a, b = await an_app(served, "a"), await an_app(served, "b")

    def shares(*weights: int | None) -> dict[str, Any]:
        pairs = zip((a, b), weights, strict=False)
        return {"destinations": [{"app": {"guid": app.guid}, "weight": weight} for app, weight in pairs]}

    async with await served.admin() as http:
        path = f"/v3/routes/{(await route(served, http, 'one')).json()['guid']}/destinations"
        only = "Destinations[0]: weighted destinations can only be used when replacing all destinations."
        assert detail(await http.post(path, json=shares(100)), 422) == only
        for weights, text in (
            ((50, 49), "Destinations must have weights that sum to 100."),
            ((100, None), "Destinations cannot contain both weighted and unweighted destinations."),
            ((101, 1), "Destinations[0]: weight must be a positive integer between 1 and 100."),
            ((100, 0), "Destinations[1]: weight must be a positive integer between 1 and 100."),
        ):
            assert detail(await http.patch(path, json=shares(*weights)), 422) == text
        for weights in ((90, 10), (60, 40), (None, None), (50, 50)):
            answer = await http.patch(path, json=shares(*weights))
            assert answer.status_code == 200, answer.text
            assert [one["weight"] for one in answer.json()["destinations"]] == list(weights)
        inserted = await http.post(path, json=shares(None))
        assert detail(inserted, 422).startswith("Destinations cannot be inserted when there are weighted")


async def test_internal_routes_have_neither_path_nor_wildcard_and_no_route_has_a_port(served: Served):
    async with await served.admin() as http:
        inside = {"domain": "apps.internal"}
        assert (await route(served, http, "one", **inside)).status_code == 201
        assert detail(await route(served, http, "*", **inside), 422).startswith("Wildcard hosts are not supported")
        assert detail(await route(served, http, "two", path="/x", **inside), 422).startswith("Paths are not supported")
        refused = await route(served, http, "two", port=8080)
        assert detail(refused, 422) == "Routes with protocol 'http' do not support ports."
        answer = await http.post("/v3/domains", json={"name": "tcp.example.org", "router_group": {"guid": "x"}})
        assert detail(answer, 422) == "Router group with guid 'x' not found."


async def test_an_internal_domain_belongs_to_no_organization(served: Served):
    """Its names would be another organization's to look for: names inside are the platform's."""
    async with await served.admin() as http:
        organization = (await http.get("/v3/organizations")).json()["resources"][0]["guid"]
        owned = {"name": "mine.example.org", "relationships": {"organization": {"data": {"guid": organization}}}}
        refused = await http.post("/v3/domains", json={**owned, "internal": True})
        assert detail(refused, 422) == "Cannot associate an internal domain with an organization"
        assert (await http.post("/v3/domains", json={"name": "in.example.org", "internal": True})).status_code == 201
        assert (await http.post("/v3/domains", json={**owned, "internal": False})).status_code == 201
