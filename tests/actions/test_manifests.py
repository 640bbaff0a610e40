"""Manifests through their action: against a real database, in one write."""

import msgspec
import pytest
import yaml

from paasd.actions import environment, manifests, routes
from paasd.config import DomainsConfig
from paasd.errors import Forbidden, NotFound
from paasd.model import App, Destination, Domain, Instance, Job, Process, Route, Sidecar
from paasd.model.manifests import ManifestError
from paasd.model.metadata import read_metadata
from tests.actions.world import World

FULL = """
applications:
- name: dora
  stack: host
  buildpacks: [python_buildpack]
  env: {GREETING: hello, COUNT: 3, DEBUG: true, VERSION: 1.10}
  metadata:
    labels: {team: blue}
    annotations: {contact: "blue@example.org"}
  features: {ssh: false}
  routes:
  - route: dora.apps.localhost
  - route: dora.apps.localhost/api
    protocol: http2
  processes:
  - type: web
    instances: 2
    memory: 128M
    disk_quota: 2G
    log-rate-limit-per-second: 16K
    command: ./run
    health-check-type: http
    health-check-http-endpoint: /health
    health-check-invocation-timeout: 5
    timeout: 90
  - type: worker
    instances: 1
    memory: 64M
  sidecars:
  - name: helper
    command: ./help
    process_types: [web]
    memory: 32M
"""


async def apply(world: World, text: str) -> Job:
    return await manifests.apply(world.context, world.admin, world.space.guid, text)


def app_of(world: World, name: str = "dora") -> App:
    with world.context.database.read() as tx:
        app = tx.find(App, name=name, space_guid=world.space.guid)
    assert app is not None
    return app


async def urls_of(world: World, name: str = "dora") -> list[str]:
    app = app_of(world, name)
    entry = yaml.safe_load(await manifests.generate_text(world.context, world.admin, app.guid))["applications"][0]
    return [one["route"] for one in entry.get("routes", [])]


async def test_a_full_manifest_makes_the_app_with_everything(world: World) -> None:
    job = await apply(world, FULL)
    assert job.state == "COMPLETE"
    app = app_of(world)
    with world.context.database.read() as tx:
        processes = {p.type: p for p in tx.all(Process, app_guid=app.guid)}
        sidecar = tx.find(Sidecar, app_guid=app.guid)
        metadata = read_metadata(tx, [app.guid])[app.guid]
    web = processes["web"]
    assert (web.instances, web.memory_mb, web.disk_mb, web.log_rate_limit_bytes) == (2, 128, 2048, 16384)
    assert (web.health_check.type, web.health_check.endpoint, web.health_check.timeout_s) == ("http", "/health", 90)
    assert processes["worker"].health_check.type == "process"
    assert sidecar is not None and sidecar.memory_mb == 32
    assert metadata.labels == {"team": "blue"}
    assert app.features == {"ssh": False}
    variables = await environment.read_environment(world.context, world.admin, app.guid)
    assert variables == {"GREETING": "hello", "COUNT": "3", "DEBUG": "true", "VERSION": "1.10"}
    assert await urls_of(world) == ["dora.apps.localhost", "dora.apps.localhost/api"]


async def test_applying_it_again_changes_nothing(world: World) -> None:
    await apply(world, FULL)
    with world.context.database.read() as tx:
        before = (tx.all(App), tx.all(Process), tx.all(Sidecar), tx.all(Route), tx.all(Destination))
    await apply(world, FULL)
    with world.context.database.read() as tx:
        after = (tx.all(App), tx.all(Process), tx.all(Sidecar), tx.all(Route), tx.all(Destination))
    assert after == before


async def test_the_written_manifest_makes_the_same_app_elsewhere(world: World) -> None:
    await apply(world, FULL)
    text = await manifests.generate_text(world.context, world.admin, app_of(world).guid)
    copied = text.replace("name: dora", "name: copy").replace("dora.apps", "copy.apps")
    await apply(world, copied)
    again = await manifests.generate_text(world.context, world.admin, app_of(world, "copy").guid)
    assert again == copied


