"""Routes with a port: whose a port is, which there are, and how many one may have."""

from typing import Any

import pytest
import trio
from msgspec.structs import replace

from paasd.errors import Unprocessable
from paasd.model import Destination, Domain, Organization, Route, Space, domains, route_sharing, routes, tcp_routes
from paasd.model.arguments import SYSTEM
from paasd.model.quotas import definitions
from paasd.model.records import Limits
from paasd.model.router_groups import TCP_GROUP_GUID, free_port, is_reservable
from paasd.model.settings import Bootstrap, bootstrap
from tests.model.refusing import refused
from tests.model.seeding import Seed

RANGES = [(2000, 2002), (2010, 2010)]


async def tcp_domain(seed: Seed, name: str = "tcp.localhost") -> Domain:
    made = domains.CreateTcpDomain(name=name, router_group_guid=TCP_GROUP_GUID, actor=SYSTEM)
    return await seed.database.write(domains.create_tcp_domain, made)


async def wanted(seed: Seed, **fields: Any) -> tcp_routes.CreateTcpRoute:
    """Arguments for a route on a new domain, in the first space."""
    _, space, _ = await seed.place()
    domain = await tcp_domain(seed)
    known = {"domain_guid": domain.guid, "space_guid": space.guid, "reservable": RANGES, "actor": SYSTEM, **fields}
    return tcp_routes.CreateTcpRoute(**known)


@pytest.mark.parametrize(
    ("taken", "begin", "found"),
    [
        (set(), 0, 2000),
        (set(), 2001, 2001),
        ({2001}, 2001, 2002),
        ({2002, 2001}, 2001, 2010),
        ({2010}, 2003, 2000),
        ({2000, 2001, 2002, 2010}, 0, None),
    ],
)
def test_the_first_free_port_is_found_going_round(taken: set[int], begin: int, found: int | None) -> None:
    assert free_port(RANGES, taken, begin) == found


def test_both_ends_of_a_range_belong_to_it() -> None:
    assert [port for port in range(1990, 2020) if is_reservable(port, RANGES)] == [2000, 2001, 2002, 2010]


async def test_a_port_is_one_routes_whatever_its_domain(seed: Seed) -> None:
    make = await wanted(seed, port=2001)
    route = await seed.database.write(tcp_routes.create_tcp_route, make)
    assert (route.port, route.protocol, route.host, route.path) == (2001, "tcp", "", "")
    again = await refused(seed, tcp_routes.create_tcp_route, make)
    assert again == "Route already exists with port '2001' for domain 'tcp.localhost'."
    other = await tcp_domain(seed, "other.localhost")
    elsewhere = await refused(seed, tcp_routes.create_tcp_route, replace(make, domain_guid=other.guid))
    assert elsewhere == "Port '2001' is not available. Try a different port or use a different domain."
    second = await seed.database.write(tcp_routes.create_tcp_route, replace(make, port=2000))
    assert second.domain_guid == route.domain_guid
    await seed.database.write(routes.delete_route, routes.DeleteRoute(route_guid=route.guid, actor=SYSTEM))
    assert (await seed.database.write(tcp_routes.create_tcp_route, make)).port == 2001


async def test_a_port_that_is_not_set_aside_is_nobodys(seed: Seed) -> None:
    make = await wanted(seed)
    for port in (0, 22, 80, 1999, 2003, 65535, 70000):
        text = await refused(seed, tcp_routes.create_tcp_route, replace(make, port=port))
        assert text == f"Port '{port}' is not available. Try a different port or use a different domain."


async def test_without_a_port_there_is_one_until_all_are_taken(seed: Seed) -> None:
    make = await wanted(seed, begin=2002)
    ports = [(await seed.database.write(tcp_routes.create_tcp_route, make)).port for _ in range(4)]
    assert ports == [2002, 2010, 2000, 2001]
    assert (await refused(seed, tcp_routes.create_tcp_route, make)).startswith(
        "There are no more ports available for router group: default-tcp."
    )


async def test_of_two_that_want_a_port_at_once_one_gets_it(seed: Seed) -> None:
    make = await wanted(seed, port=2001)
    outcomes: list[str] = []

    async def attempt() -> None:
        try:
            outcomes.append(str((await seed.database.write(tcp_routes.create_tcp_route, make)).port))
        except Unprocessable as error:
            outcomes.append(error.detail)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(attempt)
        nursery.start_soon(attempt)
    assert sorted(outcomes) == ["2001", "Route already exists with port '2001' for domain 'tcp.localhost'."]


