"""A route as Envoy's cluster: how to talk to its instances, and where they are.

Every cluster but its name is one of few kinds, so the rest of the message is encoded once per kind and appended to the
name: protobuf messages may be concatenated.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from paasd.config import RouterConfig
from paasd.model.route_options import hash_balance
from paasd.router.nearness import tiers
from paasd.router.records import Endpoint, RouteEntry
from paasd.router.tunnels.names import GONE_HEADER, HOP, LINE, METADATA, line_cluster, node_cluster
from paasd.router.xds import messages
from paasd.router.xds.messages import duration
from paasd.router.xds.typed import EXTENSIONS, typed

# Names ending so can be spelt by no Host header that passes a registered domain's virtual host.
INTERNAL_MARK = "|"
_UNLIMITED = {"value": 1 << 30}


def cluster_name(host: str, path: str = "") -> str:
    """The cluster of a route. Only a plain host's equals its Host header; others are reached by explicit routes."""
    if path or host.startswith("*"):
        return f"{host}{path}{INTERNAL_MARK}"
    return host


def encode_cluster(name: str, entry: RouteEntry, config: RouterConfig, *, tunnels: bool = False) -> bytes:
    """The cluster of `entry`. With `tunnels` its instances may be on other nodes."""
    head: bytes = messages.Cluster(name=name).SerializeToString()
    return head + _kind(config, entry.http2, spread_of(entry.options), tunnels)


class Spread(NamedTuple):
    """How requests are spread: Envoy's policy, and for a hash the header and how far it may leave the average (%)."""

    policy: int
    header: str = ""
    balance: int = 0


def spread_of(options: Mapping[str, Any]) -> Spread:
    match options.get("loadbalancing"):
        case "least-connection" | "least-connections":
            return Spread(messages.LEAST_REQUEST)
        case "hash" if options.get("hash_header"):
            balance = hash_balance(options.get("hash_balance", 0)) or 0
            return Spread(messages.RING_HASH, str(options["hash_header"]).lower(), round(balance * 100))
        case _:
            return Spread(messages.ROUND_ROBIN)


@lru_cache(maxsize=1024)
def _kind(config: RouterConfig, http2: bool, spread: Spread, tunnels: bool) -> bytes:
    source = {"ads": {}, "initial_fetch_timeout": duration(0), "resource_api_version": messages.API_V3}
    cluster = messages.Cluster(
        type=messages.EDS,
        eds_cluster_config={"eds_config": source},
        connect_timeout=duration(config.connect_timeout_s),
        per_connection_buffer_limit_bytes={"value": config.buffer_limit_bytes},
        lb_policy=spread.policy,
        circuit_breakers=breakers(config),
        # A request that names an instance (by its session cookie) goes there while it lives, and anywhere after.
        lb_subset_config={
            "fallback_policy": messages.ANY_ENDPOINT,
            "subset_selectors": [{"keys": ["instance"], "single_host_per_subset": True}],
        },
        typed_extension_protocol_options={
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "type_url": messages.HTTP_OPTIONS_URL,
                "value": _http_options(config, http2, spread, tunnels).SerializeToString(),
            }
        },
        **_bounded(spread),
        **({"transport_socket": into_the_hop()} if tunnels else {}),
    )
    encoded: bytes = cluster.SerializeToString()
    return encoded


def breakers(config: RouterConfig) -> dict[str, Any]:
    """Connections are bounded, what is asked for on them is not."""
    limits = {
        "max_connections": {"value": config.connections_limit},
        "max_pending_requests": {"value": config.connections_limit},
        "max_requests": _UNLIMITED,
        "max_retries": _UNLIMITED,
    }
    return {"thresholds": [limits]}


def _bounded(spread: Spread) -> dict[str, Any]:
    """No instance gets more than this share of the average; what is above goes on to the next of the ring."""
    if not spread.balance:
        return {}
    return {"common_lb_config": {"consistent_hashing_lb_config": {"hash_balance_factor": {"value": spread.balance}}}}


