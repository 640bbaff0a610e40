"""Every operation stands a log that refuses, loses and delays: it takes effect exactly once or not at all."""

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import paasd.model
from paasd.model import (
    Authority,
    Destination,
    DropletLayer,
    GossipKey,
    HealthCheck,
    Instance,
    Job,
    Revision,
    Role,
    apps,
    brake,
    builds,
    clients,
    deletion,
    deploy_tokens,
    domain_sharing,
    domains,
    draining,
    droplets,
    environment_shown,
    identities,
    instances,
    invitations,
    jobs,
    leases,
    leaving,
    liveness,
    membership,
    metadata,
    network_policies,
    nodes,
    organizations,
    packages,
    passcodes,
    platform_roles,
    processes,
    recovery,
    refusals,
    retention,
    revisions,
    roles,
    rotation,
    route_sharing,
    routes,
    second_factors,
    security_groups,
    settings,
    sidecars,
    spaces,
    ssh,
    takeover,
    tcp_routes,
    uploads,
    users,
    voting,
)
from paasd.model.arguments import SYSTEM, Metadata
from paasd.model.manifests import ApplyManifest, AppToApply, apply_manifest, parse_manifest
from paasd.model.manifests.applying import FailManifest, fail_manifest
from paasd.state import Database, Operation, registered_operations
from paasd.state.checking import check_operation_is_repeatable
from tests.model import quota_cases
from tests.model.seeding import NODE, SIZES, Seed

Prepare = Callable[[Seed], Awaitable[Any]]
CASES: dict[str, tuple[Operation[Any, Any], Prepare]] = {
    operation.name: (operation, prepare) for operation, prepare in quota_cases.CASES.items()
}
LABELS = Metadata(labels={"a": "b", "gone": None}, annotations={"c": "d"})


def case(operation: Operation[Any, Any]) -> Callable[[Prepare], Prepare]:
    def register(prepare: Prepare) -> Prepare:
        CASES[operation.name] = (operation, prepare)
        return prepare

    return register


@case(settings.bootstrap)
async def _(seed: Seed) -> Any:
    return settings.Bootstrap(apps_domain="apps.localhost")


@case(settings.put_setting)
async def _(seed: Seed) -> Any:
    return settings.PutSetting(name="a", value="b")


@case(organizations.create_organization)
async def _(seed: Seed) -> Any:
    return organizations.CreateOrganization(name="one", metadata=LABELS, actor=SYSTEM)


@case(organizations.update_organization)
async def _(seed: Seed) -> Any:
    organization, _, _ = await seed.place()
    return organizations.UpdateOrganization(organization_guid=organization.guid, name="two", actor=SYSTEM)


@case(organizations.begin_delete_organization)
async def _(seed: Seed) -> Any:
    organization, _, _ = await seed.place()
    return organizations.DeleteOrganization(organization_guid=organization.guid, actor=SYSTEM)


@case(spaces.create_space)
async def _(seed: Seed) -> Any:
    organization, _, _ = await seed.place()
    return spaces.CreateSpace(name="two", organization_guid=organization.guid, actor=SYSTEM)


@case(spaces.update_space)
async def _(seed: Seed) -> Any:
    _, space, _ = await seed.place()
    return spaces.UpdateSpace(space_guid=space.guid, name="two", allow_ssh=False, actor=SYSTEM)


@case(spaces.begin_delete_space)
async def _(seed: Seed) -> Any:
    _, space, _ = await seed.place()
    return spaces.DeleteSpace(space_guid=space.guid, actor=SYSTEM)


@case(users.create_user)
async def _(seed: Seed) -> Any:
    return users.CreateUser(username="ann", actor=SYSTEM)


@case(users.update_user)
async def _(seed: Seed) -> Any:
    return users.UpdateUser(user_guid=(await seed.user()).guid, email="a@example.org", actor=SYSTEM)


@case(users.set_password)
async def _(seed: Seed) -> Any:
    return users.SetPassword(user_guid=(await seed.user()).guid, password_hash="hash", actor=SYSTEM)


@case(users.delete_user)
@case(users.forget_roles)
async def _(seed: Seed) -> Any:
    role = await _role(seed)
    return users.DeleteUser(user_guid=role.user_guid, actor=SYSTEM)


@case(leaving.take_rights)
async def _(seed: Seed) -> Any:
    return leaving.TakeRights(user_guid=(await _role(seed)).user_guid, tokens=True, actor=SYSTEM)


async def _role(seed: Seed) -> Role:
    organization, _, _ = await seed.place()
    user = await seed.user()
    wanted = roles.CreateRole(
        type="organization_user", user_guid=user.guid, organization_guid=organization.guid, actor=SYSTEM
    )
    return await seed.database.write(roles.create_role, wanted)


@case(roles.create_role)
async def _(seed: Seed) -> Any:
    organization, _, _ = await seed.place()
    user = await seed.user()
    return roles.CreateRole(
        type="organization_manager", user_guid=user.guid, organization_guid=organization.guid, actor=SYSTEM
    )


SECRET = "secret"


