"""How requests are spread over instances, seen by the instances: shares of destinations, and hashes of a header."""

from collections import Counter
from pathlib import Path

import msgspec

from paasd.model.records import App, Destination, Domain, Route
from paasd.router import Certificates, Router, RouteTable
from paasd.router.routes import Knowledge, build_entries

from .conftest import DOMAINS, entry, serve
from .members import Authority, members, remote
from .test_feed import running
from .upstream import App as Upstream
from .upstream import apps, fetch

HOST = "shop.apps.localhost"


async def who(router: Router, count: int, header: str | None = None) -> Counter[str]:
    found: Counter[str] = Counter()
    for number in range(count):
        headers = [] if header is None else [("X-Tenant", header.format(number))]
        answer = await fetch(router.http_port, HOST, "/", headers)
        found[answer.seen["instance"]] += 1
    return found


def weighted(*shares: tuple[str, int | None, list[Upstream]]) -> Knowledge:
    known = Knowledge("n")
    known.domains = {"domain": Domain(guid="domain", name="apps.localhost")}
    known.apps = {name: App(guid=name, name=name, space_guid="s", state="STARTED") for name, _, _ in shares}
    known.destinations = {
        "route": tuple(
            Destination(guid=name, route_guid="route", app_guid=name, weight=weight) for name, weight, _ in shares
        )
    }
    known.instances = {
        (name, "web"): tuple(running(one, one.name, app_guid=name) for one in found) for name, _, found in shares
    }
    return known


async def test_a_weight_is_the_share_of_a_destination_however_many_instances_it_has(router: Router):
    async with apps("old", "new-1", "new-2", "new-3") as (old, *new):
        route = Route(guid="route", domain_guid="domain", space_guid="s", host="shop")
        [built] = build_entries([route], weighted(("old", 75, [old]), ("new", 25, new)))
        router.publish(RouteTable(routes=(built,), domains=DOMAINS))
        await router.settled()
        found = await who(router, 80)
        assert 56 <= found["old"] <= 64, found
        assert set(found) == {"old", "new-1", "new-2", "new-3"}
        [built] = build_entries([route], weighted(("old", None, [old]), ("new", None, new)))
        assert {endpoint.weight for endpoint in built.endpoints} == {1}


async def test_a_hash_brings_one_value_of_the_header_to_one_instance(router: Router):
    async with apps("one", "two", "three") as found:
        options = {"loadbalancing": "hash", "hash_header": "X-Tenant"}
        await serve(router, entry(HOST, *found, options=options))
        for tenant in ("red", "green", "blue"):
            assert len(await who(router, 5, tenant)) == 1
        assert set(await who(router, 40, "tenant-{}")) == {"one", "two", "three"}, "and different ones to all"
        await serve(router, entry(HOST, *found))
        assert set(await who(router, 9, "red")) == {"one", "two", "three"}, "without the option it is no matter"


async def test_every_node_hashes_alike(tmp_path: Path, certificates: Certificates):
    async with members(tmp_path, certificates, Authority(), "edge", "owner") as (edge, owner), apps("a", "b") as found:
        targets = {f"{app.name}_1": app for app in found}
        await owner.link(edge, **targets)
        await edge.link(owner)
        options = {"loadbalancing": "hash", "hash_header": "x-tenant", "hash_balance": 1.5}
        here = entry(HOST, *found, options=options)
        await owner.serve(here)
        there = tuple(remote(app, owner) for app in found)
        await edge.serve(msgspec.structs.replace(here, endpoints=there))
        for number in range(12):
            assert await who(edge.router, 1, f"t{number}") == await who(owner.router, 1, f"t{number}")
