"""Usage events: what ran from when to when, for billing. Written in the transaction of the change that they tell of."""

from typing import Any, Final

import msgspec

from paasd.model.arguments import Actor, Arguments
from paasd.model.events import record_event
from paasd.model.quotas.holding import Held, held_by
from paasd.model.records import App, AppUsageEvent, Droplet, Process, Space, Task
from paasd.state import ROWS, Eq, Gt, In, InSelect, Le, Lt, Ne, Not, Portion, ReadTx, Tx, operation

STARTED: Final = "STARTED"


class Footprint(msgspec.Struct, frozen=True, kw_only=True):
    """A process, the state of its app, and what its instances have beyond what it asks for."""

    process: Process
    state: str
    held: Held = Held()

    @property
    def size(self) -> dict[str, int]:
        """Memory as it is on the average of all instances."""
        instances = self.process.instances
        held_mb = -(-self.held.memory_mb // instances) if instances else 0
        return {"memory_mb": self.process.memory_mb + held_mb, "instances": instances}


def record_change(tx: Tx, app: App, space: Space, was: Footprint | None, now: Footprint) -> None:
    """One event if the process was started, stopped, or sized while it runs; other changes cost nobody anything."""
    sized = was is None or was.size != now.size
    started_or_stopped = (was is None and now.state == STARTED) or (was is not None and was.state != now.state)
    if not started_or_stopped and not (now.state == STARTED and sized):
        return
    if not tx.has_table(AppUsageEvent):
        return  # while nodes of a former version take part; apps are started all the same
    _record_process(tx, app, space, was, now)


def record_task(tx: Tx, task: Task, state: str, previous_state: str) -> None:
    """A task that was started, or ended."""
    app = tx.need(App, task.app_guid)
    space = tx.need(Space, app.space_guid)
    size = {"memory_mb": task.memory_mb, "instances": 1}
    of: dict[str, Any] = {"task_guid": task.guid, "task_name": task.name}
    _record(tx, app, space, state=state, previous_state=previous_state, now=size, before=size, of=of)


def _record_process(tx: Tx, app: App, space: Space, was: Footprint | None, now: Footprint) -> None:
    droplet = None if app.droplet_guid is None else tx.get(Droplet, app.droplet_guid)
    buildpack = droplet.buildpacks[-1].name if droplet is not None and droplet.buildpacks else None
    of: dict[str, Any] = {
        "process_guid": now.process.guid,
        "process_type": now.process.type,
        "buildpack_guid": buildpack,
        "buildpack_name": buildpack,
    }
    former, before = (None, {}) if was is None else (was.state, was.size)
    _record(tx, app, space, state=now.state, previous_state=former, now=now.size, before=before, of=of)


def _record(
    tx: Tx,
    app: App,
    space: Space,
    *,
    state: str,
    previous_state: str | None,
    now: dict[str, int],
    before: dict[str, int],
    of: dict[str, Any],
) -> None:
    """`of` are the columns that say what of the app it was; `now` and `before` how large."""
    tx.insert(
        AppUsageEvent(
            sequence=newest_sequence(tx) + 1,
            state=state,
            previous_state=previous_state,
            app_guid=app.guid,
            app_name=app.name,
            space_guid=space.guid,
            space_name=space.name,
            organization_guid=space.organization_guid,
            memory_mb=now["memory_mb"],
            previous_memory_mb=before.get("memory_mb"),
            instances=now["instances"],
            previous_instances=before.get("instances"),
            **of,
        )
    )


def newest_sequence(tx: ReadTx) -> int:
    """That of the newest event, 0 without any."""
    newest = tx.all(AppUsageEvent, order=("-sequence",), limit=1)
    return newest[0].sequence if newest else 0


class ExpireUsage(Arguments):
    """Arguments of `expire_usage`: the time, as in rows, before which usage events go."""

    before: str


@operation("usage.expire", version=1)
def expire_usage(tx: Tx, args: ExpireUsage) -> int:
    """Forget old ones, a bounded number; how many went. The newest stays, so that readers find where they were."""
    newest = newest_sequence(tx)
    old = tx.all(AppUsageEvent, Lt("created_at", args.before), Ne("sequence", newest), limit=ROWS)
    return len(Portion(tx).take(old))


class PurgeUsage(Arguments):
    """Arguments of `purge_usage`: every event up to this `sequence` goes."""

    upto: int
    actor: Actor


@operation("usage.purge", version=1)
def purge_usage(tx: Tx, args: PurgeUsage) -> bool:
    """Forget a bounded number of them; True when none is left, which is an audit event."""
    done = Portion(tx).clear(AppUsageEvent, Le("sequence", args.upto))
    if done:
        record_event(
            tx,
            "audit.app_usage_events.purge",
            args.actor,
            target_type="platform",
            target_guid="platform",
            target_name="app usage events",
        )
    return done


class ReseedUsage(Arguments):
    """Arguments of `reseed_usage`: events after this `sequence` count, those before are purged."""

    after: int


@operation("usage.reseed", version=1)
def reseed_usage(tx: Tx, args: ReseedUsage) -> bool:
    """An event for each process of a started app that has none yet, a bounded number; True when all have one."""
    seen = InSelect("guid", AppUsageEvent, "process_guid", Gt("sequence", args.after))
    started = InSelect("app_guid", App, "guid", Eq("state", STARTED), Eq("deleting", False))
    missing = tx.all(Process, started, Not(seen), limit=ROWS)
    apps = {app.guid: app for app in tx.all(App, In("guid", {one.app_guid for one in missing}))}
    held = held_by(tx, In("process_guid", [one.guid for one in missing]))
    for process in missing:
        app = apps[process.app_guid]
        space = tx.need(Space, app.space_guid)
        runs = Footprint(process=process, state=STARTED, held=held.get(process.guid, Held()))
        _record_process(tx, app, space, runs, runs)
    return len(missing) < ROWS