async def _invitation(seed: Seed) -> invitations.CreateInvitation:
    organization, space, _ = await seed.place()
    return invitations.CreateInvitation(
        organization_guid=organization.guid,
        address="ann@example.org",
        secret_hash=SECRET,
        organization_roles=["organization_auditor"],
        space_roles={space.guid: ["space_developer"]},
        expires_at=2**40,
        by_platform=True,
        actor=SYSTEM,
    )


async def _invited(seed: Seed) -> str:
    return (await seed.database.write(invitations.create_invitation, await _invitation(seed))).guid


@case(invitations.create_invitation)
async def _(seed: Seed) -> Any:
    return await _invitation(seed)


@case(invitations.revoke_invitation)
async def _(seed: Seed) -> Any:
    return invitations.ChangeInvitation(invitation_guid=await _invited(seed), actor=SYSTEM)


@case(invitations.note_sent)
async def _(seed: Seed) -> Any:
    return invitations.NoteSent(invitation_guid=await _invited(seed))


@case(invitations.accept_invitation)
async def _(seed: Seed) -> Any:
    await _invited(seed)
    return invitations.AcceptInvitation(secret_hash=SECRET, username="ann@example.org", password_hash="hash")


@case(roles.delete_role)
async def _(seed: Seed) -> Any:
    return roles.DeleteRole(role_guid=(await _role(seed)).guid, actor=SYSTEM)


@case(domains.create_domain)
async def _(seed: Seed) -> Any:
    organization, _, _ = await seed.place()
    return domains.CreateDomain(name="x.example.org", organization_guid=organization.guid, actor=SYSTEM)


@case(domains.update_domain)
async def _(seed: Seed) -> Any:
    _, _, domain = await seed.place()
    return domains.UpdateDomain(domain_guid=domain.guid, metadata=LABELS)


@case(domains.begin_delete_domain)
async def _(seed: Seed) -> Any:
    _, _, domain = await seed.place()
    return domains.DeleteDomain(domain_guid=domain.guid, actor=SYSTEM)


@case(domain_sharing.share_domain)
async def _(seed: Seed) -> Any:
    domain, other = await _own_domain(seed)
    return domain_sharing.ShareDomain(domain_guid=domain, organization_guids=[other, other], actor=SYSTEM)


@case(domain_sharing.unshare_domain)
async def _(seed: Seed) -> Any:
    domain, other = await _own_domain(seed)
    wanted = domain_sharing.ShareDomain(domain_guid=domain, organization_guids=[other], actor=SYSTEM)
    await seed.database.write(domain_sharing.share_domain, wanted)
    return domain_sharing.UnshareDomain(domain_guid=domain, organization_guid=other, actor=SYSTEM)


async def _own_domain(seed: Seed) -> tuple[str, str]:
    """A private domain, and another organization."""
    organization, _, _ = await seed.place()
    made = domains.CreateDomain(name="own.example.org", organization_guid=organization.guid, actor=SYSTEM)
    domain = await seed.database.write(domains.create_domain, made)
    other = organizations.CreateOrganization(name="other", actor=SYSTEM)
    return domain.guid, (await seed.database.write(organizations.create_organization, other)).guid


@case(routes.create_route)
async def _(seed: Seed) -> Any:
    _, space, domain = await seed.place()
    return routes.CreateRoute(domain_guid=domain.guid, space_guid=space.guid, host="x", actor=SYSTEM)


async def tcp_domain(seed: Seed) -> str:
    """The guid of a domain for routes with a port."""
    made = domains.CreateTcpDomain(name="tcp.example.org", router_group_guid="group", actor=SYSTEM)
    return (await seed.database.write(domains.create_tcp_domain, made)).guid


@case(domains.create_tcp_domain)
async def _(seed: Seed) -> Any:
    return domains.CreateTcpDomain(name="tcp.example.org", router_group_guid="group", actor=SYSTEM)


@case(tcp_routes.create_tcp_route)
async def _(seed: Seed) -> Any:
    _, space, _ = await seed.place()
    domain = await tcp_domain(seed)
    return tcp_routes.CreateTcpRoute(
        domain_guid=domain, space_guid=space.guid, begin=2001, reservable=[(2000, 2001)], actor=SYSTEM
    )


@case(routes.update_route)
async def _(seed: Seed) -> Any:
    route = await seed.route()
    return routes.UpdateRoute(route_guid=route.guid, options={"loadbalancing": "round-robin"}, actor=SYSTEM)


@case(routes.delete_route)
async def _(seed: Seed) -> Any:
    return routes.DeleteRoute(route_guid=(await seed.route()).guid, actor=SYSTEM)


@case(routes.add_destinations)
@case(routes.replace_destinations)
async def _(seed: Seed) -> Any:
    app, route = await seed.app(), await seed.route()
    wanted = routes.NewDestination(app_guid=app.guid)
    return routes.ChangeDestinations(route_guid=route.guid, destinations=[wanted, wanted], actor=SYSTEM)


@case(routes.update_destination)
async def _(seed: Seed) -> Any:
    made = await _destination(seed)
    return routes.UpdateDestination(
        route_guid=made.route_guid, destination_guid=made.guid, protocol="http2", actor=SYSTEM
    )


