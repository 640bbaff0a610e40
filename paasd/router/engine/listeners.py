"""The two listeners, HTTP and HTTPS, as Envoy's JSON. Routes and certificates come by discovery; these never change."""

from typing import Any

from paasd.config import RouterConfig
from paasd.router.engine.script import request_script, response_script
from paasd.router.table import HOST_HEADER, INSTANCE_HEADER, ROUTES_NAME
from paasd.router.tunnels.names import GONE_HEADER
from paasd.router.xds.typed import EXTENSIONS

ADS: dict[str, Any] = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
CONTROL_CLUSTER = "paasd|control"
_RANDOM = "%REQ(X-VCAP-REQUEST-ID):8%"
_TRACEPARENT = f"00-%START_TIME(%s%9f)%00000{_RANDOM}-%START_TIME(%8f)%{_RANDOM}-00"
ACCESS_HEADERS = ["x-forwarded-for", "x-forwarded-proto", "x-vcap-request-id", "traceparent"]


def listener(name: str, config: RouterConfig, port: int, secrets: tuple[str, ...] = ()) -> dict[str, Any]:
    """One listener. With `secrets` it speaks TLS with those certificates, picked by SNI; the first is the default."""
    chain: dict[str, Any] = {"filters": [{"name": "http", "typed_config": _connection_manager(config)}]}
    if secrets:
        chain["transport_socket"] = _tls(secrets)
        chain["transport_socket_connect_timeout"] = f"{config.handshake_timeout_s}s"
    return {
        "name": name,
        "address": {"socket_address": {"address": config.host, "port_value": port}},
        "per_connection_buffer_limit_bytes": config.buffer_limit_bytes,
        "filter_chains": [chain],
    }


def _tls(secrets: tuple[str, ...]) -> dict[str, Any]:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": EXTENSIONS + "transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                "tls_certificate_sds_secret_configs": [{"name": name, "sds_config": ADS} for name in secrets],
            },
        },
    }


def _connection_manager(config: RouterConfig) -> dict[str, Any]:
    idle = f"{config.idle_timeout_s}s"
    return {
        "@type": EXTENSIONS + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "router",
        "rds": {"route_config_name": ROUTES_NAME, "config_source": ADS},
        "use_remote_address": True,
        # Envoy would name a client on this machine by an address of the machine's; the filter below adds the real one.
        "skip_xff_append": True,
        "xff_num_trusted_hops": config.trusted_hops,
        # The app's own headers pass; what a client calls a request is kept, so that its traces join ours.
        "server_header_transformation": "PASS_THROUGH",
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "strip_trailing_host_dot": True,
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http_protocol_options": {"accept_http_10": True, "allow_absolute_url": True},
        "http2_protocol_options": {
            "max_concurrent_streams": 128,
            "initial_stream_window_size": 256 * 1024,
            "initial_connection_window_size": 1024 * 1024,
        },
        "max_request_headers_kb": config.headers_limit_kb,
        "common_http_protocol_options": {"idle_timeout": idle, "max_headers_count": config.headers_count_limit},
        "stream_idle_timeout": idle,
        # Time for a client to read an early answer before Envoy hangs up; one whose answer broke off waits as long.
        "delayed_close_timeout": "0.25s",
        "request_headers_timeout": f"{config.headers_timeout_s}s",
        "early_header_mutation_extensions": [_host_header()],
        "http_filters": [_request_headers_filter(), request_script(), response_script(), _router_filter()],
        "local_reply_config": local_replies(),
        "access_log": [_access_log(config)],
    }


def _header(key: str, value: str, action: str = "OVERWRITE_IF_EXISTS_OR_ADD") -> dict[str, Any]:
    return {"append": {"header": {"key": key, "value": value}, "append_action": action}}


def _host_header() -> dict[str, Any]:
    """Before a route is looked for: its cluster is named by this header, whatever a client put there."""
    return {
        "name": "host-header",
        "typed_config": {
            "@type": EXTENSIONS + "http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": [_header(HOST_HEADER, "%REQ(:AUTHORITY)%")],
        },
    }


