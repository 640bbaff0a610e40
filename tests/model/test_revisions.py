"""When a start makes a revision, what it says, how long it is kept, and that instances run what it says."""

from typing import Any

import msgspec

from paasd.model import App, AuditEvent, Droplet, Instance, Label, Process, Revision, Space
from paasd.model.apps import (
    ChangeApp,
    SetDroplet,
    SetEnvironment,
    SetFeature,
    begin_delete_app,
    restart_app,
    set_current_droplet,
    set_environment,
    set_feature,
    start_app,
    stop_app,
)
from paasd.model.arguments import SYSTEM, Metadata
from paasd.model.deletion import DeleteChunk, delete_chunk
from paasd.model.droplets import CopyDroplet, DeleteDroplet, copy_droplet, delete_droplet
from paasd.model.instances import PlaceInstances, Placement, place_instances
from paasd.model.processes import UpdateProcess, update_process
from paasd.model.retention import ExpireParts, expire_parts
from paasd.model.revisions import (
    SNAPSHOT_LIMIT_BYTES,
    VERSION_LIMIT,
    UpdateRevision,
    differences,
    revise,
    update_revision,
)
from paasd.model.sidecars import CreateSidecar, create_sidecar
from paasd.state import operation
from tests.model.seeding import NODE, SIZES, Seed


def revisions(seed: Seed) -> list[Revision]:
    with seed.database.read() as tx:
        return tx.all(Revision, order=("sequence",))


def texts(seed: Seed) -> list[tuple[int, str]]:
    return [(one.version, one.description) for one in revisions(seed)]


def now(seed: Seed, app: App) -> App:
    with seed.database.read() as tx:
        return tx.need(App, app.guid)


async def restart(seed: Seed, app: App) -> App:
    return await seed.database.write(restart_app, ChangeApp(app_guid=app.guid, actor=SYSTEM))


async def environment(seed: Seed, app: App, sealed: str) -> None:
    previous = now(seed, app).environment
    change = SetEnvironment(app_guid=app.guid, previous=previous, environment=sealed, names=["A"], actor=SYSTEM)
    await seed.database.write(set_environment, change)


async def command(seed: Seed, app: App, text: str | None) -> None:
    with seed.database.read() as tx:
        web = tx.find(Process, app_guid=app.guid, type="web")
    assert web is not None
    await seed.database.write(update_process, UpdateProcess(process_guid=web.guid, command=text, actor=SYSTEM))


async def sidecar(seed: Seed, app: App, name: str, text: str = "run") -> None:
    made = CreateSidecar(app_guid=app.guid, name=name, command=text, process_types=["web"], actor=SYSTEM)
    await seed.database.write(create_sidecar, made)


async def other_droplet(seed: Seed, app: App) -> Droplet:
    source = now(seed, app).droplet_guid or ""
    copy = CopyDroplet(source_guid=source, app_guid=app.guid, actor=SYSTEM)
    made = await seed.database.write(copy_droplet, copy)
    chosen = SetDroplet(app_guid=app.guid, droplet_guid=made.guid, sizes=SIZES, actor=SYSTEM)
    await seed.database.write(set_current_droplet, chosen)
    return made


async def test_each_start_with_something_else_makes_a_revision_that_says_what(seed: Seed) -> None:
    app = await seed.started()
    assert texts(seed) == [(1, "Initial revision.")]
    await restart(seed, app)
    await environment(seed, app, "sealed")
    assert texts(seed) == [(1, "Initial revision.")]  # nothing else, and what is not started yet
    await restart(seed, app)
    for text in ("own", "another", None):
        await command(seed, app, text)
        await restart(seed, app)
    await sidecar(seed, app, "side")
    await restart(seed, app)
    await other_droplet(seed, app)
    await environment(seed, app, "sealed anew")
    await command(seed, app, "own")
    changed = await restart(seed, app)
    assert texts(seed) == [
        (1, "Initial revision."),
        (2, "New environment variables deployed."),
        (3, "Custom start command added for 'web' process."),
        (4, "Custom start command updated for 'web' process."),
        (5, "Custom start command removed for 'web' process."),
        (6, "Sidecars updated."),
        (
            7,
            "Custom start command added for 'web' process. New droplet deployed. New environment variables deployed.",
        ),
    ]
    newest = revisions(seed)[-1]
    assert changed.revision_guid == newest.guid
    assert (newest.droplet_guid, newest.environment) == (changed.droplet_guid, "sealed anew")
    assert (newest.commands, newest.sidecars[0].name) == ({"web": "own"}, "side")


async def test_starting_what_was_stopped_compares_and_starting_what_runs_does_not(seed: Seed) -> None:
    app = await seed.started()
    await environment(seed, app, "sealed")
    change = ChangeApp(app_guid=app.guid, actor=SYSTEM)
    await seed.database.write(start_app, change)
    assert len(revisions(seed)) == 1
    await seed.database.write(stop_app, change)
    await seed.database.write(start_app, change)
    assert texts(seed)[1:] == [(2, "New environment variables deployed.")]


def test_process_types_that_come_and_go_are_named() -> None:
    def of(**commands: str | None) -> Revision:
        return Revision(app_guid="", sequence=1, version=1, droplet_guid="", commands=commands, description="")

    assert differences(of(web=None, old="x"), of(web=None, worker="x")) == [
        "New process type 'worker' added.",
        "Process type 'old' removed.",
    ]
    assert differences(of(web=None), of(web=None)) == []


