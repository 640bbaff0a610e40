"""What runs with the sizes of before counts until it is replaced: a lower size in a row sets no memory free."""

from paasd.model import App, AppUsageEvent, Instance, Organization, Process
from paasd.model.apps import ChangeApp, restart_app
from paasd.model.arguments import SYSTEM
from paasd.model.instances import (
    PlaceInstances,
    Placement,
    RemoveInstances,
    place_instances,
    remove_instances,
    retire_instances,
)
from paasd.model.processes import RestartInstance, restart_instance
from paasd.model.quotas.usage import Usage, usage
from paasd.model.usage_events import ReseedUsage, reseed_usage
from tests.model.seeding import NODE, Seed
from tests.model.test_quotas import limit, scale, scale_refused, started


async def place(seed: Seed, process: Process, index: int = 0, epoch: int = 1, replaces: str | None = None) -> Instance:
    await seed.node()
    with seed.database.read() as tx:
        version = tx.need(App, process.app_guid).version
    placement = Placement(
        process_guid=process.guid, index=index, app_version=version, node_guid=NODE, epoch=epoch, replaces=replaces
    )
    (guid,) = await seed.database.write(place_instances, PlaceInstances(placements=[placement]))
    with seed.database.read() as tx:
        return tx.need(Instance, guid)


async def used(seed: Seed) -> Usage:
    organization, _, _ = await seed.place()
    with seed.database.read() as tx:
        return usage(tx, tx.need(Organization, organization.guid))


def sizes_told(seed: Seed, process: Process) -> list[tuple[int, int]]:
    """Memory and instances in the process's usage events."""
    with seed.database.read() as tx:
        events = tx.all(AppUsageEvent, process_guid=process.guid, order=("sequence",))
    return [(one.memory_mb, one.instances) for one in events]


async def test_memory_that_was_scaled_down_counts_until_no_instance_has_it(seed: Seed) -> None:
    one, two = await started(seed, "one", "two")
    await limit(seed.database, total_memory_in_mb=1100, total_disk_in_mb=2100)
    elder = await place(seed, one)
    one = await scale(seed.database, one, memory_mb=10, disk_mb=10)
    assert (await used(seed)).memory_mb == 1024
    assert (await used(seed)).disk_mb == 2048
    assert await scale_refused(seed.database, two, memory_mb=900) == "memory quota_exceeded"
    assert await scale_refused(seed.database, two, disk_mb=1200) == "disk quota_exceeded"
    assert sizes_told(seed, one) == [(512, 1)]

    await seed.database.write(restart_app, ChangeApp(app_guid=one.app_guid, actor=SYSTEM))
    younger = await place(seed, one, epoch=2, replaces=elder.guid)
    assert younger.memory_mb == 10
    assert await scale_refused(seed.database, two, memory_mb=900) == "memory quota_exceeded"
    await seed.database.write(retire_instances, RemoveInstances(guids=[elder.guid]))
    assert (await used(seed)).memory_mb == 522
    assert sizes_told(seed, one) == [(512, 1), (10, 1)]
    assert (await scale(seed.database, two, memory_mb=900, disk_mb=1200)).memory_mb == 900


async def test_more_small_instances_are_no_more_large_ones(seed: Seed) -> None:
    (web,) = await started(seed, "one")
    await limit(seed.database, total_memory_in_mb=600)
    await place(seed, web)
    web = await scale(seed.database, web, memory_mb=10, instances=5)
    assert (await used(seed)).memory_mb == 512 + 4 * 10
    assert sizes_told(seed, web) == [(512, 1), (111, 5)]
    assert (await used(seed)).instances == 5
    assert await scale_refused(seed.database, web, instances=10) == "memory quota_exceeded"
    await seed.database.write(restart_instance, RestartInstance(process_guid=web.guid, index=0, actor=SYSTEM))
    assert (await used(seed)).memory_mb == 50
    assert sizes_told(seed, web)[2:] == [(10, 5)]
    assert (await scale(seed.database, web, instances=10)).instances == 10


async def test_a_log_rate_that_was_lowered_counts_likewise(seed: Seed) -> None:
    (web,) = await started(seed, "one")
    with seed.database.read() as tx:
        processes = tx.all(Process)
    for process in processes:
        await scale(seed.database, process, log_rate_limit_bytes=900)
    await limit(seed.database, log_rate_limit_in_bytes_per_second=1000)
    instance = await place(seed, web)
    web = await scale(seed.database, web, log_rate_limit_bytes=100)
    assert (await used(seed)).log_rate_bytes == 900
    text = "log_rate_limit exceeds organization log rate quota"
    assert await scale_refused(seed.database, web, instances=3) == text
    await seed.database.write(remove_instances, RemoveInstances(guids=[instance.guid]))
    assert (await scale(seed.database, web, instances=3)).instances == 3


async def test_events_that_begin_anew_tell_what_runs(seed: Seed) -> None:
    (web,) = await started(seed, "one")
    await place(seed, web)
    await scale(seed.database, web, memory_mb=10)
    with seed.database.read() as tx:
        newest = max(one.sequence for one in tx.all(AppUsageEvent))
    assert await seed.database.write(reseed_usage, ReseedUsage(after=newest))
    assert sizes_told(seed, web)[-1] == (512, 1)
