"""What operations refuse, in the words that clients look for, and what they do beside their main effect."""

from typing import Any

import pytest
from msgspec.structs import replace

from paasd.errors import NotFound, PaasdError, Unprocessable
from paasd.model import (
    App,
    AuditEvent,
    Build,
    Destination,
    Domain,
    Droplet,
    DropletSidecar,
    HealthCheck,
    Instance,
    Job,
    Layer,
    Package,
    Process,
    Role,
    Route,
    Sidecar,
    apps,
    builds,
    deletion,
    domains,
    droplets,
    instances,
    layers,
    nodes,
    organizations,
    packages,
    processes,
    roles,
    routes,
    spaces,
    users,
)
from paasd.model.arguments import SYSTEM, Metadata
from paasd.model.metadata import check_metadata
from tests.model.seeding import NODE, SIZES, Seed


async def refused(seed: Seed, operation: Any, arguments: Any, kind: type[PaasdError] = Unprocessable) -> str:
    with pytest.raises(kind) as caught:
        await seed.database.write(operation, arguments)
    return caught.value.detail


async def test_names_are_unique_whatever_their_case(seed: Seed) -> None:
    organization, space, domain = await seed.place()
    app = await seed.app()
    create = apps.CreateApp(guid="g", name="DORA", space_guid=space.guid, sizes=SIZES, actor=SYSTEM)
    assert await refused(seed, apps.create_app, create) == "App with the name 'DORA' already exists."
    other = await seed.database.write(apps.create_app, replace(create, name="other"))
    rename = apps.UpdateApp(app_guid=other.guid, name="dora", actor=SYSTEM)
    assert await refused(seed, apps.update_app, rename) == "App with the name 'dora' already exists."
    make = organizations.CreateOrganization(name=organization.name.upper(), actor=SYSTEM)
    assert (
        await refused(seed, organizations.create_organization, make)
        == f"Organization '{organization.name.upper()}' already exists."
    )
    again = spaces.CreateSpace(name=space.name, organization_guid=organization.guid, actor=SYSTEM)
    assert await refused(seed, spaces.create_space, again) == "Name must be unique per organization"
    await seed.user("ann")
    text = await refused(seed, users.create_user, users.CreateUser(username="ann", actor=SYSTEM))
    assert text == "User with username 'ann' and origin 'uaa' already exists."
    assert app.guid != domain.guid


async def test_a_route_exists_once_on_the_platform(seed: Seed) -> None:
    route = await seed.route()
    make = routes.CreateRoute(domain_guid=route.domain_guid, space_guid=route.space_guid, host="Dora", actor=SYSTEM)
    assert (
        await refused(seed, routes.create_route, make)
        == "Route already exists with host 'Dora' for domain 'apps.localhost'."
    )
    await seed.database.write(routes.create_route, replace(make, path="/a"))
    text = await refused(seed, routes.create_route, replace(make, path="/a"))
    assert text == "Route already exists with host 'Dora' and path '/a' for domain 'apps.localhost'."


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"host": ""}, "Routes in shared domains must have a host"),
        ({"host": "a b"}, "Host must be either"),
        ({"host": "a.b"}, "Host must be either"),
        ({"host": "-a"}, "Host must be either"),
        ({"host": "a" * 64}, "Host cannot exceed 63"),
        ({"path": "a"}, "Path must begin"),
        ({"path": "/"}, "single '/'"),
        ({"path": "/a?b"}, "cannot contain '?'"),
        ({"path": "/" + "a" * 130}, "Path exceeds"),
        ({"port": 80}, "do not support ports"),
        ({"domain_guid": "none"}, "Invalid domain"),
        ({"host": "api", "reserved": ["api.apps.localhost"]}, "reserved by the platform"),
    ],
)
async def test_what_is_no_route_is_refused(seed: Seed, changes: dict[str, Any], text: str) -> None:
    _, space, domain = await seed.place()
    good = routes.CreateRoute(domain_guid=domain.guid, space_guid=space.guid, host="ok", actor=SYSTEM)
    assert text in await refused(seed, routes.create_route, replace(good, **changes))
    assert (await seed.database.write(routes.create_route, good)).host == "ok"