async def test_with_the_feature_off_there_are_no_new_ones_and_none_is_deployed(seed: Seed) -> None:
    app = await seed.started()

    async def switch(enabled: bool) -> None:
        change = SetFeature(app_guid=app.guid, feature="revisions", enabled=enabled, actor=SYSTEM)
        await seed.database.write(set_feature, change)

    await switch(False)
    await environment(seed, app, "sealed")
    assert (await restart(seed, app)).revision_guid is None
    assert texts(seed) == [(1, "Initial revision.")]
    await switch(True)
    assert (await restart(seed, app)).revision_guid == revisions(seed)[-1].guid
    assert texts(seed)[1:] == [(2, "New environment variables deployed.")]


async def test_an_app_with_too_many_commands_starts_without_a_revision(seed: Seed) -> None:
    app = await seed.started()
    for number in range(SNAPSHOT_LIMIT_BYTES // 4000 + 1):
        await sidecar(seed, app, f"side-{number}", "x" * 4000)
    assert (await restart(seed, app)).revision_guid is None
    assert len(revisions(seed)) == 1


async def test_the_event_names_the_revision_and_holds_no_secret(seed: Seed) -> None:
    app = await seed.started()
    await command(seed, app, "run --password=hunter2")
    await environment(seed, app, "hunter3")
    await restart(seed, app)
    with seed.database.read() as tx:
        found = tx.all(AuditEvent, type="audit.app.revision.create", order=("sequence",))
        everything = repr(tx.all(AuditEvent))
    assert [event.data for event in found] == [
        {"revision_guid": one.guid, "revision_version": one.version} for one in revisions(seed)
    ]
    assert {event.target_guid for event in found} == {app.guid}
    assert "hunter" not in everything


@operation("test.revise", version=1)
def _revise(tx: Any, args: ChangeApp) -> Revision | None:
    """The start of an app whose newest revision is the last that can be counted."""
    newest = tx.all(Revision, app_guid=args.app_guid, order=("-sequence",))[0]
    tx.update(newest, version=VERSION_LIMIT)
    tx.insert(msgspec.structs.replace(newest, guid="", sequence=0, version=1))
    return revise(tx, tx.update(tx.need(App, args.app_guid), environment="else"), args.actor)


async def test_after_the_last_version_comes_the_first_once_more(seed: Seed) -> None:
    app = await seed.started()
    made = await seed.database.write(_revise, ChangeApp(app_guid=app.guid, actor=SYSTEM))
    assert made is not None
    assert [(one.sequence, one.version) for one in revisions(seed)] == [(1, VERSION_LIMIT), (2, 1)]


async def test_only_the_newest_are_kept_and_go_with_their_labels(seed: Seed) -> None:
    app = await seed.started()
    first = revisions(seed)[0]
    labels = Metadata(labels={"a": "b"})
    await seed.database.write(update_revision, UpdateRevision(revision_guid=first.guid, metadata=labels, actor=SYSTEM))
    for number in range(4):
        await environment(seed, app, f"sealed {number}")
        await restart(seed, app)
    keep = ExpireParts(app_guid=app.guid, packages=5, droplets=5, builds=5, revisions=2)
    assert await seed.database.write(expire_parts, keep) == 3
    assert [one.version for one in revisions(seed)] == [4, 5]
    with seed.database.read() as tx:
        assert tx.count(Label) == 0
        assert tx.all(AuditEvent, order=("-sequence",))[0].data == {"revisions": 3}


async def test_they_go_with_their_app(seed: Seed) -> None:
    app = await seed.started()
    await seed.database.write(begin_delete_app, ChangeApp(app_guid=app.guid, actor=SYSTEM))
    while not await seed.database.write(delete_chunk, DeleteChunk(kind="app", guid=app.guid)):
        pass
    with seed.database.read() as tx:
        assert (tx.count(Revision), tx.count(App), tx.count(Space)) == (0, 0, 1)


async def place(seed: Seed, app: App, index: int = 0) -> Instance:
    with seed.database.read() as tx:
        web = tx.find(Process, app_guid=app.guid, type="web")
    assert web is not None
    one = Placement(process_guid=web.guid, index=index, app_version=app.version, node_guid=NODE)
    [guid] = await seed.database.write(place_instances, PlaceInstances(placements=[one]))
    with seed.database.read() as tx:
        return tx.need(Instance, guid)


async def test_instances_get_the_droplet_of_the_last_start_which_is_kept_as_long(seed: Seed) -> None:
    app = await seed.started()
    await seed.node()
    newer = await other_droplet(seed, app)
    keep = ExpireParts(app_guid=app.guid, packages=1, droplets=1, builds=1)
    await seed.database.write(expire_parts, keep)
    instance = await place(seed, app)
    assert instance.droplet_guid == app.droplet_guid != newer.guid


async def test_where_that_droplet_was_deleted_instances_get_the_current_one(seed: Seed) -> None:
    app = await seed.started()
    await seed.node()
    newer = await other_droplet(seed, app)
    await seed.database.write(delete_droplet, DeleteDroplet(droplet_guid=app.droplet_guid or "", actor=SYSTEM))
    assert (await place(seed, app)).droplet_guid == newer.guid
