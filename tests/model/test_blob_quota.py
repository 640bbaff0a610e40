"""The disk of packages and droplets counts against quotas, in the transaction of the upload's begin and end."""

import pytest

from paasd.model import App, Build, Droplet, Layer, Limits, OrganizationQuota, Package
from paasd.model.arguments import SYSTEM
from paasd.model.builds import FinishBuild, finish_build
from paasd.model.layers import NewLayer
from paasd.model.packages import (
    BeginUpload,
    CopyPackage,
    DeletePackage,
    FinishUpload,
    begin_upload,
    copy_package,
    delete_package,
    finish_upload,
)
from paasd.model.quotas.blobs import MIB
from paasd.model.quotas.definitions import UpdateQuota, update_organization_quota
from paasd.model.quotas.places import QuotaExceeded
from paasd.model.quotas.usage import usage
from paasd.model.records import DropletLayer, Setting
from paasd.model.records.quotas import FIRST_LIMITS
from paasd.model.settings import Bootstrap, PutSetting, bootstrap, put_setting
from paasd.model.uploads import FinishDropletUpload, finish_droplet_upload
from tests.model.seeding import NODE, Seed


async def limit(seed: Seed, megabytes: int) -> None:
    changes = UpdateQuota(quota_guid="default", limits={"total_blobs_in_mb": megabytes}, actor=SYSTEM)
    await seed.database.write(update_organization_quota, changes)


async def app(seed: Seed) -> App:
    """The only one."""
    with seed.database.read() as tx:
        found = tx.find(App)
    return found or await seed.app()


async def begun(seed: Seed, size_bytes: int | None = None) -> Package:
    package = await seed.package(await app(seed), ready=False)
    return await seed.database.write(
        begin_upload, BeginUpload(package_guid=package.guid, size_bytes=size_bytes, actor=SYSTEM)
    )


async def finish(seed: Seed, package: Package, content: str, size_bytes: int) -> Package:
    done = FinishUpload(package_guid=package.guid, blob_sha256=content * 64, size_bytes=size_bytes)
    return await seed.database.write(finish_upload, done)


async def used_mb(seed: Seed) -> int:
    organization, _, _ = await seed.place()
    with seed.database.read() as tx:
        return usage(tx, organization).blobs_mb


def layers(*sizes: int) -> list[DropletLayer]:
    return [DropletLayer(role="app", sha256=str(n) * 64, size_bytes=size) for n, size in enumerate(sizes, 1)]


async def test_an_upload_that_would_take_too_much_is_refused_at_its_begin_and_at_its_end(seed: Seed) -> None:
    await limit(seed, 10)
    first = await begun(seed, 6 * MIB)
    with pytest.raises(QuotaExceeded, match="packages and droplets of organization 'main' may take 10 MB and take 6"):
        await begun(seed, 5 * MIB)
    second = await begun(seed, 4 * MIB)
    assert (await finish(seed, first, "a", 6 * MIB)).state == "READY"
    with pytest.raises(QuotaExceeded):
        await finish(seed, second, "b", 5 * MIB)  # more came than was said
    assert (await finish(seed, second, "b", 4 * MIB)).state == "READY"
    with pytest.raises(QuotaExceeded):
        await begun(seed)
    assert await used_mb(seed) == 10
    await seed.database.write(delete_package, DeletePackage(package_guid=first.guid, actor=SYSTEM))
    assert (await begun(seed, 6 * MIB)).state == "PROCESSING_UPLOAD"


async def test_what_is_there_already_counts_once_and_may_come_again(seed: Seed) -> None:
    first = await begun(seed)
    await finish(seed, first, "a", 8 * MIB)
    await limit(seed, 8)
    again = BeginUpload(
        package_guid=(await seed.package(await app(seed), ready=False)).guid,
        blob_sha256="a" * 64,
        size_bytes=8 * MIB,
        actor=SYSTEM,
    )
    package = await seed.database.write(begin_upload, again)
    await finish(seed, package, "a", 8 * MIB)
    copied = CopyPackage(source_guid=first.guid, app_guid=first.app_guid, actor=SYSTEM)
    assert (await seed.database.write(copy_package, copied)).state == "READY"
    assert await used_mb(seed) == 8


async def test_a_broken_upload_gives_back_what_it_announced(seed: Seed) -> None:
    package = await begun(seed, 9 * MIB)
    assert await used_mb(seed) == 9
    await seed.database.write(finish_upload, FinishUpload(package_guid=package.guid, error="gone"))
    assert await used_mb(seed) == 0


async def built(seed: Seed, *sizes: int, role: str = "app") -> Build:
    build = await seed.build(await seed.package(await app(seed)))
    made = FinishBuild(
        build_guid=build.guid,
        node_guid=NODE,
        epoch=1,
        layers=[DropletLayer(role=role, sha256=one.sha256, size_bytes=one.size_bytes) for one in layers(*sizes)],
        process_types={"web": "run"},
        register=[NewLayer(key=f"k{build.guid}", role="dependencies", sha256=build.guid, size_bytes=3 * MIB)],
    )
    assert await seed.database.write(finish_build, made)
    with seed.database.read() as tx:
        return tx.need(Build, build.guid)


async def test_a_build_fails_whose_droplet_would_take_too_much_and_toolchains_count_for_nobody(seed: Seed) -> None:
    await limit(seed, 10)
    assert (await built(seed, 50 * MIB, role="toolchain")).state == "STAGED"
    assert (await built(seed, 6 * MIB, 2 * MIB)).state == "STAGED"
    failed = await built(seed, 6 * MIB, 2 * MIB, 3 * MIB)
    assert failed.state == "FAILED"
    assert "total_blobs_in_mb organization quota exceeded" in (failed.error or "")
    with seed.database.read() as tx:
        assert tx.count(Droplet) == 2


async def test_remembered_layers_that_do_not_fit_in_beside_are_forgotten_the_oldest_first(seed: Seed) -> None:
    await limit(seed, 8)
    builds = [await built(seed, MIB) for _ in range(4)]
    with seed.database.read() as tx:
        assert {row.sha256 for row in tx.all(Layer)} == {build.guid for build in builds[2:]}


async def test_an_uploaded_droplet_fails_that_would_take_too_much(seed: Seed) -> None:
    await limit(seed, 10)
    droplet = await seed.uploaded_droplet()
    done = FinishDropletUpload(
        droplet_guid=droplet.guid, node_guid=NODE, layers=layers(11 * MIB), process_types={"web": "run"}
    )
    assert await seed.database.write(finish_droplet_upload, done)
    with seed.database.read() as tx:
        assert tx.need(Droplet, droplet.guid).state == "FAILED"


async def test_a_new_platform_begins_with_limits_and_an_older_one_keeps_what_it_has(seed: Seed) -> None:
    def limits() -> Limits:
        with seed.database.read() as tx:
            return tx.need(OrganizationQuota, "default").limits

    first = Bootstrap(apps_domain="apps.localhost", limits=FIRST_LIMITS)
    await seed.database.write(bootstrap, Bootstrap(apps_domain="apps.localhost"))
    await seed.database.write(bootstrap, first)
    assert limits() == Limits()
    with seed.database.read() as tx:
        setting = tx.need(Setting, "bootstrapped")
    await seed.database.write(put_setting, PutSetting(name=setting.name, value=""))
    await seed.database.write(bootstrap, first)
    assert limits() == FIRST_LIMITS