async def test_destinations_are_merged_and_stay_in_their_space(seed: Seed) -> None:
    organization, _, _ = await seed.place()
    app, route = await seed.app(), await seed.route()
    add = routes.ChangeDestinations(
        route_guid=route.guid, destinations=[routes.NewDestination(app_guid=app.guid)], actor=SYSTEM
    )
    [first] = await seed.database.write(routes.add_destinations, add)
    assert [first] == await seed.database.write(routes.add_destinations, add)
    worker = replace(add, destinations=[routes.NewDestination(app_guid=app.guid, process_type="worker")])
    assert len(await seed.database.write(routes.add_destinations, worker)) == 2
    assert len(await seed.database.write(routes.replace_destinations, add)) == 1
    other = await seed.database.write(
        spaces.create_space, spaces.CreateSpace(name="o", organization_guid=organization.guid, actor=SYSTEM)
    )
    foreign = await seed.database.write(
        apps.create_app, apps.CreateApp(guid="f", name="f", space_guid=other.guid, sizes=SIZES, actor=SYSTEM)
    )
    wrong = replace(add, destinations=[routes.NewDestination(app_guid=foreign.guid)])
    text = await refused(seed, routes.add_destinations, wrong)
    assert text == "Routes cannot be mapped to destinations in different spaces."


async def test_an_app_needs_a_droplet_of_its_own_to_start(seed: Seed) -> None:
    app = await seed.app()
    change = apps.ChangeApp(app_guid=app.guid, actor=SYSTEM)
    for operation in (apps.start_app, apps.restart_app):
        assert await refused(seed, operation, change) == "Assign a droplet before starting this app."
    _, space, _ = await seed.place()
    other = await seed.database.write(
        apps.create_app, apps.CreateApp(guid="o", name="o", space_guid=space.guid, sizes=SIZES, actor=SYSTEM)
    )
    package = await seed.package(app)
    build = await seed.build(package)
    finish = builds.FinishBuild(
        build_guid=build.guid,
        node_guid=NODE,
        epoch=build.epoch,
        layers=[],
        process_types={"web": "run", "worker": "work"},
        sidecars=[DropletSidecar(name="s", command="c", process_types=["web"])],
    )
    await seed.database.write(builds.finish_build, finish)
    with seed.database.read() as tx:
        droplet = tx.all(Droplet)[0]
    choose = apps.SetDroplet(app_guid=other.guid, droplet_guid=droplet.guid, sizes=SIZES, actor=SYSTEM)
    assert "belongs to this app" in await refused(seed, apps.set_current_droplet, choose)
    await seed.database.write(apps.set_current_droplet, replace(choose, app_guid=app.guid))
    started = await seed.database.write(apps.start_app, change)
    again = await seed.database.write(apps.start_app, change)
    assert (started.state, started.version, again.version) == ("STARTED", 1, 1)
    with seed.database.read() as tx:
        found = {one.type: one.instances for one in tx.all(Process, app_guid=app.guid)}
        assert found == {"web": 1, "worker": 0}
        assert [one.origin for one in tx.all(Sidecar, app_guid=app.guid)] == ["buildpack"]
    text = await refused(seed, droplets.delete_droplet, droplets.DeleteDroplet(droplet_guid=droplet.guid, actor=SYSTEM))
    assert "current droplet" in text


async def test_the_environment_is_not_overwritten_by_who_read_an_older_one(seed: Seed) -> None:
    app = await seed.app()
    change = apps.SetEnvironment(app_guid=app.guid, previous="", environment="one", names=[], actor=SYSTEM)
    assert await seed.database.write(apps.set_environment, change) is not None
    assert await seed.database.write(apps.set_environment, replace(change, environment="two")) is None
    with seed.database.read() as tx:
        assert tx.need(App, app.guid).environment == "one"


