"""Connections from app to app (TCP): one listener, and a cluster for each address and port that stands for an app.

The kernel lets an instance through only where a policy allows it (`sandbox/network/policies.py`), and redirects the
connection to the doorway. There its first destination, which the kernel still knows, names the cluster, so that a new
policy is one more cluster and no listener ever changes. Instances of this node are asked first, others by tunnel.
"""

from collections.abc import Mapping
from typing import Any

from paasd.config import RouterConfig
from paasd.router.clusters import assign, tcp_cluster
from paasd.router.records import Endpoint
from paasd.router.tunnels.fixed import choice, chosen
from paasd.router.xds import Changes, messages
from paasd.router.xds.messages import CLUSTER_URL, ENDPOINTS_URL, LISTENER_URL
from paasd.router.xds.typed import EXTENSIONS, typed

DOORWAY = "doorway"

Door = tuple[str, int]
"""An address that stands for an app, and a port of it."""


def door_cluster(door: Door) -> str:
    """Its end is one that no Host header can have and still meet a registered domain."""
    return f"call|{door[0]}:{door[1]}|"


class Doors:
    """What is published. Returns what differs from the time before; no I/O."""

    def __init__(self, config: RouterConfig) -> None:
        self._config = config
        self._doors: dict[Door, tuple[Endpoint, ...]] = {}
        self._tunnels = False

    def update(self, doors: Mapping[Door, tuple[Endpoint, ...]], *, tunnels: bool) -> Changes:
        """Exactly these, each with its instances. With `tunnels` they may be on other nodes."""
        clusters: dict[str, bytes | None] = {}
        endpoints: dict[str, bytes | None] = {}
        anew = tunnels != self._tunnels
        for door in self._doors.keys() - doors.keys():
            clusters[door_cluster(door)] = endpoints[door_cluster(door)] = None
        for door, places in doors.items():
            name = door_cluster(door)
            if anew or door not in self._doors:
                clusters[name] = tcp_cluster(name, self._config, tunnels=tunnels)
            if anew or self._doors.get(door) != places:
                endpoints[name] = assign(name, places, "tcp")
        self._doors, self._tunnels = dict(doors), tunnels
        return {CLUSTER_URL: clusters, ENDPOINTS_URL: endpoints}

    def listener(self, host: str, port: int) -> Changes:
        """The listener at the link address, whether or not an interface has that yet."""
        original = {"@type": EXTENSIONS + "filters.listener.original_dst.v3.OriginalDst"}
        destination = choice("envoy.tcp_proxy.cluster", "call|%DOWNSTREAM_LOCAL_ADDRESS%|")
        filters = [
            {"name": "choose", "typed_config": typed(chosen(destination))},
            {"name": "proxy", "typed_config": self._proxy()},
        ]
        listener = messages.Listener(
            name=DOORWAY,
            address={"socket_address": {"address": host, "port_value": port}},
            freebind={"value": True},
            # The kernel bounds calls for each instance; those of one app must not keep clients of others out.
            ignore_global_conn_limit=True,
            listener_filters=[{"name": "original", "typed_config": typed(original)}],
            per_connection_buffer_limit_bytes={"value": self._config.buffer_limit_bytes},
            filter_chains=[{"filters": filters}],
        )
        return {LISTENER_URL: {DOORWAY: bytes(listener.SerializeToString())}}

    def _proxy(self) -> dict[str, Any]:
        return typed(
            {
                "@type": EXTENSIONS + "filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": DOORWAY,
                "cluster": "|none|",
                "idle_timeout": f"{self._config.call_idle_timeout_s}s",
                "max_connect_attempts": self._config.retries + 1,
            }
        )
