"""Apps: created, changed, started and stopped at once; taken away in chunks."""

from typing import Final

import msgspec

from paasd.errors import NotFound, Unprocessable
from paasd.model.arguments import Actor, Arguments, Metadata
from paasd.model.auditing import difference
from paasd.model.events import record_app_event
from paasd.model.jobs import OPEN_STATES, open_job
from paasd.model.metadata import merge_metadata
from paasd.model.naming import check_name
from paasd.model.network_policies import forget_app
from paasd.model.processes import Sizes, add_missing_processes, add_process, check_room_for_sidecars
from paasd.model.quotas.accounting import accounting
from paasd.model.records import App, Destination, Droplet, Instance, Job, PlacementFailure, Process, Space
from paasd.model.revisions import revise
from paasd.model.sidecars import take_droplet_sidecars
from paasd.model.task_endings import end_tasks_of
from paasd.state import Duplicate, In, Portion, Tx, operation

NO_DROPLET: Final = "Unable to assign current droplet. Ensure the droplet exists and belongs to this app."

FEATURES: Final = {
    "ssh": True,
    "revisions": True,
    "service-binding-k8s": False,
    "file-based-vcap-services": False,
}
OF_SERVICES: Final = ("service-binding-k8s", "file-based-vcap-services")
"""Features that say how bindings reach an app; off, for there is nothing to bind."""
DELETE_DEADLINE_S = 1800


def environment_context(app_guid: str) -> str:
    """The context under which an app's environment is sealed, so that one app's cannot be put into another."""
    return f"app environment {app_guid}"


def taken_text(name: str) -> str:
    """How Cloud Foundry says that an app exists; its command line looks for these words."""
    return f"App with the name '{name}' already exists."


class CreateApp(Arguments):
    """Arguments of `create_app`; `environment` is sealed for `guid`."""

    guid: str
    name: str
    space_guid: str
    lifecycle_type: str = "buildpack"
    buildpacks: list[str] = []
    stack: str | None = None
    environment: str = ""
    metadata: Metadata | None = None
    sizes: Sizes
    actor: Actor


@operation("app.create", version=1)
def create_app(tx: Tx, args: CreateApp) -> App:
    """The app with its web process. Raises NotFound for the space, Unprocessable for a taken name."""
    space = tx.need(Space, args.space_guid)
    if space.deleting:
        raise NotFound("Space")
    check_name(args.name)
    try:
        app = tx.insert(
            App(
                guid=args.guid,
                name=args.name,
                space_guid=args.space_guid,
                lifecycle_type=args.lifecycle_type,
                buildpacks=args.buildpacks,
                stack=args.stack,
                environment=args.environment,
            )
        )
    except Duplicate as error:
        raise Unprocessable(taken_text(args.name)) from error
    add_process(tx, app, "web", args.sizes)
    merge_metadata(tx, "app", app.guid, args.metadata)
    record_app_event(tx, "audit.app.create", args.actor, app, {"buildpacks": args.buildpacks, "stack": args.stack})
    return app


class UpdateApp(Arguments):
    """Arguments of `update_app`; UNSET leaves a field as it is."""

    app_guid: str
    name: str | msgspec.UnsetType = msgspec.UNSET
    buildpacks: list[str] | msgspec.UnsetType = msgspec.UNSET
    stack: str | msgspec.UnsetType | None = msgspec.UNSET
    metadata: Metadata | None = None
    actor: Actor


@operation("app.update", version=1)
def update_app(tx: Tx, args: UpdateApp) -> App:
    """Raises NotFound, or Unprocessable for a taken name."""
    app = former = need_app(tx, args.app_guid)
    if not isinstance(args.name, msgspec.UnsetType):
        check_name(args.name)
    values = ((name, getattr(args, name)) for name in ("name", "buildpacks", "stack"))
    changes = {name: value for name, value in values if value is not msgspec.UNSET}
    try:
        app = tx.update(app, **changes)
    except Duplicate as error:
        raise Unprocessable(taken_text(str(args.name))) from error
    merge_metadata(tx, "app", app.guid, args.metadata)
    data = {"changed": sorted(changes), **difference(former, app, args.metadata)}
    record_app_event(tx, "audit.app.update", args.actor, app, data)
    return app


class SetEnvironment(Arguments):
    """Arguments of `set_environment`: both sealed; `previous` guards against a change in between.

    `names` are all that change, `removed` those of them that go.
    """

    app_guid: str
    previous: str
    environment: str
    names: list[str]
    removed: list[str] = []
    actor: Actor


@operation("app.set_environment", version=1)
def set_environment(tx: Tx, args: SetEnvironment) -> App | None:
    """None when the environment is no longer `previous`: read, merge and seal again. Raises NotFound."""
    app = need_app(tx, args.app_guid)
    if app.environment != args.previous:
        return None
    app = tx.update(app, environment=args.environment)
    data = {"environment_variables": args.names} | ({"removed": args.removed} if args.removed else {})
    record_app_event(tx, "audit.app.update", args.actor, app, data)
    return app


class SetFeature(Arguments):
    """Arguments of `set_feature`."""

    app_guid: str
    feature: str
    enabled: bool
    actor: Actor


