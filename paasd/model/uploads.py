"""Uploaded droplets: bits that are a blob already become layers on the node that has the blob, or fail in time."""

from typing import Any

from paasd.errors import Unprocessable
from paasd.model.arguments import SYSTEM, Actor, Arguments, seconds_after
from paasd.model.auditing import difference
from paasd.model.events import record_app_event
from paasd.model.jobs import FinishJob, finish_job, open_job
from paasd.model.quotas.accounting import check_staging
from paasd.model.quotas.blobs import check_blobs, of_layers
from paasd.model.quotas.places import QuotaExceeded
from paasd.model.records import App, Droplet, DropletLayer, DropletSidecar, DropletUpload, Job, JobError, Space
from paasd.state import Lt, ReadTx, Tx, operation

SWEEP_LIMIT = 100
ONLY_ONCE = "Droplet may be uploaded only once. Create a new droplet to upload bits."


class BeginDropletUpload(Arguments):
    """Arguments of `begin_droplet_upload`: the blob, the node that has it, and what its unpacking may use.

    `asked_memory_mb` is what has to fit into quotas; nodes of earlier releases send none.
    """

    droplet_guid: str
    node_guid: str
    blob_sha256: str
    size_bytes: int = 0
    default_stack: str
    memory_mb: int
    disk_mb: int
    asked_memory_mb: int | None = None
    timeout_s: float
    actor: Actor


@operation("droplet.begin_upload", version=1)
def begin_droplet_upload(tx: Tx, args: BeginDropletUpload) -> Job:
    """PROCESSING_UPLOAD, with the job that clients poll. Raises NotFound, or Unprocessable for a second upload.

    One at a time for each app, as builds are: unpacking takes a share of the node.
    """
    droplet = tx.need(Droplet, args.droplet_guid)
    check_uploadable(tx, droplet)
    app = tx.need(App, droplet.app_guid)
    space = tx.need(Space, app.space_guid)
    check_blobs(tx, space, {args.blob_sha256: args.size_bytes})
    if args.asked_memory_mb is not None:
        check_staging(tx, space, args.asked_memory_mb)
    job = open_job(
        tx,
        "droplet.upload",
        resource_type="droplet",
        resource_guid=droplet.guid,
        owner_node_guid=args.node_guid,
        deadline_s=args.timeout_s,
        by=args.actor,
    )
    upload = DropletUpload(
        droplet_guid=droplet.guid,
        app_guid=droplet.app_guid,
        job_guid=job.guid,
        node_guid=args.node_guid,
        blob_sha256=args.blob_sha256,
        stack=app.stack or args.default_stack,
        memory_mb=args.memory_mb,
        disk_mb=args.disk_mb,
        deadline_at=job.deadline_at,
    )
    tx.insert(upload)
    former, droplet = droplet, tx.update(droplet, state="PROCESSING_UPLOAD")
    data = {"droplet_guid": droplet.guid, "sha256": args.blob_sha256, **difference(former, droplet)}
    record_app_event(tx, "audit.app.droplet.upload", args.actor, app, data)
    return job


def check_uploadable(tx: ReadTx, droplet: Droplet) -> None:
    """Raise Unprocessable for a second upload of the droplet, or while another one of the app is taken in."""
    if droplet.state != "AWAITING_UPLOAD":
        raise Unprocessable(ONLY_ONCE)
    if tx.exists(DropletUpload, app_guid=droplet.app_guid):
        raise Unprocessable("Only one droplet can be PROCESSING_UPLOAD at a time per application.")


class FinishDropletUpload(Arguments):
    """Arguments of `finish_droplet_upload`: what the node made of the bits."""

    droplet_guid: str
    node_guid: str
    layers: list[DropletLayer]
    process_types: dict[str, str]
    sidecars: list[DropletSidecar] = []


