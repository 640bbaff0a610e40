"""What goes away by itself: old packages, droplets, builds, jobs and audit events; and which blobs rows still refer to.

What is served from, or may be in a moment, stays: the current droplet of an app, droplets of instances, their packages,
and everything that has not ended.
"""

from collections import Counter
from collections.abc import Iterable

from paasd.model.arguments import SYSTEM, Arguments
from paasd.model.auditing.trimming import trim
from paasd.model.events import record_app_event
from paasd.model.jobs import OPEN_STATES
from paasd.model.metadata import remove_in
from paasd.model.records import (
    App,
    Build,
    Buildpack,
    Droplet,
    DropletUpload,
    Instance,
    Job,
    Layer,
    Package,
    Revision,
    Task,
)
from paasd.model.revisions import droplet_to_run
from paasd.state import ROWS, In, Lt, Not, Portion, ReadTx, Tx, operation


class ExpireParts(Arguments):
    """Arguments of `expire_parts`: how many of each the app keeps."""

    app_guid: str
    packages: int
    droplets: int
    builds: int
    revisions: int = 100


@operation("retention.expire_parts", version=1)
def expire_parts(tx: Tx, args: ExpireParts) -> int:
    """Forget a portion of all but the newest packages, droplets, ended builds and revisions of an app; 0: no more."""
    app = tx.get(App, args.app_guid)
    if app is None:
        return 0
    running = {instance.droplet_guid for instance in tx.all(Instance, app_guid=app.guid)}
    running |= {task.droplet_guid for task in tx.all(Task, app_guid=app.guid) if not task.ended}
    running.add(droplet_to_run(tx, app) or "")
    droplets = tx.all(Droplet, app_guid=app.guid, order=("-created_at",))
    kept = [
        droplet
        for number, droplet in enumerate(droplets)
        if number < args.droplets
        or droplet.guid in running
        or droplet.guid == app.droplet_guid
        or droplet.state == "PROCESSING_UPLOAD"
    ]
    builds = tx.all(Build, app_guid=app.guid, order=("-created_at",))
    needed = {droplet.package_guid for droplet in kept}
    needed |= {build.package_guid for build in builds if build.state == "STAGING"}
    packages = [
        package
        for package in tx.all(Package, app_guid=app.guid, order=("-created_at",))[args.packages :]
        if package.guid not in needed and package.state in ("READY", "FAILED", "EXPIRED")
    ]
    old_builds = [build for build in builds[args.builds :] if build.state != "STAGING"]
    kept_guids = {droplet.guid for droplet in kept}
    old_droplets = [droplet for droplet in droplets if droplet.guid not in kept_guids]
    portion = Portion(tx)
    old_revisions = tx.all(Revision, app_guid=app.guid, order=("-sequence",))[args.revisions :]
    gone = remove_in(portion, [*packages, *old_builds, *old_droplets, *old_revisions])
    if gone:
        counts = Counter(type(row).__name__.lower() + "s" for row in gone)
        record_app_event(tx, "audit.app.expire", SYSTEM, app, dict(counts))
    return len(gone) or int(portion.full)


class ExpireRecords(Arguments):
    """Arguments of `expire_records`: times before which ended jobs and audit events go, as in their rows."""

    jobs_before: str
    events_before: str


@operation("retention.expire_records", version=1)
def expire_records(tx: Tx, args: ExpireRecords) -> int:
    """Forget a portion of old jobs and one of audit events; how many rows went."""
    jobs = tx.all(Job, Lt("updated_at", args.jobs_before), Not(In("state", OPEN_STATES)), limit=ROWS)
    return len(Portion(tx).take(jobs)) + trim(tx, args.events_before)


def referenced_blobs(tx: ReadTx) -> set[str]:
    """Every blob that a package, a droplet, an upload or a remembered layer needs."""
    return set(_references(tx))


def blobs_of_node(tx: ReadTx, node_guid: str) -> set[str]:
    """Those that what a node runs, or turns into layers, is made of: it needs its own copy of them."""
    running = {instance.droplet_guid for instance in tx.all(Instance, node_guid=node_guid)}
    running |= {task.droplet_guid for task in tx.all(Task, node_guid=node_guid) if not task.ended}
    droplets = [tx.get(Droplet, guid) for guid in running]
    needed = {layer.sha256 for droplet in droplets if droplet is not None for layer in droplet.layers}
    return needed | {upload.blob_sha256 for upload in tx.all(DropletUpload, node_guid=node_guid)}


def _references(tx: ReadTx) -> Iterable[str]:
    for package in tx.all(Package):
        if package.blob_sha256 is not None:
            yield package.blob_sha256
    for droplet in tx.all(Droplet):
        yield from (layer.sha256 for layer in droplet.layers)
    for buildpack in tx.all(Buildpack):
        if buildpack.blob_sha256 is not None:
            yield buildpack.blob_sha256
    for upload in tx.all(DropletUpload):
        yield upload.blob_sha256
    for layer in tx.all(Layer):
        yield layer.sha256
