"""More arguments of operations that change rows: those with which each of their fields becomes another one."""

from collections.abc import Callable
from typing import Any

from paasd.model import (
    HealthCheck,
    apps,
    buildpacks,
    feature_flags,
    nodes,
    organizations,
    platform_roles,
    processes,
    routes,
    security_groups,
    sidecars,
    users,
)
from paasd.model.arguments import SYSTEM
from paasd.model.manifests import ApplyManifest, AppToApply, apply_manifest, parse_manifest
from paasd.model.quotas import applying, definitions
from paasd.state import Operation
from tests.model import quota_cases
from tests.model.cases.register import Prepare
from tests.model.seeding import NODE, SIZES, Seed

VARIANTS: list[tuple[Operation[Any, Any], Prepare]] = []


def variant(operation: Operation[Any, Any]) -> Callable[[Prepare], Prepare]:
    def register(prepare: Prepare) -> Prepare:
        VARIANTS.append((operation, prepare))
        return prepare

    return register


@variant(organizations.update_organization)
async def _(seed: Seed) -> Any:
    organization, _, _ = await seed.place()
    return organizations.UpdateOrganization(organization_guid=organization.guid, suspended=True, actor=SYSTEM)


@variant(users.update_user)
async def _(seed: Seed) -> Any:
    guid = (await seed.user()).guid
    return users.UpdateUser(user_guid=guid, scopes=["cloud_controller.read"], registered=True, actor=SYSTEM)


@variant(platform_roles.change_platform_role)
async def _(seed: Seed) -> Any:
    change = platform_roles.ChangePlatformRole(
        user_guid=(await seed.user()).guid, scope="cloud_controller.admin", held=True, actor=SYSTEM
    )
    await seed.database.write(platform_roles.change_platform_role, change)
    return platform_roles.ChangePlatformRole(user_guid=change.user_guid, scope=change.scope, held=False, actor=SYSTEM)


@variant(apps.update_app)
async def _(seed: Seed) -> Any:
    return apps.UpdateApp(app_guid=(await seed.app()).guid, stack="debian12", actor=SYSTEM)


@variant(processes.scale_process)
async def _(seed: Seed) -> Any:
    guid = (await seed.process()).guid
    return processes.ScaleProcess(process_guid=guid, disk_mb=100, log_rate_limit_bytes=1000, sizes=SIZES, actor=SYSTEM)


@variant(processes.update_process)
async def _(seed: Seed) -> Any:
    check = HealthCheck(type="http", endpoint="/ready")
    return processes.UpdateProcess(
        process_guid=(await seed.process()).guid, command="run", readiness_health_check=check, actor=SYSTEM
    )


@variant(sidecars.update_sidecar)
async def _(seed: Seed) -> Any:
    app = await seed.app()
    made = sidecars.CreateSidecar(app_guid=app.guid, name="s", command="c", process_types=["web"], memory_mb=10)
    guid = (await seed.database.write(sidecars.create_sidecar, made)).guid
    return sidecars.UpdateSidecar(sidecar_guid=guid, name="t", process_types=["worker"], memory_mb=None)


@variant(routes.replace_destinations)
async def _(seed: Seed) -> Any:
    one, other, route = await seed.app("one"), await seed.app("other"), await seed.route()
    for weights in ((90, 10), (10, 90)):
        wanted = [
            routes.NewDestination(app_guid=app.guid, weight=weight)
            for app, weight in zip((one, other), weights, strict=True)
        ]
        change = routes.ChangeDestinations(route_guid=route.guid, destinations=wanted, actor=SYSTEM)
        if weights[0] == 90:
            await seed.database.write(routes.replace_destinations, change)
    return change


@variant(security_groups.update_security_group)
async def _(seed: Seed) -> Any:
    rule = {"protocol": "all", "destination": "10.0.0.5"}
    made = security_groups.CreateSecurityGroup(name="database", rules=[rule], actor=SYSTEM)
    group = await seed.database.write(security_groups.create_security_group, made)
    return security_groups.UpdateSecurityGroup(security_group_guid=group.guid, staging_default=True, actor=SYSTEM)


@variant(buildpacks.update_buildpack)
async def _(seed: Seed) -> Any:
    guid = await quota_cases.buildpack(seed)
    return buildpacks.UpdateBuildpack(
        buildpack_guid=guid, name="another", stack="debian12", locked=True, enabled=False, actor=SYSTEM
    )


@variant(definitions.update_organization_quota)
async def _(seed: Seed) -> Any:
    quota = await quota_cases.organization_quota(seed)
    return definitions.UpdateQuota(quota_guid=quota.guid, name="other", actor=SYSTEM)


@variant(applying.apply_space_quota)
async def _(seed: Seed) -> Any:
    _, space, _ = await seed.place()
    await quota_cases.space_quota(seed, applied=True)
    other = definitions.CreateSpaceQuota(name="other", organization_guid=space.organization_guid, actor=SYSTEM)
    quota = await seed.database.write(definitions.create_space_quota, other)
    return applying.ApplyQuota(quota_guid=quota.guid, guids=[space.guid], actor=SYSTEM)


@variant(feature_flags.set_flag)
async def _(seed: Seed) -> Any:
    flag = feature_flags.SetFlag(name="app_scaling", enabled=False, custom_error_message="no", actor=SYSTEM)
    await seed.database.write(feature_flags.set_flag, flag)
    return feature_flags.SetFlag(name="app_scaling", enabled=True, custom_error_message="other", actor=SYSTEM)


@variant(nodes.register_node)
async def _(seed: Seed) -> Any:
    await seed.node()
    return nodes.RegisterNode(guid=NODE, name="m", zone="y", memory_mb=1, disk_mb=1, cpus=1)


MANIFEST = """
applications:
- name: dora
  stack: debian12
  env: {A: b}
  features: {ssh: false}
  random-route: false
  routes:
  - route: dora.apps.localhost
    options: {loadbalancing: least-connection}
    protocol: http2
  processes:
  - type: web
    command: run
    instances: 2
    memory: 128M
    health-check-type: process
  sidecars:
  - name: s
    process_types: [web]
    command: d
    memory: 11M
"""


@variant(apply_manifest)
async def _(seed: Seed) -> Any:
    app, route = await seed.app(), await seed.route()
    made = sidecars.CreateSidecar(app_guid=app.guid, name="s", command="c", process_types=["web"], memory_mb=10)
    await seed.database.write(sidecars.create_sidecar, made)
    mapped = routes.ChangeDestinations(
        route_guid=route.guid, destinations=[routes.NewDestination(app_guid=app.guid)], actor=SYSTEM
    )
    await seed.database.write(routes.add_destinations, mapped)
    [manifest] = parse_manifest(MANIFEST).applications
    one = AppToApply(guid=app.guid, manifest=manifest, previous=app.environment, environment="sealed")
    return ApplyManifest(space_guid=app.space_guid, applications=[one], sizes=SIZES, actor=SYSTEM)