async def test_one_build_at_a_time_and_only_of_ready_packages(seed: Seed) -> None:
    app = await seed.app()
    waiting = await seed.package(app, ready=False)
    make = builds.CreateBuild(package_guid=waiting.guid, default_stack="host", actor=SYSTEM)
    assert await refused(seed, builds.create_build, make) == "Cannot stage package whose state is not ready."
    package = await seed.package(app)
    await seed.build(package)
    text = await refused(seed, builds.create_build, replace(make, package_guid=package.guid))
    assert text == "Only one build can be STAGING at a time per application."


async def test_a_build_that_waits_for_its_turn_is_not_overdue(seed: Seed) -> None:
    package = await seed.package()
    made = builds.CreateBuild(package_guid=package.guid, default_stack="host", timeout_s=-60, actor=SYSTEM)
    build = await seed.database.write(builds.create_build, made)
    assign = builds.AssignBuild(build_guid=build.guid, node_guid=NODE, epoch=build.epoch)
    await seed.database.write(builds.assign_build, assign)
    mine = builds.CurrentBuild(build_guid=build.guid, epoch=build.epoch + 1)
    former = replace(mine, epoch=build.epoch)
    prolong = builds.ProlongBuilds(node_guid=NODE, builds=[former], timeout_s=900)
    assert await seed.database.write(builds.prolong_builds, prolong) == 0
    assert await seed.database.write(builds.prolong_builds, replace(prolong, builds=[mine], node_guid="other")) == 0
    assert await seed.database.write(builds.prolong_builds, replace(prolong, builds=[mine])) == 1
    assert await seed.database.write(builds.fail_overdue_builds, builds.FailOverdueBuilds()) == 0
    await seed.database.write(builds.prolong_builds, replace(prolong, builds=[mine], timeout_s=-1))
    assert await seed.database.write(builds.fail_overdue_builds, builds.FailOverdueBuilds()) == 1


async def test_reports_about_a_build_count_only_from_its_node_and_epoch(seed: Seed) -> None:
    build = await seed.build()
    fail = builds.FailBuild(build_guid=build.guid, node_guid=NODE, epoch=build.epoch, error="StagingError - x")
    for wrong in (replace(fail, epoch=0), replace(fail, node_guid="other"), replace(fail, build_guid="none")):
        assert await seed.database.write(builds.fail_build, wrong) is False
    assign = builds.AssignBuild(build_guid=build.guid, node_guid="n2", epoch=0)
    assert await seed.database.write(builds.assign_build, assign) is False
    assert await seed.database.write(builds.fail_build, fail) is True
    assert await seed.database.write(builds.fail_build, fail) is False
    with seed.database.read() as tx:
        assert tx.need(Build, build.guid).error == "StagingError - x"


async def test_layers_are_found_inside_their_space_only(seed: Seed) -> None:
    organization, space, _ = await seed.place()
    await seed.node()
    build = await seed.build()
    finish = builds.FinishBuild(
        build_guid=build.guid,
        node_guid=NODE,
        epoch=build.epoch,
        layers=[],
        process_types={},
        register=[
            layers.NewLayer(key="deps", role="dependencies", sha256="a" * 64, size_bytes=1),
            layers.NewLayer(key="python", role="toolchain", sha256="b" * 64, size_bytes=1, shared=True),
        ],
    )
    await seed.database.write(builds.finish_build, finish)
    with seed.database.read() as tx:
        found = layers.find_layer(tx, "deps", space.guid)
        assert found is not None and found.organization_guid == organization.guid, "it goes with its organization"
        assert layers.find_layer(tx, "deps", organization.guid) is None
        assert layers.find_layer(tx, "deps", "another") is None
        assert layers.find_layer(tx, "deps", None) is None
        assert layers.find_layer(tx, "python", None) is not None
        assert tx.count(Layer) == 2
    await seed.database.write(spaces.begin_delete_space, spaces.DeleteSpace(space_guid=space.guid, actor=SYSTEM))
    with seed.database.read() as tx:
        app = tx.all(App)[0]
    space_chunk = deletion.DeleteChunk(kind="space", guid=space.guid)
    while not await seed.database.write(deletion.delete_chunk, space_chunk):
        await seed.database.write(deletion.delete_chunk, deletion.DeleteChunk(kind="app", guid=app.guid))
    with seed.database.read() as tx:
        assert [layer.cache_key for layer in tx.all(Layer)] == ["/python"], "its layers go with a space"


