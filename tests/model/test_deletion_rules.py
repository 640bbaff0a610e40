"""What is deleted is hidden at once, and taken away in chunks."""

import pytest

from paasd.errors import NotFound
from paasd.model import (
    App,
    Build,
    Destination,
    Domain,
    Droplet,
    Instance,
    Job,
    Package,
    Process,
    Route,
    apps,
    deletion,
    domains,
    routes,
)
from paasd.model.arguments import SYSTEM
from tests.model.refusing import refused
from tests.model.seeding import Seed


async def test_a_deleted_app_is_hidden_at_once_and_goes_in_chunks(seed: Seed) -> None:
    instance = await seed.instance()
    app_guid = instance.app_guid
    job = await seed.database.write(apps.begin_delete_app, apps.ChangeApp(app_guid=app_guid, actor=SYSTEM))
    with seed.database.read() as tx:
        assert tx.count(Instance) == 0 and tx.count(Destination) == 0
        assert tx.need(Job, job.guid).state == "PROCESSING"
    await refused(seed, apps.start_app, apps.ChangeApp(app_guid=app_guid, actor=SYSTEM), NotFound)
    chunk = deletion.DeleteChunk(kind="app", guid=app_guid)
    while not await seed.database.write(deletion.delete_chunk, chunk):
        pass
    assert await seed.database.write(deletion.delete_chunk, chunk) is True
    with seed.database.read() as tx:
        assert tx.need(Job, job.guid).state == "COMPLETE"
        assert [tx.count(one) for one in (App, Process, Package, Build, Droplet)] == [0] * 5


async def test_what_is_not_being_deleted_is_not_taken_away(seed: Seed) -> None:
    app = await seed.app()
    assert await seed.database.write(deletion.delete_chunk, deletion.DeleteChunk(kind="app", guid=app.guid)) is False
    with seed.database.read() as tx:
        assert tx.exists(App, guid=app.guid)


async def test_a_large_domain_goes_in_several_chunks(seed: Seed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paasd.state.portions.ROWS", 2)
    _, space, domain = await seed.place()
    for number in range(5):
        make = routes.CreateRoute(domain_guid=domain.guid, space_guid=space.guid, host=f"h{number}", actor=SYSTEM)
        await seed.database.write(routes.create_route, make)
    await seed.database.write(domains.begin_delete_domain, domains.DeleteDomain(domain_guid=domain.guid, actor=SYSTEM))
    chunk = deletion.DeleteChunk(kind="domain", guid=domain.guid)
    results = [await seed.database.write(deletion.delete_chunk, chunk) for _ in range(3)]
    assert results == [False, False, True]
    with seed.database.read() as tx:
        assert tx.count(Route) == 0 and tx.get(Domain, domain.guid) is None
