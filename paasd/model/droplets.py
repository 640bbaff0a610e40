"""Droplets: what can be started."""

from paasd.errors import Unprocessable
from paasd.model.apps import need_app
from paasd.model.arguments import SYSTEM, Actor, Arguments, Metadata
from paasd.model.auditing import difference
from paasd.model.events import record_app_event
from paasd.model.jobs import open_job
from paasd.model.metadata import drop_metadata, merge_metadata
from paasd.model.quotas.blobs import check_blobs, of_layers
from paasd.model.records import App, Droplet, Job, Space
from paasd.model.told import told_lately
from paasd.model.uploads import drop_upload
from paasd.state import ReadTx, Tx, operation

DOWNLOADED = "audit.app.droplet.download"


class UpdateDroplet(Arguments):
    """Arguments of `update_droplet`: only metadata can change."""

    droplet_guid: str
    metadata: Metadata | None = None
    actor: Actor = SYSTEM


@operation("droplet.update", version=1)
def update_droplet(tx: Tx, args: UpdateDroplet) -> Droplet:
    """Raises NotFound."""
    droplet = tx.update(tx.need(Droplet, args.droplet_guid))
    relabelled = merge_metadata(tx, "droplet", droplet.guid, args.metadata)
    data = {"droplet_guid": droplet.guid, **difference(droplet, droplet, relabelled)}
    record_app_event(tx, "audit.app.droplet.update", args.actor, tx.need(App, droplet.app_guid), data)
    return droplet


class CreateDroplet(Arguments):
    """Arguments of `create_droplet`; `process_types` go before those that the upload brings."""

    app_guid: str
    process_types: dict[str, str] = {}
    metadata: Metadata | None = None
    actor: Actor


@operation("droplet.create", version=1)
def create_droplet(tx: Tx, args: CreateDroplet) -> Droplet:
    """A droplet whose bits will be uploaded. Raises NotFound for the app."""
    app = need_app(tx, args.app_guid)
    given = {name: command for name, command in args.process_types.items() if command}
    droplet = tx.insert(Droplet(app_guid=app.guid, state="AWAITING_UPLOAD", process_types=given))
    merge_metadata(tx, "droplet", droplet.guid, args.metadata)
    record_app_event(tx, "audit.app.droplet.create", args.actor, app, {"droplet_guid": droplet.guid})
    return droplet


class RecordDownload(Arguments):
    """Arguments of `record_download`."""

    droplet_guid: str
    actor: Actor


@operation("droplet.record_download", version=1)
def record_download(tx: Tx, args: RecordDownload) -> Droplet:
    """The audit event of a download, unless there is one. Raises NotFound, or Unprocessable for nothing to download."""
    droplet = tx.need(Droplet, args.droplet_guid)
    if droplet.state != "STAGED":
        raise Unprocessable("Only staged droplets can be downloaded.")
    app = tx.need(App, droplet.app_guid)
    if not download_told(tx, droplet, args.actor, tx.now):
        record_app_event(tx, DOWNLOADED, args.actor, app, {"droplet_guid": droplet.guid})
    return droplet


def download_told(tx: ReadTx, droplet: Droplet, actor: Actor, now: str) -> bool:
    """Whether a download by the same actor from the same place is an event of the hour before `now`."""
    return told_lately(tx, DOWNLOADED, droplet.app_guid, actor, now, droplet_guid=droplet.guid)


class CopyDroplet(Arguments):
    """Arguments of `copy_droplet`."""

    source_guid: str
    app_guid: str
    actor: Actor


@operation("droplet.copy", version=1)
def copy_droplet(tx: Tx, args: CopyDroplet) -> Droplet:
    """The same layers for another app. Raises NotFound, Unprocessable."""
    source = tx.need(Droplet, args.source_guid)
    app = need_app(tx, args.app_guid)
    if source.state != "STAGED":
        raise Unprocessable("source droplet is not staged")
    check_blobs(tx, tx.need(Space, app.space_guid), of_layers(source.layers))
    droplet = tx.insert(
        Droplet(
            app_guid=app.guid,
            stack=source.stack,
            layers=source.layers,
            process_types=source.process_types,
            sidecars=source.sidecars,
            buildpacks=source.buildpacks,
            reuse_key=source.reuse_key,
        )
    )
    record_app_event(tx, "audit.app.droplet.create", args.actor, app, {"droplet_guid": droplet.guid})
    return droplet


class DeleteDroplet(Arguments):
    """Arguments of `delete_droplet`."""

    droplet_guid: str
    actor: Actor


@operation("droplet.delete", version=1)
def delete_droplet(tx: Tx, args: DeleteDroplet) -> Job:
    """Raises NotFound, or Unprocessable for the current droplet. The job is complete when this returns."""
    droplet = tx.need(Droplet, args.droplet_guid)
    app = tx.need(App, droplet.app_guid)
    if app.droplet_guid == droplet.guid:
        raise Unprocessable("The current droplet of an app cannot be deleted; set another one first.")
    drop_upload(tx, droplet.guid)
    tx.delete(droplet)
    drop_metadata(tx, droplet.guid)
    record_app_event(tx, "audit.app.droplet.delete", args.actor, app, {"droplet_guid": droplet.guid})
    return open_job(
        tx, "droplet.delete", resource_type="droplet", resource_guid=droplet.guid, state="COMPLETE", by=args.actor
    )
