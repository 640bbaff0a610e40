"""Builds: opened by a caller, given to a node by the scheduler, ended by that node's stager or by the deadline."""

from collections.abc import Sequence

import msgspec

from paasd.errors import Unprocessable
from paasd.model.apps import need_app
from paasd.model.arguments import SYSTEM, Actor, Arguments, Metadata, seconds_after
from paasd.model.auditing import difference
from paasd.model.events import record_app_event
from paasd.model.layers import NewLayer, register_layer
from paasd.model.metadata import merge_metadata
from paasd.model.quotas.accounting import check_staging
from paasd.model.quotas.blobs import check_blobs, forget_layers, of_layers
from paasd.model.quotas.places import QuotaExceeded
from paasd.model.records import (
    App,
    Build,
    Droplet,
    DropletBuildpack,
    DropletLayer,
    DropletSidecar,
    Package,
    Space,
    Timing,
)
from paasd.state import Lt, ReadTx, Tx, operation

SWEEP_LIMIT = 100
OVERDUE = "StagingTimeExpired - staging did not end before its deadline"


class CreateBuild(Arguments):
    """Arguments of `create_build`; empty buildpacks and no stack take those of the app, then the platform's.

    `asked_memory_mb` is what has to fit into quotas; nodes of earlier releases send none for a build of usual size.
    """

    package_guid: str
    buildpacks: list[str] = []
    stack: str | None = None
    default_stack: str
    staging_memory_mb: int = 1024
    staging_disk_mb: int = 4096
    asked_memory_mb: int | None = None
    timeout_s: float = 900
    metadata: Metadata | None = None
    actor: Actor


@operation("build.create", version=1)
def create_build(tx: Tx, args: CreateBuild) -> Build:
    """Raises NotFound for the package, Unprocessable when it is not READY or another build of the app runs."""
    package = tx.need(Package, args.package_guid)
    app = need_app(tx, package.app_guid)
    if package.state != "READY":
        raise Unprocessable("Cannot stage package whose state is not ready.")
    if tx.exists(Build, app_guid=app.guid, state="STAGING"):
        raise Unprocessable("Only one build can be STAGING at a time per application.")
    if args.asked_memory_mb is not None:
        check_staging(tx, tx.need(Space, app.space_guid), args.asked_memory_mb)
    build = tx.insert(
        Build(
            app_guid=app.guid,
            package_guid=package.guid,
            deadline_at=seconds_after(tx.now, args.timeout_s),
            buildpacks=args.buildpacks or app.buildpacks,
            stack=args.stack or app.stack or args.default_stack,
            staging_memory_mb=args.staging_memory_mb,
            staging_disk_mb=args.staging_disk_mb,
            created_by_guid=args.actor.guid,
            created_by_name=args.actor.name,
        )
    )
    merge_metadata(tx, "build", build.guid, args.metadata)
    data = {"build_guid": build.guid, "package_guid": package.guid}
    record_app_event(tx, "audit.app.build.create", args.actor, app, data)
    return build


class UpdateBuild(Arguments):
    """Arguments of `update_build`: only metadata can change."""

    build_guid: str
    metadata: Metadata | None = None
    actor: Actor = SYSTEM


@operation("build.update", version=1)
def update_build(tx: Tx, args: UpdateBuild) -> Build:
    """Raises NotFound."""
    build = tx.update(tx.need(Build, args.build_guid))
    merge_metadata(tx, "build", build.guid, args.metadata)
    data = {"build_guid": build.guid, **difference(build, build, args.metadata)}
    record_app_event(tx, "audit.app.build.update", args.actor, tx.need(App, build.app_guid), data)
    return build


class AssignBuild(Arguments):
    """Arguments of `assign_build`; `epoch` is the one that the scheduler saw."""

    build_guid: str
    node_guid: str
    epoch: int


@operation("build.assign", version=1)
def assign_build(tx: Tx, args: AssignBuild) -> bool:
    """Give a STAGING build to a node under the next epoch; False when it has moved on since."""
    build = tx.get(Build, args.build_guid)
    if build is None or build.state != "STAGING" or build.epoch != args.epoch:
        return False
    tx.update(build, node_guid=args.node_guid, epoch=build.epoch + 1)
    return True


class FinishBuild(Arguments):
    """Arguments of `finish_build`: what the stager of (node_guid, epoch) made."""

    build_guid: str
    node_guid: str
    epoch: int
    layers: list[DropletLayer]
    process_types: dict[str, str]
    sidecars: list[DropletSidecar] = []
    buildpacks: list[DropletBuildpack] = []
    reuse_key: str = ""
    timings: list[Timing] = []
    register: list[NewLayer] = []


