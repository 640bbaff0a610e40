"""Envoy's access log entries as records of ours, and as the RTR lines that tenants read.

The cluster of an entry says whose route it was, the upstream address which instance. A route that has just gone still
has entries under way, so the table forgets late.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from paasd.router.records import AccessEntry
from paasd.router.table import Owner, Table
from paasd.router.xds.messages import PROTOCOLS, REQUEST_METHODS

_ERRORS = (
    ("no_route_found", "unknown_route"),
    ("no_cluster_found", "unknown_route"),
    ("no_healthy_upstream", "no_endpoints"),
    ("upstream_request_timeout", "endpoint_timeout"),
    ("duration_timeout", "endpoint_timeout"),
    ("upstream_connection_failure", "endpoint_failure"),
    ("upstream_connection_termination", "endpoint_failure"),
    ("upstream_remote_reset", "endpoint_failure"),
    ("upstream_protocol_error", "endpoint_failure"),
    ("upstream_overflow", "overloaded"),
)


def _seconds(duration: Any) -> float:
    return float(duration.seconds) + float(duration.nanos) / 1e9


def _optional_seconds(common: Any, name: str) -> float | None:
    return _seconds(getattr(common, name)) if common.HasField(name) else None


def _address(address: Any) -> str:
    socket = address.socket_address
    if not socket.address:
        return str(address.envoy_internal_address.endpoint_id)
    return f"{socket.address}:{socket.port_value}"


def read_entry(entry: Any, table: Table) -> AccessEntry:
    """One decoded `HTTPAccessLogEntry`."""
    common, request, response = entry.common_properties, entry.request, entry.response
    flags = tuple(field.name for field, value in common.response_flags.ListFields() if value is True)
    # A tunnel that led nowhere answered in the way of an app, by this header.
    said = response.response_headers.get("x-cf-routererror", "")
    error = next((error for flag, error in _ERRORS if flag in flags), said)
    owner = table.owner_of(common.upstream_cluster)
    if owner is None and error != "unknown_route":
        # Envoy names no cluster when it found no instance in it.
        owner = table.find(request.authority, request.original_path or request.path)
    route = None if owner is None else owner.entry
    upstream = _address(common.upstream_remote_address)
    endpoint = None if owner is None else owner.endpoint(upstream)
    if endpoint is not None:
        upstream = f"{endpoint.address}:{endpoint.port}"
    app_guid = None if route is None else (endpoint.app_guid if endpoint and endpoint.app_guid else route.app_guid)
    method = request.request_method
    return AccessEntry(
        route_guid="" if route is None else route.route_guid,
        app_guid=app_guid,
        space_guid="" if route is None else route.space_guid,
        organization_guid="" if route is None else route.organization_guid,
        instance_guid=endpoint.instance_guid or None if endpoint else None,
        instance_index=endpoint.index if endpoint and endpoint.instance_guid else None,
        process_type=endpoint.process_type if endpoint else "",
        host=request.authority,
        scheme=request.scheme,
        method=REQUEST_METHODS[method] if method < len(REQUEST_METHODS) else "",
        path=request.original_path or request.path,
        protocol=PROTOCOLS[entry.protocol_version] if entry.protocol_version < len(PROTOCOLS) else "",
        status=response.response_code.value,
        bytes_in=request.request_body_bytes,
        bytes_out=response.response_body_bytes,
        started_at_ns=common.start_time.seconds * 1_000_000_000 + common.start_time.nanos,
        duration_s=_seconds(common.duration),
        upstream_first_byte_s=_optional_seconds(common, "time_to_first_upstream_rx_byte"),
        upstream_last_byte_s=_optional_seconds(common, "time_to_last_upstream_rx_byte"),
        attempts=common.upstream_request_attempt_count,
        client_address=_address(common.downstream_direct_remote_address),
        upstream_address=upstream or None,
        node_guid=endpoint.node_guid if endpoint else "",
        forwarded_for=request.request_headers.get("x-forwarded-for", ""),
        forwarded_proto=request.request_headers.get("x-forwarded-proto", ""),
        user_agent=request.user_agent,
        referer=request.referer,
        request_id=request.request_headers.get("x-vcap-request-id", ""),
        traceparent=request.request_headers.get("traceparent", ""),
        flags=flags,
        error=error,
    )


def read_connection(entry: Any, owner_of: Callable[[str], Owner | None]) -> AccessEntry:
    """One decoded `TCPAccessLogEntry`: a connection to the port of a route, which has ended."""
    common, moved = entry.common_properties, entry.connection_properties
    owner = owner_of(common.upstream_cluster)
    route = None if owner is None else owner.entry
    upstream = _address(common.upstream_remote_address)
    endpoint = None if owner is None else owner.endpoint(upstream)
    if endpoint is not None:
        upstream = f"{endpoint.address}:{endpoint.port}"
    return AccessEntry(
        route_guid="" if route is None else route.route_guid,
        app_guid=(endpoint.app_guid if endpoint else "") or (None if route is None else route.app_guid),
        space_guid="" if route is None else route.space_guid,
        organization_guid="" if route is None else route.organization_guid,
        instance_guid=endpoint.instance_guid if endpoint else None,
        instance_index=endpoint.index if endpoint else None,
        process_type=endpoint.process_type if endpoint else "",
        host="" if route is None else f"{route.host}:{route.port}",
        scheme="tcp",
        method="",
        path="",
        protocol="TCP",
        status=0,
        bytes_in=moved.received_bytes,
        bytes_out=moved.sent_bytes,
        started_at_ns=common.start_time.seconds * 1_000_000_000 + common.start_time.nanos,
        duration_s=_seconds(common.duration),
        upstream_first_byte_s=None,
        upstream_last_byte_s=None,
        attempts=common.upstream_request_attempt_count,
        client_address=_address(common.downstream_direct_remote_address),
        upstream_address=upstream or None,
        node_guid=endpoint.node_guid if endpoint else "",
        forwarded_for="",
        forwarded_proto="",
        user_agent="",
        referer="",
        request_id="",
        traceparent="",
        flags=tuple(field.name for field, value in common.response_flags.ListFields() if value is True),
        error="",
    )


def _quoted(text: str) -> str:
    """`text` in double quotes, `-` if empty, with nothing in it that could end the quotes or the line."""
    if not text:
        return '"-"'
    return (
        '"'
        + "".join(char if char.isprintable() and char not in '"\\' else f"\\x{ord(char):02x}" for char in text)
        + '"'
    )


def _stamp(entry: AccessEntry) -> str:
    started = datetime.fromtimestamp(entry.started_at_ns // 1_000_000_000, UTC)
    return f"{started:%Y-%m-%dT%H:%M:%S}.{entry.started_at_ns % 1_000_000_000:09d}Z"


def connection_line(entry: AccessEntry) -> str:
    """Likewise for a connection, of which Cloud Foundry tells tenants nothing."""
    index = "-" if entry.instance_index is None else str(entry.instance_index)
    parts = [
        f"{entry.host} - [{_stamp(entry)}]",
        '"TCP"',
        f"{entry.bytes_in} {entry.bytes_out}",
        _quoted(entry.client_address),
        _quoted(entry.upstream_address or ""),
        f"connection_time:{entry.duration_s:.6f}",
        f"app_id:{_quoted(entry.app_guid or '')}",
        f"app_index:{_quoted(index)}",
        f"instance_id:{_quoted(entry.instance_guid or '')}",
        f"flags:{_quoted(' '.join(entry.flags))}",
    ]
    return " ".join(parts)


def rtr_line(entry: AccessEntry) -> str:
    """The line that Cloud Foundry's router writes for a request, without the trailing newline."""
    if entry.scheme == "tcp":
        return connection_line(entry)
    stamp = _stamp(entry)
    request = f"{entry.method} {entry.path} {entry.protocol}"
    gorouter = entry.duration_s
    if entry.upstream_first_byte_s is not None and entry.upstream_last_byte_s is not None:
        gorouter = max(0.0, entry.duration_s - entry.upstream_last_byte_s)
    trace = entry.traceparent.split("-") if entry.traceparent.count("-") == 3 else ["", "-", "-", ""]
    index = "-" if entry.instance_index is None else str(entry.instance_index)
    parts = [
        f"{entry.host} - [{stamp}]",
        _quoted(request),
        f"{entry.status} {entry.bytes_in} {entry.bytes_out}",
        _quoted(entry.referer),
        _quoted(entry.user_agent),
        _quoted(entry.client_address),
        _quoted(entry.upstream_address or ""),
        f"x_forwarded_for:{_quoted(entry.forwarded_for)}",
        f"x_forwarded_proto:{_quoted(entry.forwarded_proto)}",
        f"vcap_request_id:{_quoted(entry.request_id)}",
        f"response_time:{entry.duration_s:.6f}",
        f"gorouter_time:{gorouter:.6f}",
        f"app_id:{_quoted(entry.app_guid or '')}",
        f"app_index:{_quoted(index)}",
        f"instance_id:{_quoted(entry.instance_guid or '')}",
        f"x_cf_routererror:{_quoted(entry.error)}",
        f"x_b3_traceid:{_quoted(trace[1])}",
        f"x_b3_spanid:{_quoted(trace[2])}",
        f"x_b3_parentspanid:{_quoted('')}",
        f"b3:{_quoted(f'{trace[1]}-{trace[2]}')}",
    ]
    return " ".join(parts)
