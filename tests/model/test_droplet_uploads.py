"""Uploaded droplets in rows: once, by the node that has the bits, ended by a deadline or by their deletion."""

from msgspec.structs import replace

from paasd.errors import Unprocessable
from paasd.model import (
    AuditEvent,
    Droplet,
    DropletLayer,
    DropletSidecar,
    DropletUpload,
    Job,
    apps,
    deletion,
    droplets,
    retention,
    uploads,
)
from paasd.model.arguments import SYSTEM
from paasd.model.jobs import FailOverdueJobs, fail_overdue_jobs
from tests.model.refusing import refused
from tests.model.seeding import NODE, Seed

LAYER = DropletLayer(role="app", sha256="e" * 64, size_bytes=4)


def done(droplet: Droplet, node_guid: str = NODE) -> uploads.FinishDropletUpload:
    return uploads.FinishDropletUpload(
        droplet_guid=droplet.guid, node_guid=node_guid, layers=[LAYER], process_types={"web": "found", "worker": "w"}
    )


async def test_bits_come_once_and_given_process_types_count_more_than_those_found(seed: Seed) -> None:
    droplet = await seed.awaiting_droplet({"web": "given", "empty": ""})
    job = await seed.database.write(uploads.begin_droplet_upload, seed.bits(droplet))
    text = await refused(seed, uploads.begin_droplet_upload, seed.bits(droplet), Unprocessable)
    assert text == "Droplet may be uploaded only once. Create a new droplet to upload bits."
    other = await seed.database.write(
        droplets.create_droplet, droplets.CreateDroplet(app_guid=droplet.app_guid, actor=SYSTEM)
    )
    text = await refused(seed, uploads.begin_droplet_upload, seed.bits(other), Unprocessable)
    assert text == "Only one droplet can be PROCESSING_UPLOAD at a time per application."
    assert await seed.database.write(uploads.finish_droplet_upload, done(droplet)) is True
    await seed.database.write(uploads.begin_droplet_upload, seed.bits(other))
    assert await seed.database.write(uploads.finish_droplet_upload, done(droplet)) is False
    with seed.database.read() as tx:
        found = tx.need(Droplet, droplet.guid)
        assert (found.state, found.process_types) == ("STAGED", {"web": "given", "worker": "w"})
        assert tx.need(Job, job.guid).state == "COMPLETE"
        assert [upload.droplet_guid for upload in tx.all(DropletUpload)] == [other.guid]


async def test_the_event_of_an_upload_that_is_done_names_commands_and_shows_none(seed: Seed) -> None:
    droplet = await seed.awaiting_droplet({"web": "run --token given"})
    await seed.database.write(uploads.begin_droplet_upload, seed.bits(droplet))
    sidecar = DropletSidecar(name="proxy", command="proxy --token beside", process_types=["web"])
    found = replace(done(droplet), process_types={"worker": "work --token found"}, sidecars=[sidecar])
    assert await seed.database.write(uploads.finish_droplet_upload, found) is True
    with seed.database.read() as tx:
        [event] = tx.all(AuditEvent, type="audit.app.droplet.ready")
    assert {"process_types", "sidecars", "state"} <= event.data["after"].keys()
    assert "token" not in repr(event)


async def test_only_the_node_that_has_the_bits_reports_about_them(seed: Seed) -> None:
    droplet = await seed.uploaded_droplet()
    other = uploads.FailDropletUpload(droplet_guid=droplet.guid, node_guid="other", error="no")
    assert await seed.database.write(uploads.finish_droplet_upload, done(droplet, "other")) is False
    assert await seed.database.write(uploads.fail_droplet_upload, other) is False
    assert await seed.database.write(uploads.finish_droplet_upload, done(droplet)) is True


async def test_an_upload_past_its_deadline_fails_with_its_job(seed: Seed) -> None:
    droplet = await seed.uploaded_droplet(timeout_s=-60)
    assert await seed.database.write(uploads.fail_overdue_droplet_uploads, uploads.FailOverdueDropletUploads()) == 1
    with seed.database.read() as tx:
        found, [job] = tx.need(Droplet, droplet.guid), tx.all(Job, resource_guid=droplet.guid)
    assert found.state == job.state == "FAILED"
    assert found.error == job.errors[0].detail


async def test_an_upload_that_waits_for_its_turn_is_not_overdue(seed: Seed) -> None:
    droplet = await seed.uploaded_droplet(timeout_s=-60)
    prolong = uploads.ProlongDropletUploads(node_guid="other", droplet_guids=[droplet.guid, "gone"], timeout_s=900)
    assert await seed.database.write(uploads.prolong_droplet_uploads, prolong) == 0
    assert await seed.database.write(uploads.prolong_droplet_uploads, replace(prolong, node_guid=NODE)) == 1
    assert await seed.database.write(uploads.fail_overdue_droplet_uploads, uploads.FailOverdueDropletUploads()) == 0
    assert await seed.database.write(fail_overdue_jobs, FailOverdueJobs()) == 0, "nor is what clients wait by"
    late = replace(prolong, node_guid=NODE, timeout_s=-1)
    await seed.database.write(uploads.prolong_droplet_uploads, late)
    assert await seed.database.write(uploads.fail_overdue_droplet_uploads, uploads.FailOverdueDropletUploads()) == 1


async def test_the_bits_are_kept_until_the_upload_has_ended_and_a_deleted_droplet_ends_it(seed: Seed) -> None:
    droplet = await seed.uploaded_droplet()
    with seed.database.read() as tx:
        assert "f" * 64 in retention.referenced_blobs(tx)
    few = retention.ExpireParts(app_guid=droplet.app_guid, packages=0, droplets=0, builds=0)
    assert await seed.database.write(retention.expire_parts, few) == 0
    deleted = droplets.DeleteDroplet(droplet_guid=droplet.guid, actor=SYSTEM)
    await seed.database.write(droplets.delete_droplet, deleted)
    with seed.database.read() as tx:
        assert tx.count(DropletUpload) == 0
        assert tx.all(Job, operation="droplet.upload")[0].state == "FAILED"
        assert "f" * 64 not in retention.referenced_blobs(tx)


async def test_uploads_go_with_their_app(seed: Seed) -> None:
    droplet = await seed.uploaded_droplet()
    await seed.database.write(apps.begin_delete_app, apps.ChangeApp(app_guid=droplet.app_guid, actor=SYSTEM))
    while not await seed.database.write(deletion.delete_chunk, deletion.DeleteChunk(kind="app", guid=droplet.app_guid)):
        pass
    with seed.database.read() as tx:
        assert (tx.count(DropletUpload), tx.count(Droplet)) == (0, 0)
    assert await seed.database.write(uploads.finish_droplet_upload, done(droplet)) is False


async def test_only_staged_droplets_can_be_downloaded(seed: Seed) -> None:
    awaiting = await seed.awaiting_droplet()
    arguments = droplets.RecordDownload(droplet_guid=awaiting.guid, actor=SYSTEM)
    text = await refused(seed, droplets.record_download, arguments, Unprocessable)
    assert text == "Only staged droplets can be downloaded."
    with seed.database.read() as tx:
        assert tx.need(Droplet, awaiting.guid).state == "AWAITING_UPLOAD"
