"""What the instances of a process do, as clients see it."""

from paasd.actions.stats import CRASHED, DOWN, InstanceStats
from paasd.api.answers.apps import InstanceShown, PortShown, StatShown, UsageShown
from paasd.model.arguments import rfc3339
from paasd.observed import Usage

DEFAULT_PORT = 8080


def present_stats(stats: list[InstanceStats]) -> list[StatShown]:
    """The `resources` of `GET /v3/processes/:guid/stats`."""
    return [_present(one) for one in stats]


def present_process_instances(stats: list[InstanceStats]) -> list[InstanceShown]:
    """The short form that lists embed; `since` counts seconds."""
    return [InstanceShown(index=one.index, state=one.state, since=one.uptime_s) for one in stats]


def _present(one: InstanceStats) -> StatShown:
    shown = StatShown(
        type=one.type,
        index=one.index,
        state=one.state,
        routable=one.routable,
        uptime=0 if one.state == DOWN else one.uptime_s,
        isolation_segment=None,
        details=one.details,
    )
    if one.state in (DOWN, CRASHED):
        return shown
    shown.host = shown.instance_internal_ip = one.address or ""
    shown.instance_ports = [] if one.port is None else [_port(one.port)]
    shown.mem_quota = one.memory_quota_bytes
    shown.disk_quota = one.disk_quota_bytes
    shown.log_rate_limit = one.log_rate_limit_bytes
    shown.fds_quota = 16384
    shown.usage = UsageShown() if one.usage is None else _usage(one.usage)
    return shown


def _usage(usage: Usage) -> UsageShown:
    return UsageShown(
        time=rfc3339(usage.at),
        cpu=usage.cpu_fraction,
        cpu_entitlement=usage.cpu_fraction,
        mem=usage.memory_bytes,
        disk=usage.disk_bytes,
        log_rate=int(usage.log_bytes_per_s),
    )


def _port(external: int) -> PortShown:
    return PortShown(
        external=external, internal=DEFAULT_PORT, external_tls_proxy_port=None, internal_tls_proxy_port=None
    )
