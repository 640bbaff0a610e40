"""Packages: source code on its way to a build."""

from typing import Any

from paasd.errors import Unprocessable
from paasd.model.apps import need_app
from paasd.model.arguments import SYSTEM, Actor, Arguments, Metadata
from paasd.model.auditing import difference
from paasd.model.events import record_app_event
from paasd.model.jobs import open_job
from paasd.model.metadata import drop_metadata, merge_metadata
from paasd.model.quotas.blobs import check_blobs
from paasd.model.records import App, Job, Package, Space
from paasd.model.told import told_lately
from paasd.state import Lt, ReadTx, Tx, operation

DOWNLOADED = "audit.app.package.download"
SWEEP_LIMIT = 100
OVERDUE = "The upload did not end in time; create a new package and upload again."


class CreatePackage(Arguments):
    """Arguments of `create_package`."""

    app_guid: str
    type: str = "bits"
    metadata: Metadata | None = None
    actor: Actor


@operation("package.create", version=1)
def create_package(tx: Tx, args: CreatePackage) -> Package:
    """Raises NotFound for the app, Unprocessable for another type than bits."""
    app = need_app(tx, args.app_guid)
    if args.type != "bits":
        raise Unprocessable(f"Type '{args.type}' is not supported; push source code as a package of type 'bits'.")
    package = tx.insert(Package(app_guid=app.guid, type=args.type))
    merge_metadata(tx, "package", package.guid, args.metadata)
    record_app_event(tx, "audit.app.package.create", args.actor, app, {"package_guid": package.guid})
    return package


class RecordPackageDownload(Arguments):
    """Arguments of `record_package_download`."""

    package_guid: str
    actor: Actor


@operation("package.record_download", version=1)
def record_package_download(tx: Tx, args: RecordPackageDownload) -> Package:
    """The audit event of a download, unless there is one. Raises NotFound, or Unprocessable for nothing to download."""
    package = tx.need(Package, args.package_guid)
    if package.state != "READY" or package.blob_sha256 is None:
        raise Unprocessable("Package has no bits to download.")
    app = tx.need(App, package.app_guid)
    if not download_told(tx, package, args.actor, tx.now):
        record_app_event(tx, DOWNLOADED, args.actor, app, {"package_guid": package.guid})
    return package


def download_told(tx: ReadTx, package: Package, actor: Actor, now: str) -> bool:
    """Whether a download by the same actor from the same place is an event of the hour before `now`."""
    return told_lately(tx, DOWNLOADED, package.app_guid, actor, now, package_guid=package.guid)


class BeginUpload(Arguments):
    """Arguments of `begin_upload`; `size_bytes` is what the sender says that will come, `blob_sha256` what is
    known to come.
    """

    package_guid: str
    blob_sha256: str | None = None
    size_bytes: int | None = None
    actor: Actor


@operation("package.begin_upload", version=1)
def begin_upload(tx: Tx, args: BeginUpload) -> Package:
    """Raises NotFound, or Unprocessable when bits were uploaded before or there is no room for them."""
    package = tx.need(Package, args.package_guid)
    if package.state != "AWAITING_UPLOAD":
        raise Unprocessable("Bits may be uploaded only once. Create a new package to upload different bits.")
    app = tx.need(App, package.app_guid)
    new = {args.blob_sha256 or package.guid: args.size_bytes or 1}
    check_blobs(tx, tx.need(Space, app.space_guid), new, package_guid=package.guid)
    former, package = package, tx.update(package, state="PROCESSING_UPLOAD", size_bytes=args.size_bytes)
    data = {"package_guid": package.guid, **difference(former, package)}
    record_app_event(tx, "audit.app.package.upload", args.actor, app, data)
    return package


class FinishUpload(Arguments):
    """Arguments of `finish_upload`: the blob, or why there is none."""

    package_guid: str
    blob_sha256: str | None = None
    size_bytes: int | None = None
    error: str | None = None


