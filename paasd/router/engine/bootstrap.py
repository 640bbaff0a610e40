"""Envoy's start-up file: where its control socket is, what it may use, and the listeners that are always there."""

from pathlib import Path
from typing import Any

from paasd.config import RouterConfig
from paasd.router.engine.listeners import ADS, CONTROL_CLUSTER, listener
from paasd.router.tunnels.fixed import BOOTSTRAP_EXTENSION, gone_listener, hop_listener, line_listener
from paasd.router.tunnels.names import STATS_PREFIX, TUNNEL_LISTENER

APPS_SECRET = "apps"
SYSTEM_SECRET = "system"
_CONNECTIONS_MONITOR = (
    "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
)


def bootstrap(config: RouterConfig, *, control: Path, admin: Path, http_port: int, https_port: int) -> dict[str, Any]:
    """The whole file. `control` is the daemon's socket, `admin` the one that Envoy makes for itself."""
    control_service = {
        "envoy_grpc": {
            "cluster_name": CONTROL_CLUSTER,
            # Envoy's own back-off grows to 30 s, in which a restarted daemon could change no route.
            "retry_policy": {"retry_back_off": {"base_interval": "0.05s", "max_interval": "0.5s"}},
        }
    }
    return {
        "node": {"id": "router", "cluster": "paasd"},
        "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [control_service],
            },
            "cds_config": ADS,
            "lds_config": ADS,
        },
        "bootstrap_extensions": [BOOTSTRAP_EXTENSION],
        "layered_runtime": {"layers": [{"name": "fixed", "static_layer": _FEATURES}]},
        "static_resources": {
            "listeners": [
                listener("http", config, http_port),
                listener("https", config, https_port, (APPS_SECRET, SYSTEM_SECRET)),
                hop_listener(),
                line_listener(),
                gone_listener(),
            ],
            "clusters": [_control_cluster(control)],
        },
        # Counters per route come from the access log; Envoy's own would cost more memory than the routes.
        "stats_config": {
            "stats_matcher": {"inclusion_list": {"patterns": [{"prefix": prefix} for prefix in _COUNTED]}}
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": _CONNECTIONS_MONITOR,
                        "max_active_downstream_connections": config.client_connections_limit,
                    },
                }
            ]
        },
    }


# What a callee says through a tunnel ends with a reset of its stream, also when it ended well; as a reset of the
# caller's connection that would throw away what it has not read yet. So here a reset is an end.
_FEATURES = {
    f"envoy.reloadable_features.{name}": False
    for name in (
        "map_http_stream_reset_to_tcp_rst",
        "enable_send_rst_on_user_space_socket",
        "propagate_upstream_rst_through_tunneled_tcp_proxy",
    )
}
_COUNTED = (
    "server.",
    "http.router.",
    f"http.{TUNNEL_LISTENER}.",
    "listener.",
    "cluster_manager.",
    f"cluster.{STATS_PREFIX}",
    "access_logs.",
)


def _control_cluster(control: Path) -> dict[str, Any]:
    options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(control)}}}}
    return {
        "name": CONTROL_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": CONTROL_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            options: {
                "@type": f"type.googleapis.com/{options}",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
    }