@case(route_sharing.share_route)
async def _(seed: Seed) -> Any:
    return (await _sharing(seed))[0]


@case(route_sharing.unshare_route)
@case(route_sharing.move_route)
async def _(seed: Seed) -> Any:
    share, space = await _sharing(seed)
    await seed.database.write(route_sharing.share_route, share)
    return route_sharing.MoveRoute(route_guid=share.route_guid, space_guid=space, actor=SYSTEM)


async def _sharing(seed: Seed) -> tuple[route_sharing.ShareRoute, str]:
    """A route to be shared, and with which space."""
    route, (organization, _, _) = await seed.route(), await seed.place()
    space = (await seed.other_space(organization)).guid
    return route_sharing.ShareRoute(route_guid=route.guid, space_guids=[space, space], actor=SYSTEM), space


@case(routes.remove_destination)
async def _(seed: Seed) -> Any:
    made = await _destination(seed)
    return routes.RemoveDestination(route_guid=made.route_guid, destination_guid=made.guid, actor=SYSTEM)


async def _destination(seed: Seed) -> Destination:
    app, route = await seed.app(), await seed.route()
    wanted = routes.ChangeDestinations(
        route_guid=route.guid, destinations=[routes.NewDestination(app_guid=app.guid)], actor=SYSTEM
    )
    [made] = await seed.database.write(routes.add_destinations, wanted)
    return made


async def _group(seed: Seed) -> str:
    _, space, _ = await seed.place()
    rule = {"protocol": "tcp", "destination": "10.0.0.5", "ports": "5432"}
    made = security_groups.CreateSecurityGroup(
        name="database", rules=[rule], running_spaces=[space.guid], staging_default=True, actor=SYSTEM
    )
    return (await seed.database.write(security_groups.create_security_group, made)).guid


@case(security_groups.create_security_group)
async def _(seed: Seed) -> Any:
    _, space, _ = await seed.place()
    rule = {"protocol": "icmp", "destination": "10.0.0.0/8", "type": 8, "code": 0}
    return security_groups.CreateSecurityGroup(
        name="ping", rules=[rule], staging_spaces=[space.guid, space.guid], actor=SYSTEM
    )


@case(security_groups.update_security_group)
async def _(seed: Seed) -> Any:
    return security_groups.UpdateSecurityGroup(
        security_group_guid=await _group(seed), name="db", rules=[], running_default=True, actor=SYSTEM
    )


@case(security_groups.delete_security_group)
async def _(seed: Seed) -> Any:
    return security_groups.DeleteSecurityGroup(security_group_guid=await _group(seed), actor=SYSTEM)


@case(security_groups.bind_security_group)
async def _(seed: Seed) -> Any:
    group = await _group(seed)
    _, space, _ = await seed.place()
    return security_groups.BindSecurityGroup(
        security_group_guid=group, phase="staging", space_guids=[space.guid], actor=SYSTEM
    )


@case(security_groups.unbind_security_group)
async def _(seed: Seed) -> Any:
    group = await _group(seed)
    _, space, _ = await seed.place()
    return security_groups.UnbindSecurityGroup(
        security_group_guid=group, phase="running", space_guid=space.guid, actor=SYSTEM
    )


@case(network_policies.add_policies)
async def _(seed: Seed) -> Any:
    return await _policies(seed)


@case(network_policies.remove_policies)
async def _(seed: Seed) -> Any:
    wanted = await _policies(seed)
    await seed.database.write(network_policies.add_policies, wanted)
    return wanted


async def _policies(seed: Seed) -> network_policies.ChangePolicies:
    source, destination = await seed.app("front"), await seed.app("back")
    one = network_policies.PolicySpec(
        source_guid=source.guid, destination_guid=destination.guid, protocol="tcp", start_port=8080, end_port=8081
    )
    return network_policies.ChangePolicies(policies=[one, one], actor=SYSTEM)


@case(network_policies.clean_policies)
async def _(seed: Seed) -> Any:
    return network_policies.CleanPolicies()


@case(apps.create_app)
async def _(seed: Seed) -> Any:
    _, space, _ = await seed.place()
    return apps.CreateApp(
        guid=seed.guid(), name="dora", space_guid=space.guid, metadata=LABELS, sizes=SIZES, actor=SYSTEM
    )


@case(apps.update_app)
async def _(seed: Seed) -> Any:
    app = await seed.app()
    return apps.UpdateApp(app_guid=app.guid, name="other", buildpacks=["x"], stack=None, actor=SYSTEM)


@case(apps.set_environment)
async def _(seed: Seed) -> Any:
    app = await seed.app()
    return apps.SetEnvironment(app_guid=app.guid, previous="", environment="sealed", names=["A"], actor=SYSTEM)


@case(apps.set_feature)
async def _(seed: Seed) -> Any:
    return apps.SetFeature(app_guid=(await seed.app()).guid, feature="ssh", enabled=False, actor=SYSTEM)


@case(apps.set_current_droplet)
async def _(seed: Seed) -> Any:
    droplet = await seed.droplet({"web": "a", "worker": "b"})
    return apps.SetDroplet(app_guid=droplet.app_guid, droplet_guid=droplet.guid, sizes=SIZES, actor=SYSTEM)