@operation("droplet.finish_upload", version=1)
def finish_droplet_upload(tx: Tx, args: FinishDropletUpload) -> bool:
    """STAGED; process types that were given with the droplet count more. False when the upload is not open any more."""
    upload = _open_upload(tx, args.droplet_guid, args.node_guid)
    droplet = tx.get(Droplet, args.droplet_guid)
    if upload is None or droplet is None:
        return False
    try:
        check_blobs(tx, tx.need(Space, tx.need(App, upload.app_guid).space_guid), of_layers(args.layers))
    except QuotaExceeded as error:
        _fail(tx, upload, error.detail)
        return True
    staged = tx.update(
        droplet,
        state="STAGED",
        stack=upload.stack,
        layers=args.layers,
        process_types={**args.process_types, **droplet.process_types},
        sidecars=args.sidecars,
    )
    tx.delete(upload)
    finish_job(tx, FinishJob(job_guid=upload.job_guid))
    _record_end(tx, upload, "ready", difference(droplet, staged))
    return True


class FailDropletUpload(Arguments):
    """Arguments of `fail_droplet_upload`."""

    droplet_guid: str
    node_guid: str
    error: str


@operation("droplet.fail_upload", version=1)
def fail_droplet_upload(tx: Tx, args: FailDropletUpload) -> bool:
    """FAILED with a reason, which the job has too. False when the upload is not open any more."""
    upload = _open_upload(tx, args.droplet_guid, args.node_guid)
    if upload is None:
        return False
    _fail(tx, upload, args.error)
    return True


class FailOverdueDropletUploads(Arguments):
    """Arguments of `fail_overdue_droplet_uploads`; the transaction's time decides."""


@operation("droplet.fail_overdue_uploads", version=1)
def fail_overdue_droplet_uploads(tx: Tx, args: FailOverdueDropletUploads) -> int:
    """Fail uploads past their deadline, whose node may be gone, a bounded number at a time; returns how many."""
    overdue = tx.all(DropletUpload, Lt("deadline_at", tx.now), limit=SWEEP_LIMIT)
    for upload in overdue:
        _fail(tx, upload, "The uploaded droplet was not taken in before its deadline; create a new one and try again.")
    return len(overdue)


class ProlongDropletUploads(Arguments):
    """Arguments of `prolong_droplet_uploads`: each has `timeout_s` from now on."""

    node_guid: str
    droplet_guids: list[str]
    timeout_s: float


@operation("droplet.prolong_uploads", version=1)
def prolong_droplet_uploads(tx: Tx, args: ProlongDropletUploads) -> int:
    """Put the deadline off, and the job's, of those that are still this node's and wait, or begin now; how many."""
    found = [_open_upload(tx, guid, args.node_guid) for guid in args.droplet_guids]
    mine = [upload for upload in found if upload is not None]
    deadline_at = seconds_after(tx.now, args.timeout_s)
    for upload in mine:
        tx.update(upload, deadline_at=deadline_at)
        job = tx.get(Job, upload.job_guid)
        if job is not None:
            tx.update(job, deadline_at=deadline_at)
    return len(mine)


def drop_upload(tx: Tx, droplet_guid: str) -> None:
    """End an open upload because its droplet is deleted."""
    upload = tx.get(DropletUpload, droplet_guid)
    if upload is not None:
        _fail(tx, upload, "The droplet was deleted.")


def _open_upload(tx: Tx, droplet_guid: str, node_guid: str) -> DropletUpload | None:
    upload = tx.get(DropletUpload, droplet_guid)
    return upload if upload is not None and upload.node_guid == node_guid else None


def _fail(tx: Tx, upload: DropletUpload, reason: str) -> None:
    droplet = tx.get(Droplet, upload.droplet_guid)
    changed = {} if droplet is None else difference(droplet, tx.update(droplet, state="FAILED", error=reason))
    tx.delete(upload)
    _record_end(tx, upload, "failed", {"error": reason[:500], **changed})
    error = JobError(code=10008, title="CF-UnprocessableEntity", detail=reason)
    finish_job(tx, FinishJob(job_guid=upload.job_guid, errors=[error]))


def _record_end(tx: Tx, upload: DropletUpload, how: str, data: dict[str, Any]) -> None:
    app = tx.get(App, upload.app_guid)
    if app is not None:
        data = {"droplet_guid": upload.droplet_guid, **data}
        record_app_event(tx, f"audit.app.droplet.{how}", SYSTEM, app, data)
