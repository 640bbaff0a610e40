"""Arguments of the operations on apps, processes, sidecars, revisions and manifests."""

from typing import Any

from paasd.model import (
    HealthCheck,
    Revision,
    apps,
    environment_shown,
    processes,
    revisions,
    sidecars,
)
from paasd.model.arguments import SYSTEM
from paasd.model.manifests import ApplyManifest, AppToApply, apply_manifest, parse_manifest
from paasd.model.manifests.applying import FailManifest, fail_manifest
from tests.model.cases.register import LABELS, case
from tests.model.seeding import SIZES, Seed


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


@case(environment_shown.record_environment_shown)
async def _(seed: Seed) -> Any:
    return environment_shown.RecordEnvironmentShown(app_guid=(await seed.app()).guid, actor=SYSTEM)


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