@case(apps.start_app)
async def _(seed: Seed) -> Any:
    app = await seed.started()
    await seed.database.write(apps.stop_app, apps.ChangeApp(app_guid=app.guid, actor=SYSTEM))
    return apps.ChangeApp(app_guid=app.guid, actor=SYSTEM)


@case(apps.stop_app)
@case(apps.restart_app)
@case(apps.begin_delete_app)
async def _(seed: Seed) -> Any:
    return apps.ChangeApp(app_guid=(await seed.started()).guid, actor=SYSTEM)


@case(processes.scale_process)
async def _(seed: Seed) -> Any:
    process = await seed.process()
    return processes.ScaleProcess(process_guid=process.guid, instances=3, memory_mb=64, sizes=SIZES, actor=SYSTEM)


@case(processes.update_process)
async def _(seed: Seed) -> Any:
    process = await seed.process()
    check = HealthCheck(type="http", endpoint="/up", timeout_s=9)
    return processes.UpdateProcess(process_guid=process.guid, command=None, health_check=check, actor=SYSTEM)


@case(processes.restart_instance)
async def _(seed: Seed) -> Any:
    instance = await seed.instance()
    return processes.RestartInstance(process_guid=instance.process_guid, index=0, actor=SYSTEM)


@case(sidecars.create_sidecar)
async def _(seed: Seed) -> Any:
    app = await seed.app()
    return sidecars.CreateSidecar(app_guid=app.guid, name="s", command="c", process_types=["web"], memory_mb=10)


async def _sidecar(seed: Seed) -> str:
    app = await seed.app()
    made = sidecars.CreateSidecar(app_guid=app.guid, name="s", command="c", process_types=["web"])
    return (await seed.database.write(sidecars.create_sidecar, made)).guid


@case(sidecars.update_sidecar)
async def _(seed: Seed) -> Any:
    return sidecars.UpdateSidecar(sidecar_guid=await _sidecar(seed), command="d", memory_mb=None)


@case(sidecars.delete_sidecar)
async def _(seed: Seed) -> Any:
    return sidecars.DeleteSidecar(sidecar_guid=await _sidecar(seed))


@case(packages.create_package)
async def _(seed: Seed) -> Any:
    return packages.CreatePackage(app_guid=(await seed.app()).guid, metadata=LABELS, actor=SYSTEM)


@case(packages.begin_upload)
async def _(seed: Seed) -> Any:
    return packages.BeginUpload(package_guid=(await seed.package(ready=False)).guid, actor=SYSTEM)


@case(packages.finish_upload)
async def _(seed: Seed) -> Any:
    package = await seed.package(ready=False)
    await seed.database.write(packages.begin_upload, packages.BeginUpload(package_guid=package.guid, actor=SYSTEM))
    return packages.FinishUpload(package_guid=package.guid, blob_sha256="c" * 64, size_bytes=3)


@case(packages.fail_overdue_uploads)
async def _(seed: Seed) -> Any:
    package = await seed.package(ready=False)
    await seed.database.write(packages.begin_upload, packages.BeginUpload(package_guid=package.guid, actor=SYSTEM))
    return packages.FailOverdueUploads(before="2999-01-01T00:00:00Z")


@case(packages.copy_package)
async def _(seed: Seed) -> Any:
    package = await seed.package()
    return packages.CopyPackage(source_guid=package.guid, app_guid=package.app_guid, actor=SYSTEM)


@case(packages.update_package)
async def _(seed: Seed) -> Any:
    return packages.UpdatePackage(package_guid=(await seed.package()).guid, metadata=LABELS)


@case(packages.delete_package)
async def _(seed: Seed) -> Any:
    return packages.DeletePackage(package_guid=(await seed.package()).guid, actor=SYSTEM)


@case(builds.create_build)
async def _(seed: Seed) -> Any:
    package = await seed.package()
    return builds.CreateBuild(package_guid=package.guid, default_stack="host", metadata=LABELS, actor=SYSTEM)


@case(builds.update_build)
async def _(seed: Seed) -> Any:
    return builds.UpdateBuild(build_guid=(await seed.build()).guid, metadata=LABELS)


@case(builds.assign_build)
async def _(seed: Seed) -> Any:
    return builds.AssignBuild(build_guid=(await seed.build(assigned=False)).guid, node_guid=NODE, epoch=0)


@case(builds.finish_build)
async def _(seed: Seed) -> Any:
    build = await seed.build()
    layer = builds.NewLayer(key="k", role="dependencies", sha256="d" * 64, size_bytes=2)
    return builds.FinishBuild(
        build_guid=build.guid,
        node_guid=NODE,
        epoch=build.epoch,
        layers=[],
        process_types={"web": "run"},
        register=[layer, layer],
    )


@case(builds.fail_build)
async def _(seed: Seed) -> Any:
    build = await seed.build()
    return builds.FailBuild(build_guid=build.guid, node_guid=NODE, epoch=build.epoch, error="StagingError - no")


