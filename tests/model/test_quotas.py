"""Quotas are kept in the transaction of what they limit: races, texts, what counts and what does not."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from paasd.errors import PaasdError
from paasd.model import App, Domain, Limits, Organization, Process, Space, SpaceQuota
from paasd.model.apps import (
    ChangeApp,
    CreateApp,
    SetDroplet,
    begin_delete_app,
    create_app,
    restart_app,
    set_current_droplet,
    start_app,
    stop_app,
)
from paasd.model.arguments import SYSTEM
from paasd.model.builds import CreateBuild, FailBuild, create_build, fail_build
from paasd.model.deletion import DeleteChunk, delete_chunk
from paasd.model.domains import CreateDomain, create_domain
from paasd.model.droplets import CopyDroplet, copy_droplet
from paasd.model.manifests import ApplyManifest, AppToApply, ManifestError, apply_manifest, parse_manifest
from paasd.model.organizations import DeleteOrganization, begin_delete_organization
from paasd.model.processes import ScaleProcess, scale_process
from paasd.model.quotas.applying import ApplyQuota, apply_space_quota
from paasd.model.quotas.definitions import (
    CreateSpaceQuota,
    UpdateQuota,
    create_space_quota,
    update_organization_quota,
)
from paasd.model.quotas.places import QuotaExceeded
from paasd.model.quotas.usage import usage
from paasd.model.routes import CreateRoute, create_route
from paasd.state import Database, Faults, InlineRunner, MemoryLog, open_database
from tests.model.seeding import NODE, SIZES, Seed


async def limit(database: Database, **limits: int | None) -> None:
    """Change the quota that every organization has."""
    await database.write(
        update_organization_quota, UpdateQuota(quota_guid="default", limits=dict(limits), actor=SYSTEM)
    )


async def limit_space(seed: Seed, **limits: int) -> None:
    organization, space, _ = await seed.place()
    made = CreateSpaceQuota(name="small", organization_guid=organization.guid, limits=Limits(**limits), actor=SYSTEM)
    quota = await seed.database.write(create_space_quota, made)
    await seed.database.write(apply_space_quota, ApplyQuota(quota_guid=quota.guid, guids=[space.guid], actor=SYSTEM))


async def started(seed: Seed, *names: str) -> list[Process]:
    """Started apps of one web instance of 512 MB each; their web processes."""
    droplet = await seed.droplet()
    _, space, _ = await seed.place()
    for name in names:
        guid = f"app-{name}"
        made = CreateApp(guid=guid, name=name, space_guid=space.guid, sizes=SIZES, actor=SYSTEM)
        await seed.database.write(create_app, made)
        copied = await seed.database.write(
            copy_droplet, CopyDroplet(source_guid=droplet.guid, app_guid=guid, actor=SYSTEM)
        )
        chosen = SetDroplet(app_guid=guid, droplet_guid=copied.guid, sizes=SIZES, actor=SYSTEM)
        await seed.database.write(set_current_droplet, chosen)
        await seed.database.write(start_app, ChangeApp(app_guid=guid, actor=SYSTEM))
    with seed.database.read() as tx:
        found = [tx.find(Process, app_guid=f"app-{name}", type="web") for name in names]
    return [one for one in found if one is not None]


async def scale(database: Database, process: Process, **sizes: int) -> Process:
    return await database.write(
        scale_process, ScaleProcess(process_guid=process.guid, sizes=SIZES, actor=SYSTEM, **sizes)
    )


async def refused(database: Database, operation: Any, arguments: Any) -> str:
    with pytest.raises(QuotaExceeded) as caught:
        await database.write(operation, arguments)
    return caught.value.detail


async def scale_refused(database: Database, process: Process, **sizes: int) -> str:
    with pytest.raises(QuotaExceeded) as caught:
        await scale(database, process, **sizes)
    return caught.value.detail


async def test_memory_and_instances_are_refused_in_the_words_of_cloud_foundry(seed: Seed) -> None:
    (web,) = await started(seed, "one")
    await limit(seed.database, total_memory_in_mb=1024, total_instances=3, per_process_memory_in_mb=600)
    assert (await scale(seed.database, web, instances=2)).instances == 2
    assert await scale_refused(seed.database, web, instances=3) == "memory quota_exceeded"
    text = "memory quota_exceeded, memory instance_memory_limit_exceeded"
    assert await scale_refused(seed.database, web, memory_mb=700) == text
    text = "memory quota_exceeded, app_instance_limit app_instance_limit_exceeded"
    assert await scale_refused(seed.database, web, instances=4) == text
    await limit_space(
        seed, total_memory_in_mb=512, total_instances=1, total_disk_in_mb=2048, per_process_disk_in_mb=2000
    )
    assert await scale_refused(seed.database, web, instances=4) == (
        "memory space_quota_exceeded, memory quota_exceeded, disk space_quota_exceeded, "
        "app_instance_limit app_instance_limit_exceeded, app_instance_limit space_app_instance_limit_exceeded"
    )
    await scale(seed.database, web, instances=1)
    assert await scale_refused(seed.database, web, disk_mb=2001) == "disk space_instance_disk_limit_exceeded"
    with seed.database.read() as tx:
        assert tx.need(Process, web.guid).instances == 1


async def test_an_unlimited_log_rate_does_not_fit_into_a_limited_one(seed: Seed) -> None:
    (web,) = await started(seed, "one")
    with pytest.raises(PaasdError, match="org 'main' which contains apps running with an unlimited log rate limit"):
        await limit(seed.database, log_rate_limit_in_bytes_per_second=1000)
    with seed.database.read() as tx:
        others = [one for one in tx.all(Process) if one.guid != web.guid]
    for one in (web, *others):
        await scale(seed.database, one, log_rate_limit_bytes=400)
    await limit(seed.database, log_rate_limit_in_bytes_per_second=1000)
    await scale(seed.database, web, instances=2)
    assert await scale_refused(seed.database, web, instances=3) == "log_rate_limit exceeds organization log rate quota"
    text = "log_rate_limit cannot be unlimited in organization 'main'."
    assert await scale_refused(seed.database, web, log_rate_limit_bytes=-1) == text


async def test_only_growth_is_refused_when_a_quota_is_lowered_below_what_is_used(seed: Seed) -> None:
    (web,) = await started(seed, "one")
    await scale(seed.database, web, instances=4)
    await limit(seed.database, total_memory_in_mb=600, total_instances=1)
    await seed.database.write(restart_app, ChangeApp(app_guid=web.app_guid, actor=SYSTEM))
    assert (await scale(seed.database, web, instances=3)).instances == 3
    await scale_refused(seed.database, web, instances=4)
    await seed.database.write(stop_app, ChangeApp(app_guid=web.app_guid, actor=SYSTEM))
    # Stopped it uses nothing, so it may be sized as one likes; starting is what grows.
    await scale(seed.database, web, instances=9)
    again = ChangeApp(app_guid=web.app_guid, actor=SYSTEM)
    text = "memory quota_exceeded, app_instance_limit app_instance_limit_exceeded"
    assert await refused(seed.database, start_app, again) == text
    assert await refused(seed.database, restart_app, again) == text
    with seed.database.read() as tx:
        assert tx.need(App, web.app_guid).state == "STOPPED"


async def test_a_manifest_cannot_pass_a_quota_and_changes_nothing(seed: Seed) -> None:
    (web,) = await started(seed, "one")
    await limit(seed.database, total_memory_in_mb=1024)
    _, space, _ = await seed.place()
    manifest = parse_manifest("applications: [{name: one, memory: 600M, instances: 2, env: {A: b}}]")
    wanted = ApplyManifest(
        space_guid=space.guid,
        applications=[AppToApply(manifest=manifest.applications[0], guid=web.app_guid)],
        sizes=SIZES,
        actor=SYSTEM,
    )
    with pytest.raises(ManifestError) as caught:
        await seed.database.write(apply_manifest, wanted)
    assert caught.value.details == ["For application 'one': memory quota_exceeded"]
    with seed.database.read() as tx:
        assert tx.need(Process, web.guid) == web


async def test_what_is_deleted_gives_its_share_back_at_once(seed: Seed) -> None:
    one, two = await started(seed, "one", "two")
    await limit(seed.database, total_memory_in_mb=1024)
    await scale_refused(seed.database, two, instances=2)
    await seed.database.write(begin_delete_app, ChangeApp(app_guid=one.app_guid, actor=SYSTEM))
    await scale(seed.database, two, instances=2)
    with seed.database.read() as tx:
        space = tx.need(Space, tx.need(App, two.app_guid).space_guid)
        used = usage(tx, space)
        assert (used.memory_mb, used.instances, used.disk_mb) == (1024, 2, 2048)
        assert usage(tx, tx.need(Organization, space.organization_guid)) == used


async def test_a_build_that_asks_for_more_than_others_have_needs_room_in_the_quota(seed: Seed) -> None:
    await started(seed, "one")
    await limit(seed.database, total_memory_in_mb=1024)
    package = await seed.package(await seed.app("two"))
    wanted = CreateBuild(package_guid=package.guid, default_stack="host", actor=SYSTEM)
    asked = replace(wanted, staging_memory_mb=513, asked_memory_mb=513)
    text = "organization's memory limit exceeded: staging requires 513M memory"
    assert await refused(seed.database, create_build, asked) == text
    assert (await seed.database.write(create_build, replace(asked, asked_memory_mb=512))).state == "STAGING"


async def test_what_is_staged_counts_like_what_runs_until_it_ends(seed: Seed) -> None:
    one, two = await started(seed, "one", "two")
    await limit(seed.database, total_memory_in_mb=2048)
    build = await seed.build(await seed.package(await seed.app("three")))
    with seed.database.read() as tx:
        used = usage(tx, tx.need(Space, tx.need(App, two.app_guid).space_guid)).memory_mb
    await scale_refused(seed.database, one, instances=2)
    fail = FailBuild(build_guid=build.guid, node_guid=NODE, epoch=build.epoch, error="StagingError - no")
    await seed.database.write(fail_build, fail)
    with seed.database.read() as tx:
        left = usage(tx, tx.need(Space, tx.need(App, two.app_guid).space_guid)).memory_mb
    assert (used, left) == (2048, 1024)
    await scale(seed.database, one, instances=2)


async def test_the_quotas_of_spaces_go_with_their_organization(seed: Seed) -> None:
    organization, _, _ = await seed.place()
    await limit_space(seed, total_routes=1)
    await seed.database.write(
        begin_delete_organization, DeleteOrganization(organization_guid=organization.guid, actor=SYSTEM)
    )
    for kind, record in (("domain", Domain), ("space", Space), ("organization", Organization)):
        with seed.database.read() as tx:
            guids = [row.guid for row in tx.all(record, deleting=True)]
        for guid in guids:
            assert await seed.database.write(delete_chunk, DeleteChunk(kind=kind, guid=guid))
    with seed.database.read() as tx:
        assert (tx.all(Organization), tx.all(SpaceQuota)) == ([], [])


async def test_routes_and_domains_are_counted(seed: Seed) -> None:
    organization, space, domain = await seed.place()
    await limit(seed.database, total_routes=2, total_domains=1)
    await limit_space(seed, total_routes=1)

    def route(host: str, space_guid: str = space.guid) -> CreateRoute:
        return CreateRoute(domain_guid=domain.guid, space_guid=space_guid, host=host, actor=SYSTEM)

    await seed.database.write(create_route, route("a"))
    assert await refused(seed.database, create_route, route("b")) == "Routes quota exceeded for space 'dev'."
    await limit(seed.database, total_routes=1)
    with seed.database.read() as tx:
        assert tx.need(Space, space.guid).quota_guid is not None
    await limit(seed.database, total_routes=0)
    other = await seed.other_space(organization)
    text = "Routes quota exceeded for organization 'main'."
    assert await refused(seed.database, create_route, route("b", other.guid)) == text

    def private(name: str) -> CreateDomain:
        return CreateDomain(name=name, organization_guid=organization.guid, actor=SYSTEM)

    await seed.database.write(create_domain, private("a.example.org"))
    text = 'The number of private domains exceeds the quota for organization "main"'
    assert await refused(seed.database, create_domain, private("b.example.org")) == text
    await seed.database.write(create_domain, CreateDomain(name="c.example.org", actor=SYSTEM))


@pytest.mark.parametrize("seed_number", range(8))
async def test_of_two_that_race_for_the_last_of_a_quota_one_is_refused(tmp_path: Path, seed_number: int) -> None:
    """Two nodes, a log that delays, loses and refuses: neither waits for the other before it reads what is used."""
    log = MemoryLog(seed_number)
    async with open_node(tmp_path / "a", log, 1) as one, open_node(tmp_path / "b", log, 2) as two:
        a, b = await started(Seed(one), "one", "two")
        await limit(one, total_memory_in_mb=1536)
        await two.catch_up()
        log.faults = Faults(lose_request=0.2, lose_answer=0.2, late_request=0.2, delay_s=0.005)
        outcomes: list[str] = []

        async def grow(database: Database, process: Process) -> None:
            try:
                await scale(database, process, instances=2)
                outcomes.append("scaled")
            except QuotaExceeded as error:
                outcomes.append(error.detail)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(grow, one, a)
            nursery.start_soon(grow, two, b)
        assert sorted(outcomes) == ["memory quota_exceeded", "scaled"]
        log.faults = Faults()
        await one.catch_up()
        with one.read() as tx:
            assert tx.total(Process, ("instances", "memory_mb")) - 512 == 1536  # the seed has a stopped app beside


def open_node(folder: Path, log: MemoryLog, number: int) -> Any:
    return open_database(
        folder, log=log.client(), node=folder.name, random=Random(number), runner=InlineRunner(), sync=False
    )
