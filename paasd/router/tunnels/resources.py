"""What Envoy is told once its node is one of several: the tunnel port, the other nodes, and what they may ask for."""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from paasd.config import RouterConfig, TunnelsConfig
from paasd.router.clusters import breakers
from paasd.router.tunnels.fixed import choice, chosen, refusals, tunnel_server
from paasd.router.tunnels.names import (
    AUTHORITIES_SECRET,
    GONE,
    LINE,
    LINE_PROTOCOL,
    NODE_SECRET,
    NODES_SECRET,
    STATS_PREFIX,
    TARGET_HEADER,
    TARGET_PATTERN,
    TUNNEL_LISTENER,
    line_cluster,
    node_cluster,
    target_cluster,
)
from paasd.router.tunnels.records import Links, NodeDoor, NodeIdentity
from paasd.router.xds import Changes, messages
from paasd.router.xds.messages import CLUSTER_URL, LISTENER_URL, SECRET_URL, duration
from paasd.router.xds.typed import EXTENSIONS, typed

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_ADS: dict[str, Any] = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
_HEALTH_PATH = "/paasd/answers"
_RAW = {"@type": EXTENSIONS + "transport_sockets.raw_buffer.v3.RawBuffer"}
_CONNECTION_LIFE_S = 600
_NOBODY = "|nobody|"