@case(builds.prolong_builds)
async def _(seed: Seed) -> Any:
    build = await seed.build()
    current = builds.CurrentBuild(build_guid=build.guid, epoch=build.epoch)
    return builds.ProlongBuilds(node_guid=NODE, builds=[current], timeout_s=900)


@case(builds.fail_overdue_builds)
async def _(seed: Seed) -> Any:
    package = await seed.package()
    made = builds.CreateBuild(package_guid=package.guid, default_stack="host", timeout_s=-60, actor=SYSTEM)
    await seed.database.write(builds.create_build, made)
    return builds.FailOverdueBuilds()


@case(droplets.update_droplet)
async def _(seed: Seed) -> Any:
    return droplets.UpdateDroplet(droplet_guid=(await seed.droplet()).guid, metadata=LABELS)


@case(droplets.create_droplet)
async def _(seed: Seed) -> Any:
    app = await seed.app()
    return droplets.CreateDroplet(app_guid=app.guid, process_types={"web": "run"}, metadata=LABELS, actor=SYSTEM)


@case(droplets.record_download)
async def _(seed: Seed) -> Any:
    return droplets.RecordDownload(droplet_guid=(await seed.droplet()).guid, actor=SYSTEM)


@case(packages.record_package_download)
async def _(seed: Seed) -> Any:
    package = await seed.package()
    return packages.RecordPackageDownload(package_guid=package.guid, actor=SYSTEM)


@case(environment_shown.record_environment_shown)
async def _(seed: Seed) -> Any:
    return environment_shown.RecordEnvironmentShown(app_guid=(await seed.app()).guid, actor=SYSTEM)


@case(uploads.begin_droplet_upload)
async def _(seed: Seed) -> Any:
    return seed.bits(await seed.awaiting_droplet())


@case(uploads.finish_droplet_upload)
async def _(seed: Seed) -> Any:
    droplet = await seed.uploaded_droplet()
    layer = DropletLayer(role="app", sha256="e" * 64, size_bytes=4)
    return uploads.FinishDropletUpload(
        droplet_guid=droplet.guid, node_guid=NODE, layers=[layer], process_types={"web": "a", "worker": "b"}
    )


@case(uploads.fail_droplet_upload)
async def _(seed: Seed) -> Any:
    droplet = await seed.uploaded_droplet()
    return uploads.FailDropletUpload(droplet_guid=droplet.guid, node_guid=NODE, error="StagingError - no")


@case(uploads.prolong_droplet_uploads)
async def _(seed: Seed) -> Any:
    droplet = await seed.uploaded_droplet()
    return uploads.ProlongDropletUploads(node_guid=NODE, droplet_guids=[droplet.guid], timeout_s=900)


@case(uploads.fail_overdue_droplet_uploads)
async def _(seed: Seed) -> Any:
    await seed.uploaded_droplet(timeout_s=-60)
    return uploads.FailOverdueDropletUploads()


@case(droplets.copy_droplet)
async def _(seed: Seed) -> Any:
    droplet = await seed.droplet()
    return droplets.CopyDroplet(source_guid=droplet.guid, app_guid=droplet.app_guid, actor=SYSTEM)


@case(droplets.delete_droplet)
async def _(seed: Seed) -> Any:
    return droplets.DeleteDroplet(droplet_guid=(await seed.droplet()).guid, actor=SYSTEM)


@case(nodes.register_node)
async def _(seed: Seed) -> Any:
    return nodes.RegisterNode(guid="n", name="n", zone="z", memory_mb=1, disk_mb=1, cpus=1)


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


@case(membership.open_cluster)
async def _(seed: Seed) -> Any:
    await seed.node()
    return membership.OpenCluster(
        cluster_id="cluster",
        node_guid=NODE,
        authority=Authority(guid="a1", purpose="nodes", certificate="pem", sealed_key="s", state="SIGNING"),
        public=Authority(guid="a2", purpose="public", certificate="pem", sealed_key="s", state="SIGNING"),
        gossip_key=GossipKey(id="k", sealed="s", state="SENDING"),
    )


@case(membership.advertise_node)
async def _(seed: Seed) -> Any:
    await seed.node()
    return membership.Advertise(
        guid=NODE,
        address="10.0.0.1",
        peer_port=1,
        tunnel_port=2,
        etcd_client_port=3,
        etcd_peer_port=4,
        version="1",
        schema_limit=3,
    )


TOKEN = membership.CreateToken(id="t", secret_hash="h", role="worker", expires_at=4_000_000_000, actor=SYSTEM)


@case(membership.create_token)
async def _(seed: Seed) -> Any:
    return TOKEN


@case(membership.delete_token)
async def _(seed: Seed) -> Any:
    await seed.database.write(membership.create_token, TOKEN)
    return membership.DeleteToken(id="t", actor=SYSTEM)


@case(membership.admit_member)
async def _(seed: Seed) -> Any:
    await seed.database.write(membership.create_token, TOKEN)
    return membership.AdmitMember(
        token_id="t",
        secret_hash="h",
        guid="new",
        name="new",
        zone="z",
        memory_mb=1,
        disk_mb=1,
        cpus=1,
        address="10.0.0.2",
        peer_port=1,
        tunnel_port=2,
        etcd_client_port=3,
        etcd_peer_port=4,
        version="1",
        schema_limit=3,
    )