async def test_bits_are_uploaded_once(seed: Seed) -> None:
    package = await seed.package()
    text = await refused(seed, packages.begin_upload, packages.BeginUpload(package_guid=package.guid, actor=SYSTEM))
    assert text.startswith("Bits may be uploaded only once")
    late = packages.FinishUpload(package_guid=package.guid, error="late")
    assert (await seed.database.write(packages.finish_upload, late)).state == "READY"


async def test_placements_are_checked_again_inside_the_transaction(seed: Seed) -> None:
    placement = await seed.placement()
    [wanted] = placement.placements
    for wrong in (
        replace(wanted, app_version=0),
        replace(wanted, index=5),
        replace(wanted, node_guid="none"),
        replace(wanted, process_guid="none"),
    ):
        arguments = instances.PlaceInstances(placements=[wrong])
        assert await seed.database.write(instances.place_instances, arguments) == []
    await seed.node(memory_mb=100)
    assert await seed.database.write(instances.place_instances, placement) == []
    await seed.node(memory_mb=1000)
    twice = instances.PlaceInstances(placements=[wanted, wanted])
    assert len(await seed.database.write(instances.place_instances, twice)) == 1


async def test_two_schedulers_together_do_not_overfill_a_node(seed: Seed) -> None:
    placement = await seed.placement()
    [wanted] = placement.placements
    scale = processes.ScaleProcess(process_guid=wanted.process_guid, instances=4, sizes=SIZES, actor=SYSTEM)
    await seed.database.write(processes.scale_process, scale)
    await seed.node(memory_mb=SIZES.memory_mb * 2)
    first = instances.PlaceInstances(placements=[replace(wanted, index=index) for index in (0, 1)])
    second = instances.PlaceInstances(placements=[replace(wanted, index=index) for index in (2, 3)])
    assert len(await seed.database.write(instances.place_instances, first)) == 2
    assert await seed.database.write(instances.place_instances, second) == []


async def test_crashes_make_one_event_per_app_and_minute(seed: Seed) -> None:
    instance = await seed.instance()
    crash = instances.RecordCrash(
        instance_guid=instance.guid, epoch=1, node_guid=NODE, exit_description="exited", count=3
    )
    assert await seed.database.write(instances.record_crash, replace(crash, epoch=9)) is False
    results = [await seed.database.write(instances.record_crash, crash) for _ in range(5)]
    assert results[0] is True and sum(results) <= 2  # two when the minute turned meanwhile
    with seed.database.read() as tx:
        event = tx.all(AuditEvent, type="app.crash")[0]
    assert (event.target_guid, event.data["crash_count"], event.data["index"]) == (instance.app_guid, 3, 0)


async def test_scaling_has_limits(seed: Seed) -> None:
    process = await seed.process()
    good = processes.ScaleProcess(process_guid=process.guid, instances=0, sizes=SIZES, actor=SYSTEM)
    for changes in (
        {"instances": -1},
        {"instances": 10_000},
        {"memory_mb": 0},
        {"memory_mb": 2**40},
        {"disk_mb": 0},
        {"disk_mb": 20_000},
        {"log_rate_limit_bytes": -2},
        {"log_rate_limit_bytes": 2**60},
    ):
        await refused(seed, processes.scale_process, replace(good, **changes))
    assert (await seed.database.write(processes.scale_process, good)).instances == 0