def tcp_cluster(name: str, config: RouterConfig, *, tunnels: bool, policy: int = messages.ROUND_ROBIN) -> bytes:
    """The cluster of what is connected to, whatever is spoken there. With `tunnels` it may be on other nodes."""
    source = {"ads": {}, "initial_fetch_timeout": duration(0), "resource_api_version": messages.API_V3}
    limit = {"value": config.connections_limit}
    cluster = messages.Cluster(
        name=name,
        type=messages.EDS,
        eds_cluster_config={"eds_config": source},
        connect_timeout=duration(config.connect_timeout_s),
        per_connection_buffer_limit_bytes={"value": config.buffer_limit_bytes},
        lb_policy=policy,
        circuit_breakers={"thresholds": [{"max_connections": limit, "max_pending_requests": limit}]},
        **({"transport_socket": into_the_hop()} if tunnels else {}),
    )
    return bytes(cluster.SerializeToString())


def into_the_hop() -> dict[str, Any]:
    """Plain connections, which take the endpoint's metadata along when they go to an internal listener."""
    sockets = EXTENSIONS + "transport_sockets."
    raw = {"@type": sockets + "raw_buffer.v3.RawBuffer"}
    socket = {
        "@type": sockets + "internal_upstream.v3.InternalUpstreamTransport",
        "passthrough_metadata": [{"name": METADATA, "kind": {"host": {}}}],
        "transport_socket": {"name": "raw", "typed_config": raw},
    }
    return {"name": "hop", "typed_config": typed(socket)}


def _http_options(config: RouterConfig, http2: bool, spread: Spread, tunnels: bool) -> Any:
    return messages.HttpProtocolOptions(
        hash_policy=[{"header": {"header_name": spread.header}}] if spread.header else [],
        common_http_protocol_options={"idle_timeout": duration(config.upstream_idle_timeout_s)},
        explicit_http_config={"http2_protocol_options": {}} if http2 else {"http_protocol_options": {}},
        retry_policy={
            # None of these had a byte of the request reach the app, so repeating is safe for every method.
            "retry_on": "connect-failure,refused-stream,reset-before-request" + ",retriable-headers" * tunnels,
            **(_elsewhere() if tunnels else {}),
            "num_retries": {"value": config.retries},
            "retry_back_off": {"base_interval": duration(0.002), "max_interval": duration(0.02)},
            "host_selection_retry_max_attempts": 10,
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {"type_url": messages.PREVIOUS_HOSTS_URL},
                }
            ],
        },
    )


def _elsewhere() -> dict[str, Any]:
    """A tunnel that led nowhere says so; the next attempt goes to another zone if there is one with instances."""
    previous = {"@type": messages.PREVIOUS_PRIORITIES_URL, "update_frequency": 1}
    return {
        "retriable_headers": [{"name": GONE_HEADER, "present_match": True}],
        "retry_priority": {"name": "envoy.retry_priorities.previous_priorities", "typed_config": typed(previous)},
    }


def encode_endpoints(name: str, entry: RouteEntry) -> bytes:
    """Where the instances behind cluster `name` are."""
    return assign(name, entry.endpoints, "h2" if entry.http2 else "h1")


def assign(name: str, endpoints: tuple[Endpoint, ...], protocol: str) -> bytes:
    """The places of cluster `name`, nearest first; `protocol` is what is spoken to them: h1, h2, or tcp for any."""
    assignment = messages.ClusterLoadAssignment(cluster_name=name)
    for priority, tier in enumerate(tiers(endpoints)):
        locality = assignment.endpoints.add(priority=priority)
        for endpoint, weight in tier:
            item = locality.lb_endpoints.add()
            item.load_balancing_weight.value = weight
            if endpoint.instance_guid:
                fields = item.metadata.filter_metadata["envoy.lb"].fields
                fields["instance"].string_value = endpoint.instance_guid
                # By its guid an instance has one place on the ring of every node, whatever its address is called there.
                fields["hash_key"].string_value = endpoint.instance_guid
            if endpoint.target:
                _set_hop(item, endpoint, protocol)
            else:
                item.endpoint.address.socket_address.address = endpoint.address
                item.endpoint.address.socket_address.port_value = endpoint.port
    encoded: bytes = assignment.SerializeToString(deterministic=True)
    return encoded


def _set_hop(item: Any, endpoint: Endpoint, protocol: str) -> None:
    plain = protocol == "tcp"
    item.endpoint.address.envoy_internal_address.server_listener_name = LINE if plain else HOP
    item.endpoint.address.envoy_internal_address.endpoint_id = endpoint.target
    fields = item.metadata.filter_metadata[METADATA].fields
    fields["target"].string_value = endpoint.target
    fields["node"].string_value = (line_cluster if plain else node_cluster)(endpoint.node_guid)
    fields["protocol"].string_value = protocol
