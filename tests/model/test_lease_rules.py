"""What operations on leases refuse, whoever asks for it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from paasd.model import App, Instance, Lease
from paasd.model.apps import UpdateApp, update_app
from paasd.model.arguments import SYSTEM, Metadata
from paasd.model.instances import PlaceInstances, RemoveInstances, place_instances, remove_instances
from paasd.model.leases import (
    FREE,
    SINGLETON_LABEL,
    ChangeLeases,
    ExpireLease,
    HeldLease,
    LeaseRunning,
    expire_lease,
    lease_running,
    release_leases,
    renew_leases,
)
from paasd.state import InlineRunner
from tests.fresh import open_fresh
from tests.model.seeding import NODE, Seed


class Single(Seed):
    """An app of which only one instance may run."""

    placed: PlaceInstances

    async def begin(self) -> "Single":
        self.placed = await self.placement()
        await self.label("true")
        return self

    async def label(self, value: str | None) -> None:
        with self.database.read() as tx:
            app_guid = tx.all(App)[0].guid
        label = Metadata(labels={SINGLETON_LABEL: value})
        await self.database.write(update_app, UpdateApp(app_guid=app_guid, metadata=label, actor=SYSTEM))

    async def put(self, lease_s: float | None = 20.0) -> int:
        wanted = [replace(one, lease_s=lease_s) for one in self.placed.placements]
        return len(await self.database.write(place_instances, PlaceInstances(placements=wanted)))

    @property
    def lease(self) -> Lease:
        with self.database.read() as tx:
            return tx.all(Lease)[0]

    @property
    def held(self) -> HeldLease:
        return HeldLease(slot=self.lease.slot, epoch=self.lease.epoch)

    async def remove(self) -> None:
        with self.database.read() as tx:
            guids = [row.guid for row in tx.all(Instance)]
        await self.database.write(remove_instances, RemoveInstances(guids=guids))

    async def renew(self, held: HeldLease, node_guid: str = NODE) -> int:
        return len(await self.database.write(renew_leases, ChangeLeases(node_guid=node_guid, held=[held])))

    async def expire(self, renewals: int) -> bool:
        lease = self.lease
        seen = ExpireLease(slot=lease.slot, node_guid=lease.node_guid, epoch=lease.epoch, renewals=renewals)
        return await self.database.write(expire_lease, seen)


@pytest.fixture
async def single(tmp_path: Path) -> AsyncIterator[Single]:
    async with open_fresh(tmp_path, runner=InlineRunner()) as database:
        yield await Single(database).begin()


async def test_a_singleton_is_placed_with_its_lease_once_and_again_only_under_the_next_epoch(single: Single) -> None:
    assert await single.put(lease_s=None) == 0
    assert await single.put() == 1
    assert (single.lease.node_guid, single.lease.epoch) == (NODE, 1)
    await single.remove()
    assert await single.put() == 0, "the lease is still out"
    assert await single.database.write(release_leases, ChangeLeases(node_guid=NODE, held=[single.held])) == 1
    assert single.lease.node_guid == FREE
    assert await single.put() == 1
    with single.database.read() as tx:
        assert [row.epoch for row in tx.all(Instance)] == [2] == [single.lease.epoch]


async def test_no_second_instance_of_a_singleton_and_no_successor_beside_it(single: Single) -> None:
    assert await single.put() == 1
    with single.database.read() as tx:
        elder = tx.all(Instance)[0]
    beside = replace(single.placed.placements[0], replaces=elder.guid, epoch=2, lease_s=20.0)
    assert await single.database.write(place_instances, PlaceInstances(placements=[beside])) == []
    second = replace(single.placed.placements[0], index=1, lease_s=20.0)
    assert await single.database.write(place_instances, PlaceInstances(placements=[second])) == []


async def test_only_the_holder_renews_and_only_its_epoch(single: Single) -> None:
    await single.put()
    assert await single.renew(single.held) == 1
    assert await single.renew(single.held, "another") == 0
    assert await single.renew(replace(single.held, epoch=9)) == 0
    assert single.lease.renewals == 1


async def test_a_lease_is_not_taken_away_after_a_renewal_nor_while_the_instance_is_there(single: Single) -> None:
    await single.put()
    await single.renew(single.held)
    assert not await single.expire(1), "the row of the instance is still there"
    await single.remove()
    await single.renew(single.held)
    assert not await single.expire(1), "it was renewed since"
    assert await single.expire(2)
    assert await single.renew(single.held) == 0


async def test_a_lease_for_what_ran_before_waits_for_its_first_renewal(single: Single) -> None:
    ordinary = replace(single.placed.placements[0], lease_s=None)
    await single.label(None)
    [guid] = await single.database.write(place_instances, PlaceInstances(placements=[ordinary]))
    given = LeaseRunning(instance_guids=[guid], duration_s=20)
    assert await single.database.write(lease_running, given) == 0, "it is no singleton"
    await single.label("true")
    assert await single.database.write(lease_running, given) == 1
    assert await single.database.write(lease_running, given) == 0
    await single.remove()
    assert not await single.expire(-1)
    assert await single.renew(single.held) == 1
    assert single.lease.renewals == 1
    assert await single.expire(1)
