"""What is shared goes away with either side."""

import pytest

from paasd.model import AuditEvent, Domain, DomainShare, Organization, RouteShare
from paasd.model.arguments import SYSTEM
from paasd.model.deletion import DeleteChunk, delete_chunk
from paasd.model.domain_sharing import ShareDomain, share_domain
from paasd.model.domains import CreateDomain, DeleteDomain, begin_delete_domain, create_domain
from paasd.model.organizations import (
    CreateOrganization,
    DeleteOrganization,
    begin_delete_organization,
    create_organization,
)
from paasd.model.route_sharing import MoveRoute, ShareRoute, move_route, share_route
from paasd.model.routes import DeleteRoute, delete_route
from paasd.model.spaces import DeleteSpace, begin_delete_space
from tests.model.seeding import Seed


async def delete_organization(seed: Seed, guid: str) -> None:
    """As the scheduler does."""
    await seed.database.write(begin_delete_organization, DeleteOrganization(organization_guid=guid, actor=SYSTEM))
    while not await seed.database.write(delete_chunk, DeleteChunk(kind="organization", guid=guid)):
        with seed.database.read() as tx:
            domains = [row.guid for row in tx.all(Domain, deleting=True)]
        for domain in domains:
            await seed.database.write(delete_chunk, DeleteChunk(kind="domain", guid=domain))


@pytest.mark.parametrize("side", ["owner", "other"])
async def test_a_shared_domain_is_no_longer_shared_when_either_organization_is_deleted(seed: Seed, side: str) -> None:
    guids = {}
    for name in ("owner", "other", "third"):
        made = await seed.database.write(create_organization, CreateOrganization(name=name, actor=SYSTEM))
        guids[name] = made.guid
    made_domain = CreateDomain(
        name="own.example.org",
        organization_guid=guids["owner"],
        shared_organizations=[guids["other"]],
        actor=SYSTEM,
    )
    domain = await seed.database.write(create_domain, made_domain)
    third = ShareDomain(domain_guid=domain.guid, organization_guids=[guids["third"]], actor=SYSTEM)
    await seed.database.write(share_domain, third)
    await delete_organization(seed, guids[side])
    with seed.database.read() as tx:
        assert tx.get(Organization, guids[side]) is None
        left = [share.organization_guid for share in tx.all(DomainShare)]
    assert left == ([] if side == "owner" else [guids["third"]])


@pytest.mark.parametrize("gone", ["route", "space", "domain"])
async def test_a_shared_route_is_no_longer_shared_when_it_or_the_space_is_deleted(seed: Seed, gone: str) -> None:
    route, (organization, _, _) = await seed.route(), await seed.place()
    space = await seed.other_space(organization)
    share = ShareRoute(route_guid=route.guid, space_guids=[space.guid], actor=SYSTEM)
    await seed.database.write(share_route, share)
    with seed.database.read() as tx:
        assert len(tx.all(RouteShare)) == 1
    if gone == "route":
        await seed.database.write(delete_route, DeleteRoute(route_guid=route.guid, actor=SYSTEM))
    elif gone == "space":
        await seed.database.write(begin_delete_space, DeleteSpace(space_guid=space.guid, actor=SYSTEM))
        await seed.database.write(delete_chunk, DeleteChunk(kind="space", guid=space.guid))
    else:
        await seed.database.write(begin_delete_domain, DeleteDomain(domain_guid=route.domain_guid, actor=SYSTEM))
        await seed.database.write(delete_chunk, DeleteChunk(kind="domain", guid=route.domain_guid))
    with seed.database.read() as tx:
        assert tx.all(RouteShare) == []


async def test_a_route_that_moves_tells_its_new_space_nothing_of_where_it_was(seed: Seed) -> None:
    route, (organization, former, _) = await seed.route(), await seed.place()
    space = await seed.other_space(organization)
    await seed.database.write(move_route, MoveRoute(route_guid=route.guid, space_guid=space.guid, actor=SYSTEM))
    with seed.database.read() as tx:
        events = {event.space_guid: event.data for event in tx.all(AuditEvent, type="audit.route.transfer-owner")}
    assert events == {
        former.guid: {
            "space_guid": space.guid,
            "before": {"space_guid": former.guid},
            "after": {"space_guid": space.guid},
        },
        space.guid: {"space_guid": space.guid},
    }