async def test_health_checks_must_make_sense(seed: Seed) -> None:
    process = await seed.process()
    for check in (
        HealthCheck(type="magic"),
        HealthCheck(type="port", endpoint="/x"),
        HealthCheck(type="http", endpoint="x"),
        HealthCheck(type="port", timeout_s=0),
    ):
        arguments = processes.UpdateProcess(process_guid=process.guid, health_check=check, actor=SYSTEM)
        await refused(seed, processes.update_process, arguments)
    command = processes.UpdateProcess(process_guid=process.guid, command="run", actor=SYSTEM)
    changed = await seed.database.write(processes.update_process, command)
    assert (changed.command, changed.health_check) == ("run", process.health_check)


async def test_roles_stand_on_each_other(seed: Seed) -> None:
    organization, space, _ = await seed.place()
    user = await seed.user()
    in_space = roles.CreateRole(type="space_developer", user_guid=user.guid, space_guid=space.guid, actor=SYSTEM)
    assert "do not have a role in that space's organization" in await refused(seed, roles.create_role, in_space)
    member = roles.CreateRole(
        type="organization_user", user_guid=user.guid, organization_guid=organization.guid, actor=SYSTEM
    )
    role = await seed.database.write(roles.create_role, member)
    await seed.database.write(roles.create_role, in_space)
    assert (
        await refused(seed, roles.create_role, in_space)
        == "User 'ann' already has 'space_developer' role in space 'dev'."
    )
    assert (
        await refused(seed, roles.create_role, member)
        == "User 'ann' already has 'organization_user' role in organization 'main'."
    )
    text = await refused(seed, roles.delete_role, roles.DeleteRole(role_guid=role.guid, actor=SYSTEM))
    assert "Cannot delete organization_user role" in text
    with seed.database.read() as tx:
        assert tx.count(Role, user_guid=user.guid) == 2


async def test_who_has_roles_in_spaces_keeps_some_role_in_their_organization(seed: Seed) -> None:
    organization, space, _ = await seed.place()
    user = await seed.user()
    made = {}
    for kind in ("organization_auditor", "organization_billing_manager"):
        wanted = roles.CreateRole(type=kind, user_guid=user.guid, organization_guid=organization.guid, actor=SYSTEM)
        made[kind] = (await seed.database.write(roles.create_role, wanted)).guid
    in_space = roles.CreateRole(type="space_developer", user_guid=user.guid, space_guid=space.guid, actor=SYSTEM)
    made["space_developer"] = (await seed.database.write(roles.create_role, in_space)).guid

    def taking(kind: str) -> roles.DeleteRole:
        return roles.DeleteRole(role_guid=made[kind], actor=SYSTEM)

    await seed.database.write(roles.delete_role, taking("organization_billing_manager"))
    text = await refused(seed, roles.delete_role, taking("organization_auditor"))
    assert "Cannot delete organization_auditor role while user has roles in spaces" in text
    await seed.database.write(roles.delete_role, taking("space_developer"))
    await seed.database.write(roles.delete_role, taking("organization_auditor"))
    with seed.database.read() as tx:
        assert tx.count(Role, user_guid=user.guid) == 0


@pytest.mark.parametrize("name", ["x", "x..org", "-x.org", "x.org-", "a" * 64 + ".org", "x_y.org", ""])
async def test_what_is_no_domain_is_refused(seed: Seed, name: str) -> None:
    await refused(seed, domains.create_domain, domains.CreateDomain(name=name, actor=SYSTEM))