@case(membership.remove_node)
async def _(seed: Seed) -> Any:
    await seed.node()
    await seed.database.write(
        nodes.register_node, nodes.RegisterNode(guid="n2", name="n2", zone="z", memory_mb=1, disk_mb=1, cpus=1)
    )
    return membership.RemoveNode(guid="n2", force=True, actor=SYSTEM)


@case(nodes.set_node_state)
async def _(seed: Seed) -> Any:
    await seed.node()
    return nodes.SetNodeState(guid=NODE, incarnation=1, state="DEAD")


@case(nodes.return_node)
async def _(seed: Seed) -> Any:
    await seed.node()
    await seed.database.write(nodes.set_node_state, nodes.SetNodeState(guid=NODE, incarnation=1, state="DEAD"))
    return nodes.ReturnNode(guid=NODE, incarnation=1)


@case(liveness.admit_node)
async def _(seed: Seed) -> Any:
    await seed.node()
    await seed.database.write(nodes.set_node_state, nodes.SetNodeState(guid=NODE, incarnation=1, state="RETURNING"))
    return liveness.AdmitNode(node_guid=NODE, incarnation=1)


@case(liveness.declare_dead)
async def _(seed: Seed) -> Any:
    for guid in (NODE, "other", "third"):
        await seed.node(guid)
    return liveness.DeclareDead(node_guid=NODE, incarnation=1, witnesses=["other", "third"])


@case(liveness.declare_dead_by_hand)
async def _(seed: Seed) -> Any:
    await seed.node()
    return liveness.DeclareDeadByHand(node_guid=NODE, actor=SYSTEM)


@case(draining.drain_node)
async def _(seed: Seed) -> Any:
    await seed.node()
    return draining.DrainNode(node_guid=NODE, actor=SYSTEM)


@case(draining.undrain_node)
async def _(seed: Seed) -> Any:
    await seed.node()
    await seed.database.write(draining.drain_node, draining.DrainNode(node_guid=NODE, actor=SYSTEM))
    return draining.DrainNode(node_guid=NODE, actor=SYSTEM)


@case(brake.engage_brake)
async def _(seed: Seed) -> Any:
    return brake.EngageBrake(nodes=[NODE], reason="1 of 2 nodes")


@case(brake.release_brake)
async def _(seed: Seed) -> Any:
    await seed.database.write(brake.engage_brake, brake.EngageBrake(nodes=[NODE], reason="1 of 2 nodes"))
    return brake.ReleaseBrake(by_operator=True)


@case(brake.accept_losses)
async def _(seed: Seed) -> Any:
    await seed.database.write(brake.engage_brake, brake.EngageBrake(nodes=[NODE, "other"], reason="2 of 3 nodes"))
    await seed.database.write(brake.release_brake, brake.ReleaseBrake(by_operator=True))
    return brake.AcceptLosses(nodes=["other"])


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


async def _revision(seed: Seed) -> str:
    app = await seed.started()
    with seed.database.read() as tx:
        return tx.all(Revision, app_guid=app.guid)[0].guid


@case(revisions.update_revision)
async def _(seed: Seed) -> Any:
    return revisions.UpdateRevision(revision_guid=await _revision(seed), metadata=LABELS, actor=SYSTEM)


@case(revisions.record_shown)
async def _(seed: Seed) -> Any:
    return revisions.RecordShown(revision_guid=await _revision(seed), actor=SYSTEM)


@case(metadata.merge_resource_metadata)
async def _(seed: Seed) -> Any:
    return metadata.MergeMetadata(resource_type="user", resource_guid="u", metadata=LABELS)


@case(deletion.delete_chunk)
async def _(seed: Seed) -> Any:
    app = await seed.started()
    await seed.database.write(apps.begin_delete_app, apps.ChangeApp(app_guid=app.guid, actor=SYSTEM))
    return deletion.DeleteChunk(kind="app", guid=app.guid)


@case(apply_manifest)
async def _(seed: Seed) -> Any:
    _, space, _ = await seed.place()
    text = """
applications:
- name: dora
  instances: 2
  routes: [{route: dora.apps.localhost}, {route: dora.apps.localhost/x}]
  processes: [{type: worker, memory: 64M}]
  sidecars: [{name: s, command: c, process_types: [web]}]
  metadata: {labels: {a: b}}
"""
    [manifest] = parse_manifest(text).applications
    one = AppToApply(manifest=manifest, guid=seed.guid(), environment="sealed")
    return ApplyManifest(space_guid=space.guid, applications=[one], sizes=SIZES, actor=SYSTEM)


@case(fail_manifest)
async def _(seed: Seed) -> Any:
    _, space, _ = await seed.place()
    return FailManifest(space_guid=space.guid, errors=["no"])


@case(retention.expire_parts)
async def _(seed: Seed) -> Any:
    app = await seed.app()
    for _ in range(3):
        await seed.package(app)
    return retention.ExpireParts(app_guid=app.guid, packages=1, droplets=1, builds=1)


@case(retention.expire_records)
async def _(seed: Seed) -> Any:
    await seed.app()
    return retention.ExpireRecords(jobs_before="9999-01-01T00:00:00Z", events_before="9999-01-01T00:00:00Z")