class Tunnels:
    """What is published for the node's identity and links. Returns what differs from the time before; no I/O."""

    def __init__(self, config: RouterConfig, tunnels: TunnelsConfig) -> None:
        self.source: str | None = None
        """The address from which other nodes are connected to, where the kernel is not to choose it."""
        self._config = config
        self._tunnels = tunnels
        self._nodes: dict[str, tuple[NodeDoor, str]] = {}
        self._targets: dict[str, tuple[str, int]] = {}

    def own(self, identity: NodeIdentity, listen: tuple[str, int]) -> Changes:
        """The node's certificate and the tunnel port."""
        own = {
            "certificate_chain": {"inline_bytes": identity.pair.certificate},
            "private_key": {"inline_bytes": identity.pair.key},
        }
        secret = messages.Secret(name=NODE_SECRET, tls_certificate=own).SerializeToString()
        return {SECRET_URL: {NODE_SECRET: secret}, LISTENER_URL: {TUNNEL_LISTENER: self._listener(listen)}}

    def others(self, identity: NodeIdentity, links: Links) -> Changes:
        """Whom to believe, the other nodes, and what they may ask for."""
        clusters: dict[str, bytes | None] = {}
        nodes = {guid: (door, identity.of(guid)) for guid, door in links.nodes.items()}
        for guid in self._nodes.keys() | nodes.keys():
            if (known := nodes.get(guid)) != self._nodes.get(guid):
                clusters[node_cluster(guid)] = None if known is None else self._node(guid, *known)
                clusters[line_cluster(guid)] = None if known is None else self._line(guid, *known)
        for target in self._targets.keys() | links.targets.keys():
            if (place := links.targets.get(target)) != self._targets.get(target):
                clusters[target_cluster(target)] = None if place is None else self._target(target, *place)
        self._nodes, self._targets = nodes, dict(links.targets)
        return {SECRET_URL: _trust(identity, nodes), CLUSTER_URL: clusters}

    def _target(self, target: str, address: str, port: int) -> bytes:
        """One thing that other nodes may ask for. That it exists is the permission."""
        name = target_cluster(target)
        cluster = messages.Cluster(
            name=name,
            type=messages.STATIC,
            connect_timeout=duration(self._config.connect_timeout_s),
            per_connection_buffer_limit_bytes={"value": self._config.buffer_limit_bytes},
            load_assignment=_assignment(name, address, port),
            circuit_breakers=breakers(self._config),
        )
        return bytes(cluster.SerializeToString())

    def _node(self, guid: str, door: NodeDoor, identity: str) -> bytes:
        """Another node's tunnel port, and the stand-in for when it does not answer."""
        name = node_cluster(guid)
        assignment = _assignment(name, door.address, door.port)
        stand_in = assignment.endpoints.add(priority=1).lb_endpoints.add()
        stand_in.endpoint.address.envoy_internal_address.server_listener_name = GONE
        stand_in.endpoint.health_check_config.disable_active_health_check = True
        stand_in.metadata.filter_metadata["envoy.transport_socket_match"].fields[GONE].bool_value = True
        cluster = messages.Cluster(
            name=name,
            # Unlike those of routes these have counters, which tell Envoy how often a node is worth checking.
            alt_stat_name=f"{STATS_PREFIX}{guid}",
            load_assignment=assignment,
            # No panic: that is, no requests to a node that is known not to answer.
            common_lb_config={"healthy_panic_threshold": {}},
            transport_socket_matches=[
                {
                    "name": GONE,
                    "match": messages.Struct(fields={GONE: {"bool_value": True}}),
                    "transport_socket": {"name": "raw", "typed_config": typed(_RAW)},
                }
            ],
            health_checks=[self._health_check()],
            typed_extension_protocol_options={_HTTP_OPTIONS: typed(self._http2())},
            **self._towards(door, identity, "h2"),
        )
        return bytes(cluster.SerializeToString())

    def _line(self, guid: str, door: NodeDoor, identity: str) -> bytes:
        """The same port, for connections from app to app."""
        name = line_cluster(guid)
        assignment = _assignment(name, door.address, door.port)
        towards = self._towards(door, identity, LINE_PROTOCOL)
        return bytes(messages.Cluster(name=name, load_assignment=assignment, **towards).SerializeToString())

    def _towards(self, door: NodeDoor, identity: str, protocol: str) -> dict[str, Any]:
        """What both have in common: that very node, and nobody in its place."""
        tls = {
            "@type": EXTENSIONS + "transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": _common_tls(AUTHORITIES_SECRET, identity, protocol),
        }
        source = None if self.source is None else {"source_address": {"address": self.source, "port_value": 0}}
        return {
            "type": messages.STATIC if _is_address(door.address) else messages.STRICT_DNS,
            "dns_lookup_family": messages.V4_PREFERRED,
            "connect_timeout": duration(self._tunnels.connect_timeout_s),
            "per_connection_buffer_limit_bytes": {"value": self._config.buffer_limit_bytes},
            "circuit_breakers": breakers(self._config),
            "transport_socket": {"name": "tls", "typed_config": typed(tls)},
            "upstream_bind_config": source,
        }

    def _health_check(self) -> dict[str, Any]:
        interval = duration(self._tunnels.check_interval_s)
        idle = duration(self._tunnels.idle_check_interval_s)
        return {
            "timeout": duration(self._tunnels.check_timeout_s),
            "interval": interval,
            "unhealthy_interval": interval,
            "no_traffic_interval": interval,
            "no_traffic_healthy_interval": idle,
            "unhealthy_threshold": {"value": 1},
            "healthy_threshold": {"value": 1},
            "http_health_check": {"host": "node", "path": _HEALTH_PATH, "codec_client_type": messages.HTTP2},
        }

    def _http2(self) -> dict[str, Any]:
        keepalive = {
            "interval": f"{self._tunnels.ping_interval_s}s",
            "timeout": f"{self._tunnels.ping_timeout_s}s",
        }
        windows = {"initial_stream_window_size": 256 * 1024, "initial_connection_window_size": 4 * 1024 * 1024}
        return {
            "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
            "explicit_http_config": {"http2_protocol_options": {"connection_keepalive": keepalive, **windows}},
        }

    def _listener(self, listen: tuple[str, int]) -> bytes:
        """The tunnel port: only for nodes of this cluster, only to what was published as a target."""
        inspector = {"@type": EXTENSIONS + "filters.listener.tls_inspector.v3.TlsInspector"}
        target = choice("envoy.tcp_proxy.cluster", target_cluster("%REQUESTED_SERVER_NAME%"))
        line = {
            "@type": EXTENSIONS + "filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": LINE,
            "cluster": _NOBODY,
            "idle_timeout": "0s",
            # Not before the other side has shown its certificate.
            "upstream_connect_mode": "ON_DOWNSTREAM_TLS_HANDSHAKE",
            "max_early_data_bytes": self._config.buffer_limit_bytes,
        }
        address, port = listen
        listener = messages.Listener(
            name=TUNNEL_LISTENER,
            address={"socket_address": {"address": address, "port_value": port}},
            per_connection_buffer_limit_bytes={"value": self._config.buffer_limit_bytes},
            listener_filters=[{"name": "inspector", "typed_config": typed(inspector)}],
            filter_chains=[
                self._chain(LINE_PROTOCOL, chosen(target), line),
                self._chain("h2", _server()),
            ],
        )
        return bytes(listener.SerializeToString())

    def _chain(self, protocol: str, *filters: dict[str, Any]) -> dict[str, Any]:
        """For who says that it speaks this."""
        tls = {
            "@type": EXTENSIONS + "transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": True,
            "disable_stateless_session_resumption": True,
            "disable_stateful_session_resumption": True,
            "common_tls_context": _common_tls(NODES_SECRET, protocol=protocol),
        }
        return {
            "filter_chain_match": {"application_protocols": [protocol]},
            "filters": [{"name": f"{number}", "typed_config": typed(one)} for number, one in enumerate(filters)],
            "transport_socket": {"name": "tls", "typed_config": typed(tls)},
            "transport_socket_connect_timeout": duration(self._config.handshake_timeout_s),
        }


