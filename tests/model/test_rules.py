"""What operations on apps and their processes refuse, in the words that clients look for, and what they do besides."""

from msgspec.structs import replace

from paasd.model import (
    App,
    Droplet,
    DropletSidecar,
    HealthCheck,
    Process,
    Sidecar,
    apps,
    builds,
    droplets,
    organizations,
    processes,
    spaces,
    users,
)
from paasd.model.arguments import SYSTEM
from tests.model.refusing import refused
from tests.model.seeding import NODE, SIZES, Seed


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