async def test_a_domain_does_not_take_the_names_of_others(seed: Seed) -> None:
    organization, _, _ = await seed.place()
    await seed.route()
    mine = domains.CreateDomain(name="example.org", organization_guid=organization.guid, actor=SYSTEM)
    await seed.database.write(domains.create_domain, mine)
    other = await seed.database.write(
        organizations.create_organization, organizations.CreateOrganization(name="o", actor=SYSTEM)
    )
    assert "internal domain" in await refused(seed, domains.create_domain, replace(mine, name="a.org", internal=True))
    theirs = replace(mine, organization_guid=other.guid)
    assert "already in use" in await refused(seed, domains.create_domain, theirs)
    for name in ("sub.example.org", "org"):
        await refused(seed, domains.create_domain, replace(theirs, name=name))
    assert "used as a route" in await refused(seed, domains.create_domain, replace(theirs, name="dora.apps.localhost"))
    system = replace(theirs, name="system.localhost", reserved=["system.localhost"])
    assert "reserved by the platform" in await refused(seed, domains.create_domain, system)
    assert (await seed.database.write(domains.create_domain, replace(mine, name="sub.example.org"))).guid


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


async def test_a_nodes_state_is_decided_about_one_incarnation(seed: Seed) -> None:
    await seed.node()
    await seed.node()
    dead = nodes.SetNodeState(guid=NODE, incarnation=1, state="DEAD")
    assert await seed.database.write(nodes.set_node_state, dead) is False
    assert await seed.database.write(nodes.set_node_state, replace(dead, incarnation=2)) is True


@pytest.mark.parametrize(
    "metadata",
    [
        Metadata(labels={"": "x"}),
        Metadata(labels={"a" * 64: "x"}),
        Metadata(labels={"a b": "x"}),
        Metadata(labels={"nodots/a": "x"}),
        Metadata(labels={"a": "x" * 64}),
        Metadata(labels={"a": "_x"}),
        Metadata(annotations={"a": "x" * 5001}),
        Metadata(annotations={"cloudfoundry.org/a": "x"}),
    ],
)
def test_metadata_that_cloud_foundry_refuses_is_refused(metadata: Metadata) -> None:
    with pytest.raises(Unprocessable):
        check_metadata(metadata)


async def test_a_resource_has_so_much_metadata_and_what_has_more_may_shrink(
    seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await seed.app()

    def labels(*numbers: int, value: str | None = "x") -> apps.UpdateApp:
        given = Metadata(labels={f"l{number}": value for number in numbers})
        return apps.UpdateApp(app_guid=app.guid, metadata=given, actor=SYSTEM)

    def annotations(*numbers: int, value: str = "x") -> apps.UpdateApp:
        given = Metadata(annotations={f"a{number:03}": value for number in numbers})
        return apps.UpdateApp(app_guid=app.guid, metadata=given, actor=SYSTEM)

    await seed.database.write(apps.update_app, labels(*range(50)))
    text = "Failed to add 2 labels because it would exceed maximum of 50"
    assert await refused(seed, apps.update_app, labels(0, 50)) == text
    await seed.database.write(apps.update_app, annotations(*range(200)))
    text = "Failed to add 1 annotations because it would exceed maximum of 200"
    assert await refused(seed, apps.update_app, annotations(200)) == text
    await seed.database.write(apps.update_app, annotations(*range(12), value="é" * 2500))
    too_much = annotations(12, 13, value="é" * 2500)
    assert "may have 65536 bytes together, not 71176" in await refused(seed, apps.update_app, too_much)
    monkeypatch.setattr("paasd.model.metadata.LABEL_LIMIT", 20)
    monkeypatch.setattr("paasd.model.metadata.SIZE_LIMIT_BYTES", 100)
    await seed.database.write(apps.update_app, labels(0, value=None))
    await seed.database.write(apps.update_app, labels(*range(1, 50), value="y"))
    assert "maximum of 20" in await refused(seed, apps.update_app, labels(0))


def test_metadata_that_cloud_foundry_takes_is_taken() -> None:
    check_metadata(Metadata(labels={"a": "", "example.org/b.c-d_e": "v1.0", "gone": None}, annotations={"a": "x y"}))
