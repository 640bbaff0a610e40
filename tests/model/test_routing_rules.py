"""What operations on routes and domains refuse, in the words that clients look for."""

from typing import Any

import pytest
from msgspec.structs import replace

from paasd.model import (
    apps,
    domains,
    organizations,
    routes,
    spaces,
)
from paasd.model.arguments import SYSTEM
from tests.model.refusing import refused
from tests.model.seeding import SIZES, Seed


async def test_a_route_exists_once_on_the_platform(seed: Seed) -> None:
    route = await seed.route()
    make = routes.CreateRoute(domain_guid=route.domain_guid, space_guid=route.space_guid, host="Dora", actor=SYSTEM)
    assert (
        await refused(seed, routes.create_route, make)
        == "Route already exists with host 'Dora' for domain 'apps.localhost'."
    )
    await seed.database.write(routes.create_route, replace(make, path="/a"))
    text = await refused(seed, routes.create_route, replace(make, path="/a"))
    assert text == "Route already exists with host 'Dora' and path '/a' for domain 'apps.localhost'."


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"host": ""}, "Routes in shared domains must have a host"),
        ({"host": "a b"}, "Host must be either"),
        ({"host": "a.b"}, "Host must be either"),
        ({"host": "-a"}, "Host must be either"),
        ({"host": "a" * 64}, "Host cannot exceed 63"),
        ({"path": "a"}, "Path must begin"),
        ({"path": "/"}, "single '/'"),
        ({"path": "/a?b"}, "cannot contain '?'"),
        ({"path": "/" + "a" * 130}, "Path exceeds"),
        ({"port": 80}, "do not support ports"),
        ({"domain_guid": "none"}, "Invalid domain"),
        ({"host": "api", "reserved": ["api.apps.localhost"]}, "reserved by the platform"),
    ],
)
async def test_what_is_no_route_is_refused(seed: Seed, changes: dict[str, Any], text: str) -> None:
    _, space, domain = await seed.place()
    good = routes.CreateRoute(domain_guid=domain.guid, space_guid=space.guid, host="ok", actor=SYSTEM)
    assert text in await refused(seed, routes.create_route, replace(good, **changes))
    assert (await seed.database.write(routes.create_route, good)).host == "ok"


async def test_destinations_are_merged_and_stay_in_their_space(seed: Seed) -> None:
    organization, _, _ = await seed.place()
    app, route = await seed.app(), await seed.route()
    add = routes.ChangeDestinations(
        route_guid=route.guid, destinations=[routes.NewDestination(app_guid=app.guid)], actor=SYSTEM
    )
    [first] = await seed.database.write(routes.add_destinations, add)
    assert [first] == await seed.database.write(routes.add_destinations, add)
    worker = replace(add, destinations=[routes.NewDestination(app_guid=app.guid, process_type="worker")])
    assert len(await seed.database.write(routes.add_destinations, worker)) == 2
    assert len(await seed.database.write(routes.replace_destinations, add)) == 1
    other = await seed.database.write(
        spaces.create_space, spaces.CreateSpace(name="o", organization_guid=organization.guid, actor=SYSTEM)
    )
    foreign = await seed.database.write(
        apps.create_app, apps.CreateApp(guid="f", name="f", space_guid=other.guid, sizes=SIZES, actor=SYSTEM)
    )
    wrong = replace(add, destinations=[routes.NewDestination(app_guid=foreign.guid)])
    text = await refused(seed, routes.add_destinations, wrong)
    assert text == "Routes cannot be mapped to destinations in different spaces."


@pytest.mark.parametrize("name", ["x", "x..org", "-x.org", "x.org-", "a" * 64 + ".org", "x_y.org", ""])
async def test_what_is_no_domain_is_refused(seed: Seed, name: str) -> None:
    await refused(seed, domains.create_domain, domains.CreateDomain(name=name, actor=SYSTEM))


async def test_a_domain_does_not_take_the_names_of_others(seed: Seed) -> None:
    organization, _, _ = await seed.place()
    await seed.route()
    mine = domains.CreateDomain(name="example.org", organization_guid=organization.guid, actor=SYSTEM)
    await seed.database.write(domains.create_domain, mine)
    other = await seed.database.write(
        organizations.create_organization, organizations.CreateOrganization(name="o", actor=SYSTEM)
    )
    assert "internal domain" in await refused(seed, domains.create_domain, replace(mine, name="a.org", internal=True))
    theirs = replace(mine, organization_guid=other.guid)
    assert "already in use" in await refused(seed, domains.create_domain, theirs)
    for name in ("sub.example.org", "org"):
        await refused(seed, domains.create_domain, replace(theirs, name=name))
    assert "used as a route" in await refused(seed, domains.create_domain, replace(theirs, name="dora.apps.localhost"))
    system = replace(theirs, name="system.localhost", reserved=["system.localhost"])
    assert "reserved by the platform" in await refused(seed, domains.create_domain, system)
    assert (await seed.database.write(domains.create_domain, replace(mine, name="sub.example.org"))).guid
