"""Arguments of the operations on instances, leases, jobs, and work that is taken over."""

from typing import Any

from paasd.model import (
    Instance,
    Job,
    apps,
    instances,
    jobs,
    leases,
    nodes,
    takeover,
)
from paasd.model.arguments import SYSTEM, Metadata
from tests.model.cases.register import case
from tests.model.seeding import NODE, Seed


async def singleton(seed: Seed, value: str | None = "true") -> Instance:
    """A running instance of an app of which only one may run."""
    with seed.database.read() as tx:
        found = tx.all(Instance)
    instance = found[0] if found else await seed.instance()
    label = Metadata(labels={leases.SINGLETON_LABEL: value})
    change = apps.UpdateApp(app_guid=instance.app_guid, metadata=label, actor=SYSTEM)
    await seed.database.write(apps.update_app, change)
    return instance


async def leased(seed: Seed) -> leases.HeldLease:
    """The lease of one."""
    instance = await singleton(seed)
    lease = leases.LeaseRunning(instance_guids=[instance.guid], duration_s=10)
    assert await seed.database.write(leases.lease_running, lease) == 1
    return leases.HeldLease(slot=leases.instance_slot(instance.process_guid, 0), epoch=instance.epoch)


@case(leases.lease_running)
async def _(seed: Seed) -> Any:
    return leases.LeaseRunning(instance_guids=[(await singleton(seed)).guid], duration_s=10)


@case(leases.renew_leases)
async def _(seed: Seed) -> Any:
    return leases.ChangeLeases(node_guid=NODE, held=[await leased(seed)])


@case(leases.release_leases)
async def _(seed: Seed) -> Any:
    return leases.ChangeLeases(node_guid=NODE, held=[await leased(seed)])


@case(leases.expire_lease)
async def _(seed: Seed) -> Any:
    held = await leased(seed)
    await seed.database.write(leases.renew_leases, leases.ChangeLeases(node_guid=NODE, held=[held]))
    with seed.database.read() as tx:
        everything = [one.guid for one in tx.all(Instance)]
    await seed.database.write(instances.remove_instances, instances.RemoveInstances(guids=everything))
    return leases.ExpireLease(slot=held.slot, node_guid=NODE, epoch=held.epoch, renewals=1)


@case(leases.drop_leases)
async def _(seed: Seed) -> Any:
    held = await leased(seed)
    await singleton(seed, None)
    return leases.DropLeases(slots=[held.slot])


@case(takeover.take_over_work)
async def _(seed: Seed) -> Any:
    await seed.node()
    await seed.node("node-2")
    await seed.uploaded_droplet()
    await seed.database.write(nodes.set_node_state, nodes.SetNodeState(guid=NODE, incarnation=1, state="DEAD"))
    lost = jobs.OpenJob(operation="test.run", owner_node_guid="gone")
    await seed.database.write(jobs.start_job, lost)
    return takeover.TakeOverWork()


@case(instances.remove_lost_instances)
async def _(seed: Seed) -> Any:
    instance = await seed.instance()
    await seed.database.write(nodes.set_node_state, nodes.SetNodeState(guid=NODE, incarnation=1, state="DEAD"))
    return instances.RemoveInstances(guids=[instance.guid])


@case(instances.place_instances)
async def _(seed: Seed) -> Any:
    return await seed.placement()


@case(instances.remove_instances)
async def _(seed: Seed) -> Any:
    return instances.RemoveInstances(guids=[(await seed.instance()).guid, "unknown"])


@case(instances.retire_instances)
async def _(seed: Seed) -> Any:
    elder = await seed.instance()
    await seed.database.write(instances.place_instances, seed.successor(elder))
    return instances.RemoveInstances(guids=[elder.guid, "unknown"])


@case(instances.record_failures)
async def _(seed: Seed) -> Any:
    process = await seed.process()
    return instances.RecordFailures(reasons={process.guid: "insufficient resources: memory", "gone": None})


@case(instances.record_crash)
async def _(seed: Seed) -> Any:
    instance = await seed.instance()
    return instances.RecordCrash(
        instance_guid=instance.guid, epoch=instance.epoch, node_guid=NODE, exit_description="exited with status 1"
    )


@case(jobs.start_job)
@case(jobs.start_finished_job)
async def _(seed: Seed) -> Any:
    return jobs.OpenJob(operation="test.run")


@case(jobs.finish_job)
async def _(seed: Seed) -> Any:
    job: Job = await seed.database.write(jobs.start_job, jobs.OpenJob(operation="test.run"))
    return jobs.FinishJob(job_guid=job.guid)


@case(jobs.fail_overdue_jobs)
async def _(seed: Seed) -> Any:
    await seed.database.write(jobs.start_job, jobs.OpenJob(operation="test.run", deadline_s=-60))
    return jobs.FailOverdueJobs()