@operation("app.set_feature", version=1)
def set_feature(tx: Tx, args: SetFeature) -> App:
    """Raises NotFound for the app or the feature."""
    app = former = need_app(tx, args.app_guid)
    if args.feature not in FEATURES:
        raise NotFound("Feature")
    app = tx.update(app, features={**app.features, args.feature: args.enabled})
    record_app_event(tx, "audit.app.update", args.actor, app, {args.feature: args.enabled, **difference(former, app)})
    return app


class ChangeApp(Arguments):
    """Arguments of `start_app`, `stop_app`, `restart_app` and `begin_delete_app`; `instances_limit` as in `Sizes`."""

    app_guid: str
    instances_limit: int | None = None
    actor: Actor


@operation("app.start", version=1)
def start_app(tx: Tx, args: ChangeApp) -> App:
    """Raises NotFound, Unprocessable without a droplet or beyond a quota. Starting what is started changes nothing."""
    app = need_app(tx, args.app_guid)
    _check_startable(app)
    if app.state == "STARTED":
        return app
    with accounting(tx, app.guid, args.instances_limit):
        former, app = app, _started(tx, app, args.actor)
    record_app_event(tx, "audit.app.start", args.actor, app, difference(former, app))
    return app


@operation("app.stop", version=1)
def stop_app(tx: Tx, args: ChangeApp) -> App:
    """Raises NotFound. The scheduler takes the instances away."""
    app = need_app(tx, args.app_guid)
    if app.state == "STOPPED":
        return app
    with accounting(tx, app.guid):
        former, app = app, tx.update(app, state="STOPPED")
    record_app_event(tx, "audit.app.stop", args.actor, app, difference(former, app))
    return app


@operation("app.restart", version=1)
def restart_app(tx: Tx, args: ChangeApp) -> App:
    """A new version, so that every instance is replaced. Raises NotFound, or Unprocessable without a droplet."""
    app = need_app(tx, args.app_guid)
    _check_startable(app)
    with accounting(tx, app.guid, args.instances_limit):
        former, app = app, _started(tx, app, args.actor)
    record_app_event(tx, "audit.app.restart", args.actor, app, difference(former, app))
    return app


def _started(tx: Tx, app: App, actor: Actor) -> App:
    wanted = app.features.get("revisions", FEATURES["revisions"])
    revision = revise(tx, app, actor) if wanted else None
    revision_guid = None if revision is None else revision.guid
    return tx.update(app, state="STARTED", version=app.version + 1, revision_guid=revision_guid)


def _check_startable(app: App) -> None:
    if app.droplet_guid is None:
        raise Unprocessable("Assign a droplet before starting this app.")


class SetDroplet(Arguments):
    """Arguments of `set_current_droplet`."""

    app_guid: str
    droplet_guid: str
    sizes: Sizes
    actor: Actor


@operation("app.set_current_droplet", version=1)
def set_current_droplet(tx: Tx, args: SetDroplet) -> App:
    """The droplet for the next start; its process types become processes. Raises NotFound, Unprocessable."""
    app = need_app(tx, args.app_guid)
    droplet = tx.get(Droplet, args.droplet_guid)
    if droplet is None or droplet.app_guid != app.guid:
        raise Unprocessable(NO_DROPLET)
    if droplet.state != "STAGED":
        raise Unprocessable("Unable to assign current droplet. Ensure the droplet is staged.")
    former, app = app, tx.update(app, droplet_guid=droplet.guid)
    with accounting(tx, app.guid, args.sizes.instances_limit):
        add_missing_processes(tx, app, droplet, args.sizes)
    take_droplet_sidecars(tx, app, droplet)
    for process in tx.all(Process, app_guid=app.guid):
        check_room_for_sidecars(tx, process)
    data = {"request": {"droplet_guid": droplet.guid}, **difference(former, app)}
    record_app_event(tx, "audit.app.droplet.mapped", args.actor, app, data)
    return app


@operation("app.begin_delete", version=1)
def begin_delete_app(tx: Tx, args: ChangeApp) -> Job:
    """Stop and hide the app and open the job under which it is taken away. Raises NotFound."""
    app = tx.need(App, args.app_guid)
    job = tx.find(Job, In("state", OPEN_STATES), resource_guid=app.guid, operation="app.delete")
    if job is not None:
        return job
    former, app = app, hide_app(tx, app)
    record_app_event(tx, "audit.app.delete-request", args.actor, app, difference(former, app))
    return open_job(
        tx, "app.delete", resource_type="app", resource_guid=app.guid, deadline_s=DELETE_DEADLINE_S, by=args.actor
    )


def hide_app(tx: Tx, app: App, portion: Portion | None = None) -> App:
    """Mark an app for deletion: no longer listed, routed or wanted to run; the rest follows in chunks.

    What is too much for the portion follows, too: a moment later it is not routed nor runs any more.
    """
    if app.deleting:
        return app
    portion = portion or Portion(tx)
    for part in (Destination, Instance, PlacementFailure):
        portion.clear(part, app_guid=app.guid)
    forget_app(tx, app.guid)
    end_tasks_of(tx, app.guid)
    with accounting(tx, app.guid):
        return tx.update(app, state="STOPPED", deleting=True)


def need_app(tx: Tx, app_guid: str) -> App:
    """The app, unless it is on its way out. Raises NotFound."""
    app = tx.need(App, app_guid)
    if app.deleting:
        raise NotFound("App")
    return app