@case(voting.add_etcd_authority)
async def _(seed: Seed) -> Any:
    authority = Authority(guid="a", purpose="etcd", certificate="pem", sealed_key="sealed", state="SIGNING")
    return voting.AddEtcdAuthority(authority=authority)


@case(voting.offer_vote)
async def _(seed: Seed) -> Any:
    await seed.node()
    return voting.OfferVote(node_guid=NODE, etcd_version="3.4.23")


@case(voting.change_vote)
async def _(seed: Seed) -> Any:
    await seed.member()
    return voting.ChangeVote(node_guid=NODE, before="", after="JOINING")


@case(recovery.note_backup)
async def _(seed: Seed) -> Any:
    return recovery.NoteBackup(node_guid=NODE, position=7, actor=SYSTEM)


@case(recovery.start_over)
async def _(seed: Seed) -> Any:
    await seed.member()
    return recovery.StartOver(node_guid="new", position=7)


@case(recovery.recover_cluster)
async def _(seed: Seed) -> Any:
    await seed.member()
    return recovery.Recover(node_guid=NODE, lost=[])


async def opened(seed: Seed) -> None:
    """A cluster of one node."""
    await seed.node()
    await seed.database.write(
        membership.open_cluster,
        membership.OpenCluster(
            cluster_id="cluster",
            node_guid=NODE,
            authority=Authority(guid="a1", purpose="nodes", certificate="pem", sealed_key="s", state="SIGNING"),
            public=Authority(guid="a2", purpose="public", certificate="pem", sealed_key="s", state="SIGNING"),
            gossip_key=GossipKey(id="k", sealed="s", state="SENDING"),
        ),
    )


NEXT_AUTHORITY = rotation.BeginAuthority(
    authority=Authority(guid="a3", purpose="nodes", certificate="pem", sealed_key="s"), actor=SYSTEM
)
NEXT_KEY = rotation.BeginGossipKey(key=GossipKey(id="k2", sealed="s"), actor=SYSTEM)


@case(rotation.begin_authority)
async def _(seed: Seed) -> Any:
    await opened(seed)
    return NEXT_AUTHORITY


@case(rotation.replace_host_key)
async def _(seed: Seed) -> Any:
    row = Authority(guid="h1", purpose=rotation.HOST_KEY, certificate="ssh-ed25519 A", sealed_key="s", state="SIGNING")
    return rotation.ReplaceHostKey(authority=row, actor=SYSTEM)


@case(rotation.advance_authority)
async def _(seed: Seed) -> Any:
    await opened(seed)
    await seed.database.write(rotation.begin_authority, NEXT_AUTHORITY)
    return rotation.AdvanceAuthority(guid="a3", before="TRUSTED")


@case(rotation.begin_gossip_key)
async def _(seed: Seed) -> Any:
    await opened(seed)
    return NEXT_KEY


@case(rotation.advance_gossip_key)
async def _(seed: Seed) -> Any:
    await opened(seed)
    await seed.database.write(rotation.begin_gossip_key, NEXT_KEY)
    return rotation.AdvanceGossipKey(id="k2", before="KNOWN")


@case(rotation.note_rotation)
async def _(seed: Seed) -> Any:
    return rotation.NoteRotation(kind="root_key", name="k", actor=SYSTEM)


@case(refusals.note_refusals)
async def _(seed: Seed) -> Any:
    await seed.node()
    return refusals.NoteRefusals(node_guid=NODE, count=1, head="h")


@case(users.note_sign_in)
async def _(seed: Seed) -> Any:
    return users.NoteSignIn(user_guid=(await seed.user()).guid, address="192.0.2.1")


@case(platform_roles.change_platform_role)
async def _(seed: Seed) -> Any:
    return platform_roles.ChangePlatformRole(
        user_guid=(await seed.user()).guid, scope=platform_roles.PLATFORM_ROLES[0], held=True, actor=SYSTEM
    )


@case(users.sign_out)
async def _(seed: Seed) -> Any:
    return users.EndSessions(user_guid=(await seed.user()).guid, actor=SYSTEM)


NOW_S = 4_000_000_000


async def _deploy_token(seed: Seed) -> deploy_tokens.CreateDeployToken:
    organization, space, _ = await seed.place()
    return deploy_tokens.CreateDeployToken(
        guid="token-guid-1",
        name="ci",
        secret_hash="h",
        role="space_developer",
        organization_guid=organization.guid,
        space_guid=space.guid,
        expires_at=NOW_S,
        actor=msgspec.structs.replace(SYSTEM, guid="root"),
    )


@case(deploy_tokens.create_deploy_token)
async def _(seed: Seed) -> Any:
    return await _deploy_token(seed)


@case(deploy_tokens.revoke_deploy_token)
async def _(seed: Seed) -> Any:
    made = await seed.database.write(deploy_tokens.create_deploy_token, await _deploy_token(seed))
    return deploy_tokens.RevokeDeployToken(guid=made.guid, actor=SYSTEM)


