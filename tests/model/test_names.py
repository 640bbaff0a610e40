"""Whatever is made in whatever order, a host name has one owner."""

from collections import defaultdict
from random import Random

import pytest

from paasd.errors import Unprocessable
from paasd.model import Domain, Organization, Route, Space
from paasd.model.arguments import SYSTEM
from paasd.model.domains import CreateDomain, create_domain
from paasd.model.organizations import CreateOrganization, create_organization
from paasd.model.routes import WILDCARD, CreateRoute, create_route
from paasd.state import Operation, ReadTx
from tests.model.seeding import Seed

RESERVED = ["System.example.org", "api.System.example.org"]
TAKEN = "Routes for this host and domain have been reserved for another space."


class Place:
    """Two organizations and the shared domains of a platform; makes domains and routes and says why not."""

    def __init__(self, seed: Seed, spaces: dict[str, Space]) -> None:
        self.seed, self.spaces = seed, spaces

    async def domain(self, name: str, owner: str = "") -> str:
        guid = self.spaces[owner].organization_guid if owner else None
        made = CreateDomain(name=name, organization_guid=guid, reserved=RESERVED, actor=SYSTEM)
        return await self._tried(create_domain, made)

    async def route(self, space: str, domain: str, host: str, path: str = "", *, wildcards: bool = False) -> str:
        with self.seed.database.read() as tx:
            on = tx.find(Domain, name=domain)
        made = CreateRoute(
            domain_guid=on.guid if on else "none",
            space_guid=self.spaces[space].guid,
            host=host,
            path=path,
            reserved=RESERVED,
            wildcards=wildcards,
            actor=SYSTEM,
        )
        return await self._tried(create_route, made)

    async def _tried(self, operation: Operation[object, object], arguments: object) -> str:
        try:
            await self.seed.database.write(operation, arguments)
        except Unprocessable as error:
            return error.detail
        return ""


@pytest.fixture
async def place(seed: Seed) -> Place:
    ann, mine, _ = await seed.place()
    bob = await seed.database.write(create_organization, CreateOrganization(name="bob", actor=SYSTEM))
    spaces = {"ann": mine, "ann2": await seed.other_space(ann), "bob": await seed.other_space(bob)}
    return Place(seed, spaces)


async def test_a_private_domain_is_not_above_what_others_have(place: Place) -> None:
    assert await place.domain("apps.example.org") == ""
    assert 'because "apps.example.org" is already reserved' in await place.domain("example.org", "bob")
    assert await place.domain("inner.apps.example.org", "ann") == ""
    assert "already reserved" in await place.domain("deep.inner.apps.example.org", "bob")
    assert "already reserved" in await place.domain("deep.inner.apps.example.org")
    assert await place.domain("deep.inner.apps.example.org", "ann") == ""
    assert "already reserved" in await place.domain("example.org", "ann")
    assert "already reserved" in await place.domain("example.org"), "not even an administrator's, over private ones"


async def test_a_route_has_no_name_of_a_domain(place: Place) -> None:
    assert await place.domain("billing.apps.localhost", "bob") == ""
    assert await place.route("bob", "billing.apps.localhost", "") == ""
    assert (
        await place.route("ann", "apps.localhost", "Billing") == "Route conflicts with domain 'billing.apps.localhost'."
    )
    assert await place.route("bob", "apps.localhost", "billing", "/a") != ""
    assert await place.route("ann", "apps.localhost", "victim") == ""
    assert "already used as a route" in await place.domain("VICTIM.apps.localhost", "bob")


async def test_one_name_made_of_two_domains_is_one_name(place: Place) -> None:
    assert await place.domain("ann.org", "ann") == ""
    assert await place.route("ann", "ann.org", "x.sub") == ""
    assert await place.domain("sub.ann.org", "ann") == ""
    assert "Route already exists with host 'x'" in await place.route("ann", "sub.ann.org", "x")
    assert await place.route("ann2", "sub.ann.org", "x", "/other") == ""
    assert await place.route("ann", "ann.org", "sub") == "Route conflicts with domain 'sub.ann.org'."
    assert await place.route("ann", "ann.org", "y.sub") == ""


