"""Arguments of the operations on quotas, flags, variable groups, usage events, and of housekeeping."""

from typing import Any

from paasd.model import (
    Limits,
    OrganizationQuota,
    SpaceQuota,
    Task,
    buildpacks,
    feature_flags,
    layers,
    tasks,
    usage_events,
    variable_groups,
)
from paasd.model.arguments import SYSTEM, Metadata
from paasd.model.nodes import SetNodeState, set_node_state
from paasd.model.quotas import applying, definitions
from tests.model.planting import PlantedLayers, plant_layers
from tests.model.seeding import NODE, SIZES, Seed


async def organization_quota(seed: Seed) -> OrganizationQuota:
    organization, _, _ = await seed.place()
    made = definitions.CreateOrganizationQuota(
        name="small",
        limits=Limits(total_memory_in_mb=512),
        organization_guids=[organization.guid],
        actor=SYSTEM,
    )
    return await seed.database.write(definitions.create_organization_quota, made)


async def space_quota(seed: Seed, *, applied: bool = False) -> SpaceQuota:
    _, space, _ = await seed.place()
    made = definitions.CreateSpaceQuota(
        name="small",
        organization_guid=space.organization_guid,
        limits=Limits(total_routes=1),
        space_guids=[space.guid] if applied else [],
        actor=SYSTEM,
    )
    return await seed.database.write(definitions.create_space_quota, made)


async def create_organization_quota(seed: Seed) -> Any:
    organization, _, _ = await seed.place()
    return definitions.CreateOrganizationQuota(name="small", organization_guids=[organization.guid], actor=SYSTEM)


async def create_space_quota(seed: Seed) -> Any:
    _, space, _ = await seed.place()
    return definitions.CreateSpaceQuota(
        name="small", organization_guid=space.organization_guid, space_guids=[space.guid], actor=SYSTEM
    )


async def update_organization_quota(seed: Seed) -> Any:
    quota = await organization_quota(seed)
    return definitions.UpdateQuota(quota_guid=quota.guid, limits={"total_instances": 3}, actor=SYSTEM)


async def update_space_quota(seed: Seed) -> Any:
    quota = await space_quota(seed)
    return definitions.UpdateQuota(quota_guid=quota.guid, name="other", limits={"total_routes": None}, actor=SYSTEM)


async def delete_organization_quota(seed: Seed) -> Any:
    made = definitions.CreateOrganizationQuota(name="small", actor=SYSTEM)
    quota = await seed.database.write(definitions.create_organization_quota, made)
    return definitions.DeleteQuota(quota_guid=quota.guid, actor=SYSTEM)


async def delete_space_quota(seed: Seed) -> Any:
    return definitions.DeleteQuota(quota_guid=(await space_quota(seed)).guid, actor=SYSTEM)


async def apply_organization_quota(seed: Seed) -> Any:
    organization, _, _ = await seed.place()
    await organization_quota(seed)
    return applying.ApplyQuota(quota_guid="default", guids=[organization.guid], actor=SYSTEM)


async def apply_space_quota(seed: Seed) -> Any:
    _, space, _ = await seed.place()
    return applying.ApplyQuota(quota_guid=(await space_quota(seed)).guid, guids=[space.guid], actor=SYSTEM)


async def remove_space_quota(seed: Seed) -> Any:
    _, space, _ = await seed.place()
    quota = await space_quota(seed, applied=True)
    return applying.RemoveSpaceQuota(quota_guid=quota.guid, space_guid=space.guid, actor=SYSTEM)


async def set_flag(seed: Seed) -> Any:
    return feature_flags.SetFlag(name="app_scaling", enabled=False, custom_error_message="no", actor=SYSTEM)


async def set_variable_group(seed: Seed) -> Any:
    return variable_groups.SetVariableGroup(name="running", previous="", variables="sealed", names=["A"], actor=SYSTEM)


async def expire_usage(seed: Seed) -> Any:
    await seed.started()
    return usage_events.ExpireUsage(before="9999-01-01T00:00:00Z")


async def purge_usage(seed: Seed) -> Any:
    await seed.started()
    return usage_events.PurgeUsage(upto=99, actor=SYSTEM)


async def reseed_usage(seed: Seed) -> Any:
    await seed.started()
    return usage_events.ReseedUsage(after=99)


async def buildpack(seed: Seed) -> str:
    made = buildpacks.CreateBuildpack(name="rust_buildpack", actor=SYSTEM)
    return (await seed.database.write(buildpacks.create_buildpack, made)).guid


