"""Sidecars have a part of the memory of the process that they run beside, whichever of the two came first."""

from typing import Any

from msgspec.structs import replace

from paasd.model import Process, apps, processes, sidecars
from paasd.model.arguments import SYSTEM
from paasd.model.manifests import AppManifest, ManifestError
from paasd.model.manifests.applying import ApplyManifest, AppToApply, apply_manifest
from paasd.model.manifests.document import ProcessManifest, SidecarManifest
from tests.model.refusing import refused
from tests.model.seeding import SIZES, Seed


async def test_a_sidecar_fits_beside_its_process(seed: Seed) -> None:
    app = await seed.app()
    make = sidecars.CreateSidecar(app_guid=app.guid, name="s", command="c", process_types=["web"], memory_mb=400)
    await seed.database.write(sidecars.create_sidecar, make)
    text = await refused(seed, sidecars.create_sidecar, replace(make, name="t"))
    assert "too large" in text
    assert "already exists" in await refused(seed, sidecars.create_sidecar, replace(make, memory_mb=None))
    for size in (0, -5, processes.MEMORY_LIMIT_MB + 1):
        assert "Memory in mb must be" in await refused(seed, sidecars.create_sidecar, replace(make, memory_mb=size))


async def test_a_process_keeps_room_for_its_sidecars_however_it_changes(seed: Seed) -> None:
    app = await seed.app()
    _, space, _ = await seed.place()
    for name, kind in (("s", "web"), ("t", "web"), ("u", "worker")):
        made = sidecars.CreateSidecar(app_guid=app.guid, name=name, command="c", process_types=[kind], memory_mb=150)
        await seed.database.write(sidecars.create_sidecar, made)
    with seed.database.read() as tx:
        web = tx.all(Process, app_guid=app.guid)[0]
    scale = processes.ScaleProcess(process_guid=web.guid, memory_mb=300, sizes=SIZES, actor=SYSTEM)
    assert await refused(seed, processes.scale_process, scale) == processes.NO_ROOM_FOR_SIDECARS
    await seed.database.write(processes.scale_process, replace(scale, memory_mb=301))

    def manifest(**app_of_it: Any) -> ApplyManifest:
        one = AppToApply(manifest=AppManifest(name=app.name, **app_of_it), guid=app.guid)
        return ApplyManifest(space_guid=space.guid, applications=[one], sizes=SIZES, actor=SYSTEM)

    small = manifest(processes=[ProcessManifest(type="web", memory_mb=200)])
    text = await refused(seed, apply_manifest, small, ManifestError)
    assert text == f"For application '{app.name}': {processes.NO_ROOM_FOR_SIDECARS}"
    new = manifest(processes=[ProcessManifest(type="worker", memory_mb=100)])
    assert processes.NO_ROOM_FOR_SIDECARS in await refused(seed, apply_manifest, new, ManifestError)
    both = manifest(
        processes=[ProcessManifest(type="web", memory_mb=200)], sidecars=[SidecarManifest(name="s", memory_mb=20)]
    )
    await seed.database.write(apply_manifest, both)


async def test_a_droplet_brings_no_process_that_its_sidecars_fill(seed: Seed) -> None:
    droplet = await seed.droplet({"web": "run", "worker": "work"})
    made = sidecars.CreateSidecar(
        app_guid=droplet.app_guid, name="s", command="c", process_types=["worker"], memory_mb=600
    )
    sidecar = await seed.database.write(sidecars.create_sidecar, made)
    choose = apps.SetDroplet(app_guid=droplet.app_guid, droplet_guid=droplet.guid, sizes=SIZES, actor=SYSTEM)
    assert await refused(seed, apps.set_current_droplet, choose) == processes.NO_ROOM_FOR_SIDECARS
    less = sidecars.UpdateSidecar(sidecar_guid=sidecar.guid, memory_mb=60, actor=SYSTEM)
    await seed.database.write(sidecars.update_sidecar, less)
    await seed.database.write(apps.set_current_droplet, choose)