async def test_the_system_domain_is_the_platforms_own(place: Place) -> None:
    for name in ("system.example.org", "evil.system.example.org", "SYSTEM.example.org"):
        assert "reserved by the platform" in await place.domain(name, "bob")
    assert 'because "api.system.example.org" is already reserved' in await place.domain("example.org", "bob")
    assert await place.domain("example.org") == ""
    assert "reserved by the platform" in await place.route("bob", "example.org", "System")
    assert await place.route("bob", "example.org", "systems") == ""


async def test_a_host_of_a_shared_domain_is_one_spaces_with_all_its_paths(place: Place) -> None:
    assert await place.route("ann", "apps.localhost", "shop") == ""
    for other in ("bob", "ann2"):
        assert await place.route(other, "apps.localhost", "SHOP", "/login") == TAKEN
        for path in ("//", "/", "///"):
            assert await place.route(other, "apps.localhost", "shop", path) == "Path cannot be a single '/'"
    assert await place.route("ann", "apps.localhost", "shop", "/a/") == ""
    assert "and path '/a'" in await place.route("ann", "apps.localhost", "shop", "/a")
    with place.seed.database.read() as tx:
        assert {route.path for route in tx.all(Route)} == {"", "/a"}
    for odd in ("/a b", "/a\n", "/a\x00"):
        assert await place.route("ann", "apps.localhost", "shop", odd) == "Path is invalid."


async def test_a_wildcard_on_a_shared_domain_is_the_administrators(place: Place) -> None:
    assert await place.route("bob", "apps.localhost", "*") == WILDCARD
    assert await place.route("bob", "apps.localhost", "*", wildcards=True) == ""
    assert await place.domain("bob.org", "bob") == ""
    assert await place.route("bob", "bob.org", "*") == ""


@pytest.mark.parametrize("name", ["evil.org\n", "evil.org.", "evil.org\x00", "*.evil.org", "evil.org/x"])
async def test_what_would_stop_a_router_is_no_name(place: Place, name: str) -> None:
    assert await place.domain(name, "bob") == "Name does not comply with RFC 1035 standards"
    assert "Host must be" in await place.route("bob", "apps.localhost", name)


def owners(tx: ReadTx) -> dict[str, set[str]]:
    """Full names with all who have a part of them: spaces on shared domains, organizations on their own."""
    spaces = {space.guid: space.organization_guid for space in tx.all(Space)}
    domains = {domain.guid: domain for domain in tx.all(Domain)}
    found = defaultdict[str, set[str]](set)
    for domain in domains.values():
        if domain.organization_guid is not None:
            found[domain.name.lower()].add(domain.organization_guid)
    for route in tx.all(Route):
        on = domains[route.domain_guid]
        name = f"{route.host}.{on.name}".lower().lstrip(".")
        shared = on.organization_guid is None
        found[name].add(route.space_guid if shared else spaces[route.space_guid])
        for domain in domains.values():
            if domain.organization_guid is not None and name.endswith(f".{domain.name.lower()}"):
                found[name].add(domain.organization_guid)
    return found


@pytest.mark.parametrize("number", range(8))
async def test_no_name_ever_has_two_owners(place: Place, number: int) -> None:
    """Few labels, so that names meet all the time."""
    random = Random(number)
    labels = ["a", "B", "apps", "system", "localhost", "org"]

    def name(least: int = 1) -> str:
        return ".".join(random.choices(labels, k=random.randint(least, 4)))

    made = 0
    for _ in range(150):
        who = random.choice(list(place.spaces))
        if random.random() < 0.3:
            made += await place.domain(name(2), random.choice(["", who, who])) == ""
        else:
            with place.seed.database.read() as tx:
                on = random.choice(tx.all(Domain, order=("name",))).name
            host = random.choice(["", "*", name(), random.choice(labels)])
            made += await place.route(who, on, host, random.choice(["", "/a", "/a/", "//"])) == ""
    assert made > 20
    with place.seed.database.read() as tx:
        assert len({space.organization_guid for space in tx.all(Space)}) == tx.count(Organization) == 2
        assert {full: who for full, who in owners(tx).items() if len(who) > 1} == {}
