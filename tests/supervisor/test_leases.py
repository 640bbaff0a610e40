"""Singletons: they run under a lease, and end with it."""

import msgspec
import pytest
import trio

from paasd.model import Lease
from paasd.model.leases import (
    FREE,
    DropLeases,
    LeaseRunning,
    drop_leases,
    lease_running,
)
from paasd.state import Tx, operation

from .world import SERVER, World, eventually

pytestmark = pytest.mark.root


class Steal(msgspec.Struct):
    slot: str


@operation("test.steal_lease", version=1)
def steal_lease(tx: Tx, args: Steal) -> None:
    lease = tx.need(Lease, args.slot)
    tx.update(lease, node_guid="another", epoch=lease.epoch + 1)


async def leased(world: World, *, duration_s: float = 3.0) -> str:
    """A singleton with its lease, as the scheduler places it."""
    (guid,) = await world.run_app("app", SERVER)
    await world.label("app")
    given = LeaseRunning(instance_guids=[guid], duration_s=duration_s)
    assert await world.database.write(lease_running, given) == 1
    return guid


async def test_a_singleton_runs_as_long_as_its_lease_is_renewed_and_gives_it_back(world: World) -> None:
    guid = await leased(world)
    async with world.supervised():
        await world.running(guid)
        await eventually(lambda: ((lease := world.lease("app")) is not None and lease.renewals >= 5) or None)
        fact = world.observed.get(guid)
        assert fact is not None and fact.state == "RUNNING"
        assert not any("lease" in line for line in world.lines("app"))
        await world.remove(guid)
        await world.gone(guid)
        await eventually(lambda: ((lease := world.lease("app")) is not None and lease.node_guid == FREE) or None)
        assert world.sandbox.containers == {}


async def test_a_singleton_ends_with_its_lease_when_the_node_cannot_renew_it(world: World) -> None:
    guid = await leased(world)
    async with world.supervised():
        await world.running(guid)
        lease = world.lease("app")
        assert lease is not None
        await world.database.write(steal_lease, Steal(lease.slot))
        await world.line("app", "could not renew the lease")
        await world.until(guid, lambda fact: fact is not None and fact.state == "STARTING" and fact.address is None)
        assert world.sandbox.containers == {}, "without the lease it is not started again"


async def test_a_singleton_ends_with_its_lease_while_no_daemon_runs(world: World) -> None:
    guid = await leased(world)
    async with world.supervised():
        await world.running(guid)
    [container] = world.sandbox.containers.values()
    with trio.fail_after(10):
        assert (await container.wait()).reason == "lease ended"


async def test_an_instance_whose_app_becomes_a_singleton_and_is_none_any_more_runs_on(world: World) -> None:
    async with world.supervised():
        (guid,) = await world.run_app("app", SERVER)
        since = (await world.running(guid)).since
        await world.label("app")
        assert await world.database.write(lease_running, LeaseRunning(instance_guids=[guid], duration_s=3.0)) == 1
        await eventually(lambda: ((lease := world.lease("app")) is not None and lease.renewals >= 2) or None)
        await world.label("app", "")
        lease = world.lease("app")
        assert lease is not None
        assert await world.database.write(drop_leases, DropLeases(slots=[lease.slot])) == 1
        await trio.sleep(4)
        fact = world.observed.get(guid)
        assert fact is not None and (fact.state, fact.since) == ("RUNNING", since)