@pytest.mark.parametrize(("level", "name"), [("space", "dev"), ("organization", "main")])
async def test_a_quota_limits_reserved_ports(seed: Seed, level: str, name: str) -> None:
    make = await wanted(seed)
    organization, space, http = await seed.place()
    limits = Limits(total_reserved_ports=1)
    if level == "space":
        of_space = definitions.CreateSpaceQuota(
            name="q", organization_guid=organization.guid, limits=limits, space_guids=[space.guid], actor=SYSTEM
        )
        await seed.database.write(definitions.create_space_quota, of_space)
    else:
        everywhere = definitions.CreateOrganizationQuota(
            name="q", limits=limits, organization_guids=[organization.guid], actor=SYSTEM
        )
        await seed.database.write(definitions.create_organization_quota, everywhere)
    await seed.database.write(tcp_routes.create_tcp_route, make)
    text = await refused(seed, tcp_routes.create_tcp_route, make)
    assert text == f"Reserved route ports quota exceeded for {level} '{name}'."
    without = routes.CreateRoute(domain_guid=http.guid, space_guid=space.guid, host="h", actor=SYSTEM)
    assert (await seed.database.write(routes.create_route, without)).port is None


async def test_a_route_with_a_port_counts_where_it_is_moved_to(seed: Seed) -> None:
    route = await seed.database.write(tcp_routes.create_tcp_route, await wanted(seed))
    organization, _, _ = await seed.place()
    other = await seed.other_space(organization)
    quota = definitions.CreateSpaceQuota(
        name="none",
        organization_guid=organization.guid,
        limits=Limits(total_reserved_ports=0),
        space_guids=[other.guid],
        actor=SYSTEM,
    )
    await seed.database.write(definitions.create_space_quota, quota)
    move = route_sharing.MoveRoute(route_guid=route.guid, space_guid=other.guid, actor=SYSTEM)
    text = await refused(seed, route_sharing.move_route, move)
    assert text == "Reserved route ports quota exceeded for space 'other'."


async def test_each_kind_of_domain_has_its_own_kind_of_routes(seed: Seed) -> None:
    make = await wanted(seed)
    _, space, http = await seed.place()
    on_http = await refused(seed, tcp_routes.create_tcp_route, replace(make, domain_guid=http.guid))
    assert on_http == routes.INVALID_DOMAIN
    hosted = routes.CreateRoute(domain_guid=make.domain_guid, space_guid=space.guid, host="h", actor=SYSTEM)
    assert await refused(seed, routes.create_route, hosted) == "Routes with protocol 'tcp' must specify a port."
    assert (await refused(seed, tcp_routes.create_tcp_route, replace(make, options={"loadbalancing": "hash"}))) == (
        "Hash header must be present when loadbalancing is set to hash"
    )
    hashing = {"loadbalancing": "hash", "hash_header": "x"}
    text = await refused(seed, tcp_routes.create_tcp_route, replace(make, options=hashing))
    assert text == "Loadbalancing cannot be hash for TCP routes"
    route = await seed.database.write(tcp_routes.create_tcp_route, make)
    change = routes.UpdateRoute(route_guid=route.guid, options=hashing, actor=SYSTEM)
    assert await refused(seed, routes.update_route, change) == text


async def test_what_is_spoken_to_the_app_fits_the_route(seed: Seed) -> None:
    app, http = await seed.app(), await seed.route()
    tcp = await seed.database.write(tcp_routes.create_tcp_route, await wanted(seed))

    def leading(route: Route, protocol: str | None) -> routes.ChangeDestinations:
        only = routes.NewDestination(app_guid=app.guid, protocol=protocol)
        return routes.ChangeDestinations(route_guid=route.guid, destinations=[only], actor=SYSTEM)

    text = await refused(seed, routes.add_destinations, leading(tcp, "http2"))
    assert text == "Cannot use 'http2' protocol for tcp routes; valid options are: [tcp]."
    text = await refused(seed, routes.add_destinations, leading(http, "tcp"))
    assert text == "Cannot use 'tcp' protocol for http routes; valid options are: [http1, http2]."
    (one,) = await seed.database.write(routes.add_destinations, leading(tcp, None))
    assert one.protocol == "tcp"
    with seed.database.read() as tx:
        assert tx.count(Destination, protocol="tcp") == 1


async def test_default_routes_are_never_on_a_tcp_domain(seed: Seed) -> None:
    await tcp_domain(seed, "a.first.localhost")
    await seed.database.write(bootstrap, Bootstrap(apps_domain="apps.localhost"))
    with seed.database.read() as tx:
        organization = tx.all(Organization)[0]
        assert len(domains.usable_domains(tx, organization.guid)) > 1
        found = domains.default_domain(tx, organization.guid)
        assert found is not None
        assert found.name == "apps.localhost"
        assert tx.count(Space) == 1
