"""What the instances of a process do, as clients see it."""

from datetime import UTC, datetime
from typing import Any

from paasd.actions.stats import CRASHED, DOWN, InstanceStats

DEFAULT_PORT = 8080


def present_stats(stats: list[InstanceStats]) -> list[dict[str, Any]]:
    """The `resources` of `GET /v3/processes/:guid/stats`."""
    return [_present(one) for one in stats]


def present_process_instances(stats: list[InstanceStats]) -> list[dict[str, Any]]:
    """The short form that lists embed; `since` counts seconds."""
    return [{"index": one.index, "state": one.state, "since": one.uptime_s} for one in stats]


def _present(one: InstanceStats) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "type": one.type,
        "index": one.index,
        "state": one.state,
        "routable": one.routable,
        "uptime": 0 if one.state == DOWN else one.uptime_s,
        "isolation_segment": None,
        "details": one.details,
    }
    if one.state in (DOWN, CRASHED):
        return shown
    shown |= {
        "host": one.address or "",
        "instance_internal_ip": one.address or "",
        "instance_ports": [] if one.port is None else [_port(one.port)],
        "mem_quota": one.memory_quota_bytes,
        "disk_quota": one.disk_quota_bytes,
        "log_rate_limit": one.log_rate_limit_bytes,
        "fds_quota": 16384,
        "usage": {},
    }
    if one.usage is not None:
        shown["usage"] = {
            "time": datetime.fromtimestamp(one.usage.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "cpu": one.usage.cpu_fraction,
            "cpu_entitlement": one.usage.cpu_fraction,
            "mem": one.usage.memory_bytes,
            "disk": one.usage.disk_bytes,
            "log_rate": int(one.usage.log_bytes_per_s),
        }
    return shown


def _port(external: int) -> dict[str, int | None]:
    return {
        "external": external,
        "internal": DEFAULT_PORT,
        "external_tls_proxy_port": None,
        "internal_tls_proxy_port": None,
    }
