"""What instances do: wanted rows and observed facts put together, index by index."""

from collections.abc import Sequence

import msgspec

from paasd.actions.context import Context
from paasd.model import App, Instance, PlacementFailure, Process
from paasd.observed import InstanceFact, Usage
from paasd.state import In, ReadTx

MEBIBYTE = 1024**2
CRASHED, DOWN, RUNNING, STARTING = "CRASHED", "DOWN", "RUNNING", "STARTING"


class InstanceStats(msgspec.Struct, frozen=True, kw_only=True):
    """One index of a process. `uptime_s` counts from the start of the state, `since` is its unix time."""

    type: str
    index: int
    state: str
    since: float
    uptime_s: int
    instance_guid: str | None = None
    node_guid: str | None = None
    address: str | None = None
    port: int | None = None
    routable: bool = False
    details: str | None = None
    usage: Usage | None = None
    memory_quota_bytes: int
    disk_quota_bytes: int
    log_rate_limit_bytes: int


def stats_of(context: Context, tx: ReadTx, processes: Sequence[Process]) -> dict[str, list[InstanceStats]]:
    """Every wanted index of processes that the caller has been found to see, by process guid."""
    guids = [process.guid for process in processes]
    placed: dict[str, dict[int, Instance]] = {guid: {} for guid in guids}
    reasons = {one.process_guid: one.reason for one in tx.all(PlacementFailure, In("process_guid", guids))}
    apps = {app.guid: app for app in tx.all(App, In("guid", {process.app_guid for process in processes}))}
    # Of one that moves, the elder is shown: it serves until its successor runs, and goes then.
    for instance in tx.all(Instance, In("process_guid", guids), order=("-epoch",)):
        # Those of an older version are on their way out and prove nothing about the app as it is now.
        if instance.app_guid in apps and instance.app_version == apps[instance.app_guid].version:
            placed[instance.process_guid][instance.index] = instance
    now = context.clock()
    found: dict[str, list[InstanceStats]] = {}
    for process in processes:
        app = apps.get(process.app_guid)
        started = app is not None and app.state == "STARTED"
        found[process.guid] = [
            _stats(
                process,
                index,
                placed[process.guid].get(index) if started else None,
                context,
                reasons.get(process.guid) if started else None,
                now,
            )
            for index in range(process.instances)
        ]
    return found


def _stats(
    process: Process, index: int, instance: Instance | None, context: Context, reason: str | None, now: float
) -> InstanceStats:
    if instance is None:
        return InstanceStats(
            type=process.type,
            index=index,
            state=DOWN,
            since=now,
            uptime_s=0,
            details=reason,
            memory_quota_bytes=process.memory_mb * MEBIBYTE,
            disk_quota_bytes=process.disk_mb * MEBIBYTE,
            log_rate_limit_bytes=process.log_rate_limit_bytes,
        )
    fact: InstanceFact | None = context.observed.get(instance.guid)
    since = now if fact is None else fact.since
    return InstanceStats(
        type=process.type,
        index=index,
        state=STARTING if fact is None else DOWN if fact.state == "STOPPING" else fact.state,
        since=since,
        uptime_s=max(0, int(now - since)),
        instance_guid=instance.guid,
        node_guid=instance.node_guid,
        address=None if fact is None else fact.address,
        port=None if fact is None else fact.port,
        routable=fact is not None and fact.routable,
        details=None if fact is None else fact.details,
        usage=None if fact is None else fact.usage,
        memory_quota_bytes=instance.memory_mb * MEBIBYTE,
        disk_quota_bytes=instance.disk_mb * MEBIBYTE,
        log_rate_limit_bytes=instance.log_rate_limit_bytes,
    )