async def create_buildpack(seed: Seed) -> Any:
    return buildpacks.CreateBuildpack(name="rust_buildpack", position=2, actor=SYSTEM)


async def update_buildpack(seed: Seed) -> Any:
    return buildpacks.UpdateBuildpack(buildpack_guid=await buildpack(seed), position=9, enabled=False, actor=SYSTEM)


async def finish_buildpack_upload(seed: Seed) -> Any:
    return buildpacks.FinishBuildpackUpload(
        buildpack_guid=await buildpack(seed), filename="a.zip", blob_sha256="a" * 64, actor=SYSTEM
    )


async def delete_buildpack(seed: Seed) -> Any:
    return buildpacks.DeleteBuildpack(buildpack_guid=await buildpack(seed), actor=SYSTEM)


async def wanted_task(seed: Seed) -> tasks.CreateTask:
    app = await seed.started()
    return tasks.CreateTask(app_guid=app.guid, name="migrate", command="true", sizes=SIZES, actor=SYSTEM)


async def task(seed: Seed, *, running: bool = False, ended: bool = False) -> Task:
    """The task under the newest number, as it was made."""
    made = await seed.database.write(tasks.create_task, await wanted_task(seed))
    if running or ended:
        await seed.node()
        await seed.database.write(tasks.assign_tasks, tasks.AssignTasks(nodes={made.guid: NODE}))
    if ended:
        done = tasks.FinishTask(task_guid=made.guid, node_guid=NODE, epoch=1)
        assert await seed.database.write(tasks.finish_task, done)
    return made


async def update_task(seed: Seed) -> Any:
    return tasks.UpdateTask(task_guid=(await task(seed)).guid, metadata=Metadata(labels={"a": "b"}), actor=SYSTEM)


async def cancel_task(seed: Seed) -> Any:
    return tasks.CancelTask(task_guid=(await task(seed, running=True)).guid, actor=SYSTEM)


async def assign_tasks(seed: Seed) -> Any:
    await seed.node()
    return tasks.AssignTasks(nodes={(await task(seed)).guid: NODE, "gone": NODE})


async def finish_task(seed: Seed) -> Any:
    made = await task(seed, running=True)
    return tasks.FinishTask(task_guid=made.guid, node_guid=NODE, epoch=1, failure_reason="Exited with status 1")


async def fail_lost_tasks(seed: Seed) -> Any:
    await task(seed, running=True)
    await seed.database.write(set_node_state, SetNodeState(guid=NODE, incarnation=1, state="DEAD"))
    return tasks.FailLostTasks()


async def expire_tasks(seed: Seed) -> Any:
    made = await task(seed, ended=True)
    later = tasks.CreateTask(app_guid=made.app_guid, name="later", command="true", sizes=SIZES, actor=SYSTEM)
    await seed.database.write(tasks.create_task, later)
    return tasks.ExpireTasks(before="9999-01-01T00:00:00Z")


async def expire_layers(seed: Seed) -> Any:
    organization, _, _ = await seed.place()
    await seed.database.write(
        plant_layers, PlantedLayers(owner_guid=organization.guid, organization_guid=organization.guid)
    )
    return layers.ExpireLayers()


CASES = {
    layers.expire_layers: expire_layers,
    tasks.create_task: wanted_task,
    tasks.update_task: update_task,
    tasks.cancel_task: cancel_task,
    tasks.assign_tasks: assign_tasks,
    tasks.finish_task: finish_task,
    tasks.fail_lost_tasks: fail_lost_tasks,
    tasks.expire_tasks: expire_tasks,
    buildpacks.create_buildpack: create_buildpack,
    buildpacks.update_buildpack: update_buildpack,
    buildpacks.finish_buildpack_upload: finish_buildpack_upload,
    buildpacks.delete_buildpack: delete_buildpack,
    usage_events.expire_usage: expire_usage,
    usage_events.purge_usage: purge_usage,
    usage_events.reseed_usage: reseed_usage,
    feature_flags.set_flag: set_flag,
    variable_groups.set_variable_group: set_variable_group,
    definitions.create_organization_quota: create_organization_quota,
    definitions.create_space_quota: create_space_quota,
    definitions.update_organization_quota: update_organization_quota,
    definitions.update_space_quota: update_space_quota,
    definitions.delete_organization_quota: delete_organization_quota,
    definitions.delete_space_quota: delete_space_quota,
    applying.apply_organization_quota: apply_organization_quota,
    applying.apply_space_quota: apply_space_quota,
    applying.remove_space_quota: remove_space_quota,
}
