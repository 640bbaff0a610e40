"""What operations on packages, builds and layers refuse, and whom they listen to."""

from msgspec.structs import replace

from paasd.model import (
    App,
    Build,
    Layer,
    builds,
    deletion,
    layers,
    packages,
    spaces,
)
from paasd.model.arguments import SYSTEM
from tests.model.refusing import refused
from tests.model.seeding import NODE, Seed


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
