"""Usage events: what ran from when to when, for billing. Written in the transaction of the change that they tell of."""

from typing import Final

import msgspec

from paasd.model.records import App, AppUsageEvent, Droplet, Process, Space
from paasd.state import ReadTx, Tx

STARTED: Final = "STARTED"


class Footprint(msgspec.Struct, frozen=True, kw_only=True):
    """A process and the state of its app."""

    process: Process
    state: str


def record_change(tx: Tx, app: App, space: Space, was: Footprint | None, now: Footprint) -> None:
    """One event if the process was started, stopped, or sized while it runs; other changes cost nobody anything."""
    before = None if was is None else was.process
    sized = before is None or (before.instances, before.memory_mb) != (now.process.instances, now.process.memory_mb)
    started_or_stopped = (was is None and now.state == STARTED) or (was is not None and was.state != now.state)
    if not started_or_stopped and not (now.state == STARTED and sized):
        return
    _insert(
        tx,
        app,
        space,
        state=now.state,
        previous_state=None if was is None else was.state,
        process=now.process,
        before=before,
    )


def _insert(
    tx: Tx, app: App, space: Space, *, state: str, previous_state: str | None, process: Process, before: Process | None
) -> None:
    droplet = None if app.droplet_guid is None else tx.get(Droplet, app.droplet_guid)
    buildpack = droplet.buildpacks[-1].name if droplet is not None and droplet.buildpacks else None
    tx.insert(
        AppUsageEvent(
            sequence=newest_sequence(tx) + 1,
            state=state,
            previous_state=previous_state,
            app_guid=app.guid,
            app_name=app.name,
            process_guid=process.guid,
            process_type=process.type,
            space_guid=space.guid,
            space_name=space.name,
            organization_guid=space.organization_guid,
            buildpack_guid=buildpack,
            buildpack_name=buildpack,
            memory_mb=process.memory_mb,
            previous_memory_mb=None if before is None else before.memory_mb,
            instances=process.instances,
            previous_instances=None if before is None else before.instances,
        )
    )


def newest_sequence(tx: ReadTx) -> int:
    """That of the newest event, 0 without any."""
    newest = tx.all(AppUsageEvent, order=("-sequence",), limit=1)
    return newest[0].sequence if newest else 0