@operation("build.finish", version=1)
def finish_build(tx: Tx, args: FinishBuild) -> bool:
    """STAGED with a droplet, and its layers remembered, or FAILED where the quota has no room for them.

    False when the build is not this node's any more.
    """
    build = _current(tx, args.build_guid, args.node_guid, args.epoch)
    if build is None:
        return False
    app = tx.get(App, build.app_guid)
    if app is None or app.deleting:
        tx.update(build, state="FAILED", error="StagingError - the app was deleted while it was staged")
        return False
    space = tx.need(Space, app.space_guid)
    try:
        check_blobs(tx, space, of_layers(args.layers))
    except QuotaExceeded as error:
        _fail(tx, build, f"StagingError - {error.detail}", args.timings)
        return True
    droplet = tx.insert(
        Droplet(
            app_guid=build.app_guid,
            package_guid=build.package_guid,
            build_guid=build.guid,
            stack=build.stack,
            layers=args.layers,
            process_types=args.process_types,
            sidecars=args.sidecars,
            buildpacks=args.buildpacks,
            reuse_key=args.reuse_key,
        )
    )
    staged = tx.update(build, state="STAGED", droplet_guid=droplet.guid, timings=args.timings)
    for layer in args.register:
        register_layer(tx, layer, space, args.node_guid)
    forget_layers(tx, space)
    actor = Actor(guid=build.created_by_guid, type="user", name=build.created_by_name)
    data = {"build_guid": build.guid, "droplet_guid": droplet.guid, **difference(build, staged)}
    record_app_event(tx, "audit.app.build.staged", actor, app, data)
    return True


class FailBuild(Arguments):
    """Arguments of `fail_build`; `error` starts with Cloud Foundry's name for it: `NoAppDetectedError - ...`."""

    build_guid: str
    node_guid: str | None
    epoch: int
    error: str
    timings: list[Timing] = []


@operation("build.fail", version=1)
def fail_build(tx: Tx, args: FailBuild) -> bool:
    """FAILED with a reason; False when the build is not this node's any more."""
    build = _current(tx, args.build_guid, args.node_guid, args.epoch)
    if build is None:
        return False
    _fail(tx, build, args.error, args.timings)
    return True


def _fail(tx: Tx, build: Build, error: str, timings: Sequence[Timing] = ()) -> None:
    failed = tx.update(build, state="FAILED", error=error, timings=list(timings) or build.timings)
    app = tx.get(App, build.app_guid)
    if app is not None:
        actor = Actor(guid=build.created_by_guid, type="user", name=build.created_by_name)
        data = {"build_guid": build.guid, "error": error[:500], **difference(build, failed)}
        record_app_event(tx, "audit.app.build.failed", actor, app, data)


class FailOverdueBuilds(Arguments):
    """Arguments of `fail_overdue_builds`; the transaction's time decides."""


@operation("build.fail_overdue", version=1)
def fail_overdue_builds(tx: Tx, args: FailOverdueBuilds) -> int:
    """Fail builds past their deadline, a bounded number at a time; returns how many."""
    overdue = tx.all(Build, Lt("deadline_at", tx.now), state="STAGING", limit=SWEEP_LIMIT)
    for build in overdue:
        _fail(tx, build, OVERDUE)
    return len(overdue)


class CurrentBuild(msgspec.Struct, frozen=True, kw_only=True):
    """A build as its node has it."""

    build_guid: str
    epoch: int


class ProlongBuilds(Arguments):
    """Arguments of `prolong_builds`: each has `timeout_s` from now on."""

    node_guid: str
    builds: list[CurrentBuild]
    timeout_s: float


@operation("build.prolong", version=1)
def prolong_builds(tx: Tx, args: ProlongBuilds) -> int:
    """Put the deadline off of those that are still this node's and wait for their turn, or begin now; how many."""
    found = [_current(tx, one.build_guid, args.node_guid, one.epoch) for one in args.builds]
    mine = [build for build in found if build is not None]
    for build in mine:
        tx.update(build, deadline_at=seconds_after(tx.now, args.timeout_s))
    return len(mine)


def organization_of(tx: ReadTx, app_guid: str) -> str:
    """Whose turn it is that a build of the app takes; "" for an app that is gone."""
    app = tx.get(App, app_guid)
    space = None if app is None else tx.get(Space, app.space_guid)
    return "" if space is None else space.organization_guid


def _current(tx: Tx, build_guid: str, node_guid: str | None, epoch: int) -> Build | None:
    """The build, if it still waits for a report of this node under this epoch."""
    build = tx.get(Build, build_guid)
    if build is None or build.state != "STAGING":
        return None
    return build if build.node_guid == node_guid and build.epoch == epoch else None