@operation("package.finish_upload", version=1)
def finish_upload(tx: Tx, args: FinishUpload) -> Package:
    """READY with a blob, FAILED with an error. A package that is not being uploaded stays as it is.

    Raises QuotaExceeded for a blob that is too much.
    """
    package = tx.need(Package, args.package_guid)
    if package.state != "PROCESSING_UPLOAD":
        return package
    app = tx.get(App, package.app_guid)
    if args.blob_sha256 is not None and app is not None:
        new = {args.blob_sha256: args.size_bytes or 0}
        check_blobs(tx, tx.need(Space, app.space_guid), new, package_guid=package.guid)
    state = "READY" if args.blob_sha256 is not None else "FAILED"
    return _end(tx, package, state=state, blob_sha256=args.blob_sha256, size_bytes=args.size_bytes, error=args.error)


class FailOverdueUploads(Arguments):
    """Arguments of `fail_overdue_uploads`: those whose upload began before this time."""

    before: str


@operation("package.fail_overdue_uploads", version=1)
def fail_overdue_uploads(tx: Tx, args: FailOverdueUploads) -> int:
    """Fail uploads whose sender or node is gone, a bounded number at a time; returns how many."""
    overdue = tx.all(Package, Lt("updated_at", args.before), state="PROCESSING_UPLOAD", limit=SWEEP_LIMIT)
    for package in overdue:
        _end(tx, package, state="FAILED", size_bytes=None, error=OVERDUE)
    return len(overdue)


def _end(tx: Tx, package: Package, **changes: Any) -> Package:
    """The upload has ended; its event says with what bits, or why not."""
    former, package = package, tx.update(package, **changes)
    app = tx.get(App, package.app_guid)
    if app is not None:
        event = "audit.app.package.ready" if package.state == "READY" else "audit.app.package.failed"
        data = {"package_guid": package.guid} | ({} if package.error is None else {"error": package.error[:500]})
        record_app_event(tx, event, SYSTEM, app, {**data, **difference(former, package)})
    return package


class CopyPackage(Arguments):
    """Arguments of `copy_package`."""

    source_guid: str
    app_guid: str
    actor: Actor


@operation("package.copy", version=1)
def copy_package(tx: Tx, args: CopyPackage) -> Package:
    """The same bits for another app, READY at once. Raises NotFound, Unprocessable."""
    source = tx.need(Package, args.source_guid)
    app = need_app(tx, args.app_guid)
    if source.state != "READY":
        raise Unprocessable("Source package must be READY to be copied.")
    if source.blob_sha256 is not None:
        check_blobs(tx, tx.need(Space, app.space_guid), {source.blob_sha256: source.size_bytes or 0})
    package = tx.insert(
        Package(app_guid=app.guid, state="READY", blob_sha256=source.blob_sha256, size_bytes=source.size_bytes)
    )
    record_app_event(tx, "audit.app.package.create", args.actor, app, {"package_guid": package.guid})
    return package


class UpdatePackage(Arguments):
    """Arguments of `update_package`: only metadata can change."""

    package_guid: str
    metadata: Metadata | None = None
    actor: Actor = SYSTEM


@operation("package.update", version=1)
def update_package(tx: Tx, args: UpdatePackage) -> Package:
    """Raises NotFound."""
    package = tx.update(tx.need(Package, args.package_guid))
    relabelled = merge_metadata(tx, "package", package.guid, args.metadata)
    data = {"package_guid": package.guid, **difference(package, package, relabelled)}
    record_app_event(tx, "audit.app.package.update", args.actor, tx.need(App, package.app_guid), data)
    return package


class DeletePackage(Arguments):
    """Arguments of `delete_package`."""

    package_guid: str
    actor: Actor


@operation("package.delete", version=1)
def delete_package(tx: Tx, args: DeletePackage) -> Job:
    """Forget the package; droplets made from it stay. The job is complete when this returns."""
    package = tx.need(Package, args.package_guid)
    tx.delete(package)
    drop_metadata(tx, package.guid)
    app = tx.need(App, package.app_guid)
    record_app_event(tx, "audit.app.package.delete", args.actor, app, {"package_guid": package.guid})
    return open_job(
        tx, "package.delete", resource_type="package", resource_guid=package.guid, state="COMPLETE", by=args.actor
    )
