"""What the instances of a process do, from the facts that nodes report about them."""

from datetime import UTC, datetime
from typing import Any

from paasd.api.listing import View
from paasd.model import App, Instance, PlacementFailure, Process
from paasd.observed import InstanceFact

MIB = 1024 * 1024
# An index may have two instances while one replaces the other; the one that serves is shown.
RANK = {"RUNNING": 0, "STARTING": 1, "CRASHED": 2, "DOWN": 3, "STOPPING": 4}
DEFAULT_PORT = 8080


class Seat:
    """One index of a process: the fact to show and the row it belongs to, if there are any."""

    def __init__(self, index: int, fact: InstanceFact | None, row: Instance | None) -> None:
        self.index = index
        self.fact = fact
        self.row = row

    @property
    def state(self) -> str:
        """RUNNING, STARTING, CRASHED or DOWN. A placed instance that its node has not reported yet is STARTING."""
        if self.fact is None:
            return "DOWN" if self.row is None else "STARTING"
        return "DOWN" if self.fact.state == "STOPPING" else self.fact.state


def seats_of(view: View, app: App, process: Process) -> list[Seat]:
    """One seat for each instance that the process should have; those of an older app version do not count."""
    rows = {row.guid: row for row in view.tx.all(Instance, process_guid=process.guid)}
    current = {guid: row for guid, row in rows.items() if row.app_version == app.version and app.state == "STARTED"}
    best: dict[int, InstanceFact] = {}
    for fact in view.call.context.observed.instances(app.guid):
        row = current.get(fact.instance_guid)
        if row is None or fact.epoch != row.epoch:
            continue
        other = best.get(fact.index)
        if other is None or RANK[fact.state] < RANK[other.state]:
            best[fact.index] = fact
    by_index = {row.index: row for row in current.values()}
    seats = []
    for index in range(process.instances):
        found = best.get(index)
        seats.append(Seat(index, found, rows[found.instance_guid] if found else by_index.get(index)))
    return seats


def present_stats(view: View, app: App, process: Process) -> list[dict[str, Any]]:
    """The `resources` of `GET /v3/processes/:guid/stats`."""
    now = view.call.context.clock()
    failure = view.tx.get(PlacementFailure, process.guid)
    reason = failure.reason if failure is not None and app.state == "STARTED" else None
    return [_present_seat(seat, process, now, reason) for seat in seats_of(view, app, process)]


def present_process_instances(view: View, app: App, process: Process) -> list[dict[str, Any]]:
    """The short form that lists embed."""
    now = view.call.context.clock()
    return [
        {"index": seat.index, "state": seat.state, "since": int(now - seat.fact.since) if seat.fact else 0}
        for seat in seats_of(view, app, process)
    ]


def _present_seat(seat: Seat, process: Process, now: float, reason: str | None) -> dict[str, Any]:
    fact, row = seat.fact, seat.row
    shown: dict[str, Any] = {
        "type": process.type,
        "index": seat.index,
        "state": seat.state,
        "routable": fact.routable if fact is not None else False,
        "uptime": max(0, int(now - fact.since)) if fact is not None and seat.state != "DOWN" else 0,
        "isolation_segment": None,
        "details": (fact.details if fact is not None else reason) or None,
    }
    if fact is None or seat.state in ("DOWN", "CRASHED"):
        return shown
    memory_mb, disk_mb = (row.memory_mb, row.disk_mb) if row else (process.memory_mb, process.disk_mb)
    rate = row.log_rate_limit_bytes if row else process.log_rate_limit_bytes
    shown |= {
        "host": fact.address or "",
        "instance_internal_ip": fact.address or "",
        "instance_ports": [_ports(fact)] if fact.port is not None else [],
        "mem_quota": memory_mb * MIB,
        "disk_quota": disk_mb * MIB,
        "log_rate_limit": rate,
        "fds_quota": 16384,
        "usage": {},
    }
    if fact.usage is not None:
        shown["usage"] = {
            "time": datetime.fromtimestamp(fact.usage.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "cpu": fact.usage.cpu_fraction,
            "cpu_entitlement": fact.usage.cpu_fraction,
            "mem": fact.usage.memory_bytes,
            "disk": fact.usage.disk_bytes,
            "log_rate": int(fact.usage.log_bytes_per_s),
        }
    return shown


def _ports(fact: InstanceFact) -> dict[str, int | None]:
    return {
        "external": fact.port,
        "internal": DEFAULT_PORT,
        "external_tls_proxy_port": None,
        "internal_tls_proxy_port": None,
    }