def _request_headers_filter() -> dict[str, Any]:
    """A fresh id that no client can choose, told to the app, the client and the log; and who and what was asked for.

    A trace that begins here is named by the time in nanoseconds, whose digits are hexadecimal ones too, and 32 random
    bits of that id.
    """
    return {
        "name": "request-headers",
        "typed_config": {
            "@type": EXTENSIONS + "filters.http.header_mutation.v3.HeaderMutation",
            "mutations": {
                "request_mutations": [
                    _header("x-vcap-request-id", "%UNIQUE_ID%"),
                    _header("x-forwarded-host", "%REQ(:AUTHORITY)%"),
                    _header(
                        "x-forwarded-for", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "APPEND_IF_EXISTS_OR_ADD"
                    ),
                    _header("traceparent", _TRACEPARENT, "ADD_IF_ABSENT"),
                    {"remove": "x-envoy-external-address"},
                ],
                "response_mutations": [
                    _header("x-vcap-request-id", "%REQ(X-VCAP-REQUEST-ID)%"),
                    {"remove": INSTANCE_HEADER},
                    {"remove": GONE_HEADER},
                ],
            },
        },
    }


def _router_filter() -> dict[str, Any]:
    return {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": EXTENSIONS + "filters.http.router.v3.Router", "suppress_envoy_headers": True},
    }


def _flags(*flags: str) -> dict[str, Any]:
    return {"response_flag_filter": {"flags": list(flags)}}


def _status(value: int) -> dict[str, Any]:
    comparison = {"op": "EQ", "value": {"default_value": value, "runtime_key": f"paasd.status.{value}"}}
    return {"status_code_filter": {"comparison": comparison}}


def local_replies() -> dict[str, Any]:
    """What Envoy itself answers when no app does: Cloud Foundry's header, and a line that says what happened."""

    def reply(matching: dict[str, Any], status: int | None, error: str | None, text: str) -> dict[str, Any]:
        mapper: dict[str, Any] = {
            "filter": matching,
            "body_format_override": {"text_format_source": {"inline_string": text + "\n"}},
        }
        if status is not None:
            mapper["status_code"] = status
        if error is not None:
            mapper["headers_to_add"] = [{"header": {"key": "X-Cf-RouterError", "value": error}}]
        return mapper

    host = "%REQ(:AUTHORITY)%"
    return {
        "mappers": [
            reply(
                _flags("NR", "NC"), 404, "unknown_route", f"404 Not Found: Requested route ('{host}') does not exist."
            ),
            reply(
                _flags("UH"),
                503,
                "no_endpoints",
                f"503 Service Unavailable: Requested route ('{host}') has no available endpoints.",
            ),
            reply(
                _flags("UT", "DT", "UMSDR"),
                504,
                "endpoint_timeout",
                "504 Gateway Timeout: The app did not answer in time.",
            ),
            reply(
                _flags("UF", "UC", "UR", "UPE", "URX", "LR"),
                502,
                "endpoint_failure",
                "502 Bad Gateway: Registered endpoint failed to handle the request.",
            ),
            reply(
                _flags("UO"),
                503,
                "overloaded",
                "503 Service Unavailable: Too many requests are waiting for this app.",
            ),
            reply(
                _status(431), None, None, "431 Request Header Fields Too Large: The request's headers are too large."
            ),
            reply(_status(408), None, None, "408 Request Timeout: The request did not arrive in time."),
        ],
        "body_format": {"text_format_source": {"inline_string": "%RESPONSE_CODE% %LOCAL_REPLY_BODY%\n"}},
    }


def log_sink(config: RouterConfig) -> dict[str, Any]:
    """Where entries of the access log go: to the daemon."""
    return {
        "log_name": "access",
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": CONTROL_CLUSTER}},
        "buffer_flush_interval": f"{config.access_log_flush_s}s",
        "buffer_size_bytes": config.access_log_buffer_bytes,
    }


def _access_log(config: RouterConfig) -> dict[str, Any]:
    return {
        "name": "access",
        "typed_config": {
            "@type": EXTENSIONS + "access_loggers.grpc.v3.HttpGrpcAccessLogConfig",
            "common_config": log_sink(config),
            "additional_request_headers_to_log": ACCESS_HEADERS,
            "additional_response_headers_to_log": ["x-cf-routererror"],
        },
    }