async def test_what_is_not_mentioned_stays(world: World) -> None:
    await apply(world, FULL)
    await apply(world, "applications: [{name: dora, memory: 256M, env: {EXTRA: more, DEBUG: null}}]")
    app = app_of(world)
    with world.context.database.read() as tx:
        web = tx.find(Process, app_guid=app.guid, type="web")
    assert web is not None
    assert (web.memory_mb, web.instances, web.command, app.buildpacks) == (256, 2, "./run", ["python_buildpack"])
    variables = await environment.read_environment(world.context, world.admin, app.guid)
    assert variables == {"GREETING": "hello", "COUNT": "3", "VERSION": "1.10", "EXTRA": "more"}
    assert len(await urls_of(world)) == 2


async def test_a_null_command_goes_back_to_the_droplets(world: World) -> None:
    await apply(world, FULL)
    await apply(world, "applications: [{name: dora, command: null}]")
    with world.context.database.read() as tx:
        web = tx.find(Process, app_guid=app_of(world).guid, type="web")
    assert web is not None and web.command is None


async def test_instances_act_at_once_and_memory_waits_for_the_restart(world: World) -> None:
    app = await world.running()
    await apply(world, "applications: [{name: dora, instances: 2, memory: 64M}]")
    await world.scheduler.reconcile()
    with world.context.database.read() as tx:
        found = sorted((i.index, i.memory_mb) for i in tx.all(Instance, app_guid=app.guid))
    assert found == [(0, world.context.sizes.memory_mb), (1, 64)]


async def test_a_default_route_is_made_once(world: World) -> None:
    await apply(world, "applications: [{name: My App, default-route: true}]")
    assert await urls_of(world, "My App") == ["my-app.apps.localhost"]
    await apply(world, "applications: [{name: My App, default-route: true}]")
    with world.context.database.read() as tx:
        assert tx.count(Route) == 1


async def test_a_default_route_is_not_made_for_an_app_that_has_one(world: World) -> None:
    await apply(world, "applications: [{name: dora, routes: [{route: other.apps.localhost}]}]")
    await apply(world, "applications: [{name: dora, default-route: true}]")
    assert await urls_of(world) == ["other.apps.localhost"]


async def test_a_random_route_is_made_once(world: World) -> None:
    await apply(world, "applications: [{name: dora, random-route: true}]")
    made = await urls_of(world)
    assert len(made) == 1 and made[0].startswith("dora-") and made[0].endswith(".apps.localhost")
    await apply(world, "applications: [{name: dora, random-route: true}]")
    assert await urls_of(world) == made


async def test_no_route_unmaps_and_keeps_the_route(world: World) -> None:
    await apply(world, FULL)
    await apply(world, "applications: [{name: dora, no-route: true, routes: [{route: more.apps.localhost}]}]")
    assert await urls_of(world) == []
    with world.context.database.read() as tx:
        assert tx.count(Route) == 2


async def test_a_default_route_taken_by_another_space_fails_the_job_and_changes_nothing(world: World) -> None:
    other = await world.other_space()
    with world.context.database.read() as tx:
        domain = tx.find(Domain, name="apps.localhost")
    assert domain is not None
    await routes.create(world.context, world.admin, space_guid=other.guid, domain_guid=domain.guid, host="dora")
    job = await apply(world, "applications: [{name: first}, {name: dora, default-route: true}]")
    assert job.state == "FAILED"
    assert "For application 'dora'" in job.errors[0].detail and "Route already exists" in job.errors[0].detail
    with world.context.database.read() as tx:
        assert tx.count(App) == 0


async def test_a_listed_route_of_another_space_is_refused(world: World) -> None:
    other = await world.other_space()
    with world.context.database.read() as tx:
        domain = tx.find(Domain, name="apps.localhost")
    assert domain is not None
    await routes.create(world.context, world.admin, space_guid=other.guid, domain_guid=domain.guid, host="x")
    job = await apply(world, "applications: [{name: dora, routes: [{route: x.apps.localhost}]}]")
    assert job.state == "FAILED"
    assert "different spaces" in job.errors[0].detail and "dora" in job.errors[0].detail