@case(deploy_tokens.note_deploy_token_use)
async def _(seed: Seed) -> Any:
    made = await seed.database.write(deploy_tokens.create_deploy_token, await _deploy_token(seed))
    return deploy_tokens.NoteDeployTokenUse(guid=made.guid, day="2026-01-31")


async def _enrolled(seed: Seed) -> second_factors.EnrolFactor:
    return second_factors.EnrolFactor(user_guid=(await seed.user()).guid, sealed_secret="sealed", actor=SYSTEM)


async def _confirmed(seed: Seed) -> second_factors.ConfirmFactor:
    enrolled = await _enrolled(seed)
    await seed.database.write(second_factors.enrol_factor, enrolled)
    return second_factors.ConfirmFactor(
        user_guid=enrolled.user_guid, sealed_secret="sealed", step=7, recovery_hashes=["a", "b"], actor=SYSTEM
    )


async def _with_factor(seed: Seed) -> str:
    confirmed = await _confirmed(seed)
    await seed.database.write(second_factors.confirm_factor, confirmed)
    return confirmed.user_guid


@case(second_factors.enrol_factor)
async def _(seed: Seed) -> Any:
    return await _enrolled(seed)


@case(second_factors.confirm_factor)
async def _(seed: Seed) -> Any:
    return await _confirmed(seed)


@case(second_factors.use_code)
async def _(seed: Seed) -> Any:
    return second_factors.UseCode(user_guid=await _with_factor(seed), step=8)


@case(second_factors.renew_recovery)
async def _(seed: Seed) -> Any:
    return second_factors.RenewRecovery(user_guid=await _with_factor(seed), recovery_hashes=["c"], actor=SYSTEM)


@case(second_factors.remove_factor)
async def _(seed: Seed) -> Any:
    return second_factors.RemoveFactor(user_guid=await _with_factor(seed), actor=SYSTEM)


@case(second_factors.demand_factor)
async def _(seed: Seed) -> Any:
    organization, _, _ = await seed.place()
    return second_factors.DemandFactor(organization_guid=organization.guid, demanded=True, actor=SYSTEM)


@case(passcodes.create_passcode)
async def _(seed: Seed) -> Any:
    return passcodes.CreatePasscode(code_hash="h", user_guid=(await seed.user()).guid, expires_at=NOW_S)


@case(passcodes.use_passcode)
async def _(seed: Seed) -> Any:
    made = passcodes.CreatePasscode(code_hash="h", user_guid=(await seed.user()).guid, expires_at=NOW_S)
    await seed.database.write(passcodes.create_passcode, made)
    return passcodes.UsePasscode(code_hash="h")


@case(ssh.create_ssh_code)
async def _(seed: Seed) -> Any:
    return ssh.CreateSshCode(code_hash="h", user_guid=(await seed.user()).guid, expires_at=NOW_S)


@case(ssh.use_ssh_code)
async def _(seed: Seed) -> Any:
    app = await seed.app()
    made = ssh.CreateSshCode(code_hash="h", user_guid=(await seed.user()).guid, expires_at=NOW_S + 60)
    await seed.database.write(ssh.create_ssh_code, made)
    return ssh.UseSshCode(code_hash="h", actor=SYSTEM, app_guid=app.guid, process_type="web", instance_guid="i")


@case(ssh.add_ssh_host_key)
async def _(seed: Seed) -> Any:
    return ssh.AddSshHostKey(algorithm="ssh-ed25519", sealed_private="sealed", public_key="ssh-ed25519 AAAA")


@case(ssh.switch_ssh)
async def _(seed: Seed) -> Any:
    organization, _, _ = await seed.place()
    return ssh.SwitchSsh(organization_guid=organization.guid, allowed=False, actor=SYSTEM)


@case(identities.sign_in_externally)
async def _(seed: Seed) -> Any:
    return identities.SignInExternally(origin="corp", subject="s-1", username="ann")


@case(clients.put_client)
async def _(seed: Seed) -> Any:
    return clients.PutClient(client_id="ci", value="{}", scopes=["cloud_controller.read"], actor=SYSTEM)


@case(clients.delete_client)
async def _(seed: Seed) -> Any:
    made = clients.PutClient(client_id="ci", value="{}", scopes=[], actor=SYSTEM)
    await seed.database.write(clients.put_client, made)
    return clients.DeleteClient(client_id="ci", actor=SYSTEM)


@pytest.mark.parametrize("name", sorted(CASES))
async def test_it_takes_effect_once(name: str, tmp_path: Path) -> None:
    operation, prepare = CASES[name]

    async def seeded(database: Database) -> msgspec.Struct:
        arguments = await prepare(Seed(database))
        assert isinstance(arguments, msgspec.Struct)
        return arguments

    await check_operation_is_repeatable(operation, seeded, tmp_path, seed=len(name))


def test_no_operation_of_the_resources_is_left_out() -> None:
    for module in pkgutil.walk_packages(paasd.model.__path__, "paasd.model."):
        importlib.import_module(module.name)
    mine = {
        name
        for (name, _), operation in registered_operations().items()
        if operation.function.__module__.startswith("paasd.model.") and not name.startswith("signing_key.")
    }
    assert mine == set(CASES)
