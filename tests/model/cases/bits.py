"""Arguments of the operations on packages, builds and droplets."""

from typing import Any

from paasd.model import (
    DropletLayer,
    apps,
    build_caches,
    builds,
    droplets,
    packages,
    uploads,
)
from paasd.model.arguments import SYSTEM
from tests.model import quota_cases
from tests.model.cases.register import LABELS, case
from tests.model.seeding import NODE, Seed


@case(build_caches.clear_app_cache)
async def _(seed: Seed) -> Any:
    return apps.ChangeApp(app_guid=(await seed.app()).guid, actor=SYSTEM)


@case(build_caches.clear_caches)
async def _(seed: Seed) -> Any:
    return build_caches.ClearCaches(actor=SYSTEM)


@case(build_caches.forget_layers)
async def _(seed: Seed) -> Any:
    await quota_cases.expire_layers(seed)
    return build_caches.ForgetLayers()


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