async def test_two_apps_may_share_a_new_route(world: World) -> None:
    text = "applications:\n- &a {name: one, routes: [{route: both.apps.localhost}]}\n- {<<: *a, name: two}"
    assert (await apply(world, text)).state == "COMPLETE"
    assert await urls_of(world, "one") == await urls_of(world, "two") == ["both.apps.localhost"]


async def test_a_name_of_the_platform_is_refused(world: World) -> None:
    with world.context.database.read() as tx:
        domain = tx.find(Domain, name="apps.localhost")
    assert domain is not None
    reserved = msgspec.structs.replace(world.context.config, domains=DomainsConfig(system=domain.name))
    context = msgspec.structs.replace(world.context, config=reserved)
    text = "applications: [{name: dora, routes: [{route: api.apps.localhost}]}]"
    job = await manifests.apply(context, world.admin, world.space.guid, text)
    assert job.state == "FAILED" and "reserved by the platform" in job.errors[0].detail
    assert (await manifests.apply(world.context, world.admin, world.space.guid, text)).state == "COMPLETE"


async def test_too_much_disk_is_named_with_app_and_limit(world: World) -> None:
    job = await apply(world, "applications: [{name: dora, disk_quota: 100G}]")
    assert job.state == "FAILED"
    assert "For application 'dora'" in job.errors[0].detail and "10240 MB" in job.errors[0].detail


async def test_a_broken_manifest_is_refused_before_any_job(world: World) -> None:
    with pytest.raises(ManifestError, match="memory must use a supported unit"):
        await apply(world, "applications: [{name: dora, memory: lots}]")
    with world.context.database.read() as tx:
        assert tx.count(Job) == 0


async def test_only_developers_apply_and_only_members_see_the_space(world: World) -> None:
    text = "applications: [{name: dora}]"
    developer = await world.user("space_developer")
    job = await manifests.apply(world.context, developer, world.space.guid, text)
    assert job.state == "COMPLETE"
    auditor = await world.user("space_auditor")
    with pytest.raises(Forbidden):
        await manifests.apply(world.context, auditor, world.space.guid, text)
    stranger = await world.user()
    with pytest.raises(NotFound):
        await manifests.apply(world.context, stranger, world.space.guid, text)
    with pytest.raises(Forbidden):
        await manifests.generate_text(world.context, auditor, app_of(world).guid)


async def test_the_difference_names_what_would_change(world: World) -> None:
    await apply(world, FULL)
    text = """
applications:
- name: dora
  env: {GREETING: goodbye, NEW: "1"}
  processes: [{type: web, instances: 3, memory: 128M}]
- name: fresh
"""
    rows = await manifests.difference(world.context, world.admin, world.space.guid, text)
    assert rows == [
        {"op": "replace", "path": "/applications/0/env/GREETING", "value": "goodbye", "was": "hello"},
        {"op": "add", "path": "/applications/0/env/NEW", "value": "1"},
        {"op": "replace", "path": "/applications/0/processes/0/instances", "value": 3, "was": 2},
        {"op": "add", "path": "/applications/1", "value": {"name": "fresh", "processes": []}},
    ]


async def test_a_written_manifest_differs_in_nothing(world: World) -> None:
    await apply(world, FULL)
    text = await manifests.generate_text(world.context, world.admin, app_of(world).guid)
    assert await manifests.difference(world.context, world.admin, world.space.guid, text) == []


async def test_secrets_do_not_travel_in_the_arguments_of_the_write(world: World) -> None:
    manifest = await manifests.parse(world.context, "applications: [{name: dora, env: {KEY: sesame}}]")
    prepared = manifests._prepare(world.context, manifest.applications[0], None)
    assert "sesame" not in repr(prepared)
    assert prepared.environment


async def test_unknown_keys_become_warnings_of_the_job(world: World) -> None:
    job = await apply(world, "applications: [{name: dora, memroy: 64M}]")
    assert job.state == "COMPLETE"
    assert job.warnings == ["For application 'dora': unknown key 'memroy' was ignored; did you mean 'memory'?"]
