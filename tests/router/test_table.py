from typing import Any

import pytest

from paasd.config import RouterConfig
from paasd.router import Endpoint, RouteEntry
from paasd.router.table import HOST_HEADER, Table, by_host
from paasd.router.xds.messages import CLUSTER_URL, ENDPOINTS_URL, ROUTES_URL, RouteConfiguration

DOMAINS = ("apps.test",)
DOOR = (Endpoint(instance_guid="", index=0, address="127.0.0.1", port=7),)
NOBODY: frozenset[str] = frozenset()


def entry(host: str, path: str = "", port: int = 1, **fields: Any) -> RouteEntry:
    endpoint = Endpoint(instance_guid="i", index=0, address="10.0.0.1", port=port)
    return RouteEntry(host=host, path=path, endpoints=(endpoint,), route_guid=host + path, **fields)


def shape(changes: dict[str, dict[str, bytes | None]]) -> dict[str, list[tuple[str, str]]]:
    """Virtual hosts by domain: the route matches and where they lead."""
    encoded = changes[ROUTES_URL]["routes"]
    found = {}
    for virtual_host in RouteConfiguration.FromString(encoded).virtual_hosts:
        routes = [
            (one.match.path_separated_prefix or one.match.prefix, one.route.cluster or one.route.cluster_header)
            for one in virtual_host.routes
        ]
        found.update(dict.fromkeys(virtual_host.domains, routes))
    return found


@pytest.fixture
def table() -> Table:
    return Table(RouterConfig())


def test_a_plain_host_costs_a_cluster_and_no_route(table: Table) -> None:
    first = table.replace(by_host([entry("a.apps.test")], {}), DOMAINS, NOBODY)
    plain = [("/", HOST_HEADER)]
    assert shape(first) == {"apps.test": plain, "*.apps.test": plain}
    second = table.update(by_host([entry("b.apps.test")], {}), DOMAINS, NOBODY)
    assert ROUTES_URL not in second
    assert list(second[CLUSTER_URL]) == list(second[ENDPOINTS_URL]) == ["b.apps.test"]


def test_replacing_with_the_same_changes_nothing(table: Table) -> None:
    hosts = by_host([entry("a.apps.test"), entry("a.apps.test", "/x"), entry("*.apps.test")], {})
    table.replace(hosts, DOMAINS, NOBODY)
    assert table.replace(hosts, DOMAINS, NOBODY) == {CLUSTER_URL: {}, ENDPOINTS_URL: {}}


def test_an_endpoint_alone_changes_no_route_even_behind_a_path(table: Table) -> None:
    table.replace(by_host([entry("a.apps.test", "/x")], {}), DOMAINS, NOBODY)
    changes = table.update(by_host([entry("a.apps.test", "/x", port=2)], {}), DOMAINS, NOBODY)
    assert ROUTES_URL not in changes


def test_longer_paths_come_first_and_a_wildcard_takes_the_rest(table: Table) -> None:
    entries = [entry("a.apps.test", "/x"), entry("a.apps.test", "/x/y"), entry("*.apps.test"), entry("b.apps.test")]
    assert shape(table.replace(by_host(entries, {}), DOMAINS, NOBODY)) == {
        "*.apps.test": [("/", "*.apps.test|")],
        "a.apps.test": [("/x/y", "a.apps.test/x/y|"), ("/x", "a.apps.test/x|"), ("/", "*.apps.test|")],
        "b.apps.test": [("/", "b.apps.test")],
        "apps.test": [("/", HOST_HEADER)],
    }


def test_taking_a_wildcard_away_makes_hosts_plain_again(table: Table) -> None:
    entries = [entry("a.apps.test"), entry("*.apps.test")]
    table.replace(by_host(entries, {}), DOMAINS, NOBODY)
    changes = table.update({"*.apps.test": ()}, DOMAINS, NOBODY)
    assert shape(changes) == {"apps.test": [("/", HOST_HEADER)], "*.apps.test": [("/", HOST_HEADER)]}
    assert changes[CLUSTER_URL] == {"*.apps.test|": None}


def test_incremental_updates_equal_a_whole_replacement() -> None:
    hosts = by_host(
        [
            entry("a.apps.test"),
            entry("a.apps.test", "/p"),
            entry("*.apps.test"),
            entry("c.apps.test"),
            entry("apps.test"),
        ],
        {"api.system.test": DOOR},
    )
    system = frozenset(["api.system.test"])
    whole, steps = Table(RouterConfig()), Table(RouterConfig())
    expected = shape(whole.replace(hosts, DOMAINS, system))
    last = {}
    for host, entries in hosts.items():
        changes = steps.update({host: entries}, DOMAINS, system)
        last = changes if ROUTES_URL in changes else last
    assert shape(last) == expected
    assert steps.hosts == whole.hosts


def test_a_system_host_displaces_routes_and_has_no_time_limit(table: Table) -> None:
    hosts = by_host([entry("api.apps.test", port=666)], {"api.apps.test": DOOR})
    assert hosts["api.apps.test"][0].endpoints[0].port == 7
    changes = table.replace(hosts, DOMAINS, frozenset(["api.apps.test"]))
    encoded = changes[ROUTES_URL]["routes"]
    times = {
        one.name: one.routes[0].route.timeout.seconds for one in RouteConfiguration.FromString(encoded).virtual_hosts
    }
    assert times == {"api.apps.test": 0, "domain apps.test": 900}


def test_owners_are_remembered_for_entries_that_come_late(table: Table) -> None:
    table.replace(by_host([entry("a.apps.test", port=1)], {}), DOMAINS, NOBODY)
    table.update(by_host([entry("a.apps.test", port=2)], {}), DOMAINS, NOBODY)
    owner = table.owner_of("a.apps.test")
    assert owner is not None and owner.endpoint("10.0.0.1:1") and owner.endpoint("10.0.0.1:2")
    table.update({"a.apps.test": ()}, DOMAINS, NOBODY)
    gone = table.owner_of("a.apps.test")
    assert gone is not None and gone.entry.route_guid == "a.apps.test"
    assert table.find("a.apps.test", "/") is None


@pytest.mark.parametrize("odd", ["evil.org\n", "evil org", ""])
def test_a_domain_that_envoy_refuses_takes_no_other_along(table: Table, odd: str) -> None:
    changes = table.replace({}, (*DOMAINS, odd), NOBODY)
    assert set(shape(changes)) == {"apps.test", "*.apps.test"}
