"""Routes with a port (TCP): a listener for each port in use, and a cluster with the instances behind it.

A port is there while its route leads to an app that is meant to run. One that another program of the host has is left
out, since Envoy cannot have it: it is tried again until that program has let go.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from paasd.config import RouterConfig
from paasd.router.clusters import assign, spread_of, tcp_cluster
from paasd.router.engine.listeners import log_sink
from paasd.router.records import RouteEntry
from paasd.router.table import Owner
from paasd.router.xds import Changes, messages
from paasd.router.xds.messages import CLUSTER_URL, ENDPOINTS_URL, LISTENER_URL
from paasd.router.xds.typed import EXTENSIONS, typed

_NAME: Final = re.compile(r"port\|([0-9]+)\|")
_CLUSTER: Final = re.compile(r"port\|([0-9]+)\|.+", re.DOTALL)
GONE_LIMIT: Final = 1000


def port_name(port: int) -> str:
    """Of the listener."""
    return f"port|{port}|"


def cluster_of(entry: RouteEntry) -> str:
    """Of the cluster: connections outlive their route, and end when the port may be another's. No Host header that
    meets a registered domain has `|`.
    """
    return f"port|{entry.port}|{entry.route_guid}"


def ports_named(text: str) -> list[int]:
    """The ports whose listeners a text of Envoy's is about."""
    return [int(port) for port in _NAME.findall(text)]


class Ports:
    """What is published. Returns what differs from the time before; `is_free` is asked before a port is taken."""

    def __init__(self, config: RouterConfig, is_free: Callable[[int], bool]) -> None:
        self._config = config
        self._is_free = is_free
        self._owners: dict[int, Owner] = {}
        self._gone: dict[str, Owner] = {}
        self._tunnels = False
        self.taken: set[int] = set()
        """Ports in use here that another program of the host has."""

    def replace(self, entries: Mapping[int, RouteEntry], *, tunnels: bool) -> Changes:
        """Exactly these. With `tunnels` their instances may be on other nodes."""
        return self.update({**dict.fromkeys(self._owners), **entries}, tunnels=tunnels)

    def update(self, entries: Mapping[int, RouteEntry | None], *, tunnels: bool) -> Changes:
        """Replace some; None takes one away."""
        changes: Changes = {CLUSTER_URL: {}, ENDPOINTS_URL: {}, LISTENER_URL: {}}
        anew = tunnels != self._tunnels
        self._tunnels = tunnels
        for port in self._owners.keys() - entries.keys() if anew else ():
            self._publish(port, self._owners[port].entry, changes, anew=True)
        for port, entry in entries.items():
            if entry is None:
                self._withdraw(port, changes)
            else:
                self._publish(port, entry, changes, anew=anew)
        return changes

    def _publish(self, port: int, entry: RouteEntry, changes: Changes, *, anew: bool) -> None:
        name, before = cluster_of(entry), self._owners.get(port)
        if before is not None and before.entry == entry and not anew:
            return
        handed_on = before is not None and cluster_of(before.entry) != name
        if before is not None and handed_on:
            self._forget(before, changes)
        former = {} if before is None or handed_on else before.endpoints
        self._owners[port] = Owner(entry, {one.place: one for one in entry.endpoints}, former)
        policy = spread_of(entry.options).policy
        changes[CLUSTER_URL][name] = tcp_cluster(name, self._config, tunnels=self._tunnels, policy=policy)
        changes[ENDPOINTS_URL][name] = assign(name, entry.endpoints, "tcp")
        if before is None and not self._is_free(port):
            self.taken.add(port)
        if port not in self.taken:
            changes[LISTENER_URL][port_name(port)] = self._listener(port)

    def _withdraw(self, port: int, changes: Changes) -> None:
        owner = self._owners.pop(port, None)
        if owner is None:
            return
        self.taken.discard(port)
        self._forget(owner, changes)
        changes[LISTENER_URL][port_name(port)] = None

    def _forget(self, owner: Owner, changes: Changes) -> None:
        name = cluster_of(owner.entry)
        self._gone[name] = owner
        if len(self._gone) > GONE_LIMIT:
            del self._gone[next(iter(self._gone))]
        changes[CLUSTER_URL][name] = changes[ENDPOINTS_URL][name] = None

    def refused(self, ports: Iterable[int]) -> Changes:
        """Envoy could not listen there: somebody was faster."""
        lost = [port for port in ports if port in self._owners]
        self.taken.update(lost)
        return {LISTENER_URL: {port_name(port): None for port in lost}}

    def retry(self) -> Changes:
        """Listen on those that were let go of."""
        free = [port for port in self.taken if self._is_free(port)]
        self.taken.difference_update(free)
        return {LISTENER_URL: {port_name(port): self._listener(port) for port in free}}

    def owner_of(self, cluster: str) -> Owner | None:
        """Whose cluster it is or, lately, was."""
        found = _CLUSTER.fullmatch(cluster)
        now = None if found is None else self._owners.get(int(found[1]))
        return now if now is not None and cluster_of(now.entry) == cluster else self._gone.get(cluster)

    def _listener(self, port: int) -> bytes:
        limit = {
            "@type": EXTENSIONS + "filters.network.connection_limit.v3.ConnectionLimit",
            "stat_prefix": "port",
            "max_connections": self._config.tcp_connections_limit,
        }
        filters = [
            {"name": "limit", "typed_config": typed(limit)},
            {"name": "proxy", "typed_config": typed(self._proxy(self._owners[port].entry))},
        ]
        listener = messages.Listener(
            name=port_name(port),
            address={"socket_address": {"address": self._config.host, "port_value": port}},
            per_connection_buffer_limit_bytes={"value": self._config.buffer_limit_bytes},
            filter_chains=[{"filters": filters}],
        )
        return bytes(listener.SerializeToString())

    def _proxy(self, entry: RouteEntry) -> dict[str, Any]:
        log = {
            "@type": EXTENSIONS + "access_loggers.grpc.v3.TcpGrpcAccessLogConfig",
            "common_config": log_sink(self._config),
        }
        return {
            "@type": EXTENSIONS + "filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "port",
            "cluster": cluster_of(entry),
            "idle_timeout": f"{self._config.tcp_idle_timeout_s}s",
            "max_connect_attempts": self._config.retries + 1,
            "access_log": [{"name": "access", "typed_config": log}],
        }