def _server() -> dict[str, Any]:
    """The cluster is named by the target and by nothing else that the other side may say."""
    well_formed = {"safe_regex": {"regex": TARGET_PATTERN}}
    routes = [
        {
            "match": {"connect_matcher": {}, "headers": [{"name": ":authority", "string_match": well_formed}]},
            "route": {
                "cluster_header": TARGET_HEADER,
                "cluster_not_found_response_code": "NOT_FOUND",
                "timeout": "0s",
                "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
            },
        },
        {"match": {"path": _HEALTH_PATH}, "direct_response": {"status": 200}},
    ]
    header = {"key": TARGET_HEADER, "value": target_cluster("%REQ(:AUTHORITY)%")}
    mutation = {
        "@type": EXTENSIONS + "http.early_header_mutation.header_mutation.v3.HeaderMutation",
        "mutations": [{"append": {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}}],
    }
    return tunnel_server(
        TUNNEL_LISTENER,
        routes,
        # New tunnels need a new connection then: an expired certificate, or a removed node's, is soon useless.
        common_http_protocol_options={"max_connection_duration": f"{_CONNECTION_LIFE_S}s"},
        early_header_mutation_extensions=[{"name": "target", "typed_config": mutation}],
        local_reply_config=refusals(),
    )


def _common_tls(trust: str, identity: str = "", protocol: str = "h2") -> dict[str, Any]:
    """Both sides show the node's certificate; the other's must be what the secret `trust` says, or that very node's."""
    names = [{"san_type": "URI", "matcher": {"prefix": identity}}] if identity else []
    return {
        "alpn_protocols": [protocol],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificate_sds_secret_configs": [{"name": NODE_SECRET, "sds_config": _ADS}],
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": names},
            "validation_context_sds_secret_config": {"name": trust, "sds_config": _ADS},
        },
    }


def _trust(identity: NodeIdentity, nodes: Iterable[str]) -> dict[str, bytes | None]:
    """Whom to believe. A node that was removed is not among `nodes`, whatever its certificate says."""
    authorities = {"trusted_ca": {"inline_bytes": identity.authorities}}
    # Never an empty list: that would mean anyone.
    prefixes = [_NOBODY, *sorted(identity.of(guid) for guid in nodes)]
    names = [{"san_type": messages.URI, "matcher": {"prefix": prefix}} for prefix in prefixes]
    known = {**authorities, "match_typed_subject_alt_names": names}
    return {
        AUTHORITIES_SECRET: messages.Secret(
            name=AUTHORITIES_SECRET, validation_context=authorities
        ).SerializeToString(),
        NODES_SECRET: messages.Secret(name=NODES_SECRET, validation_context=known).SerializeToString(),
    }


def _assignment(name: str, address: str, port: int) -> Any:
    assignment = messages.ClusterLoadAssignment(cluster_name=name)
    socket = assignment.endpoints.add().lb_endpoints.add().endpoint.address.socket_address
    socket.address, socket.port_value = address, port
    return assignment


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
