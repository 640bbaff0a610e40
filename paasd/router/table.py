"""From route entries to Envoy's resources, one host at a time.

Most hosts are one route without a path. They need no route in Envoy at all: the virtual host of their domain takes the
cluster named by the request's own host, so adding one is adding a cluster (milliseconds at any size). Hosts with paths,
wildcards, hosts under a wildcard and the platform's own hosts are written out as virtual hosts; changing one of those
makes Envoy rebuild its route table.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from paasd.config import RouterConfig
from paasd.model.names import normal_path
from paasd.router.clusters import cluster_name, encode_cluster, encode_endpoints
from paasd.router.records import Endpoint, RouteEntry
from paasd.router.xds import Changes, messages
from paasd.router.xds.messages import CLUSTER_URL, ENDPOINTS_URL, ROUTES_URL, duration

ROUTES_NAME = "routes"
# Set by the listener to the lower-case host without port; a client's own header of this name is replaced.
HOST_HEADER = "x-paasd-route"
# Set on responses by Envoy to the instance that answered, and taken off again by the listener.
INSTANCE_HEADER = "x-paasd-instance"
_GONE_LIMIT = 10_000
_PATH = re.compile(r"(/[^?#\s]*[^?#/\s])?")
_HOST = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")

Hosts = Mapping[str, tuple[RouteEntry, ...]]


class Owner(msgspec.Struct, frozen=True):
    """Whose cluster it is: the entry, and its endpoints by place, now and before the last change."""

    entry: RouteEntry
    endpoints: dict[str, Endpoint]
    former: dict[str, Endpoint]

    def endpoint(self, address: str) -> Endpoint | None:
        """The endpoint at a place; requests under way outlive their endpoint."""
        return self.endpoints.get(address) or self.former.get(address)


def servable(entry: RouteEntry) -> bool:
    """Whether Envoy accepts the entry. It refuses its whole route table for one that it does not."""
    return _PATH.fullmatch(normal_path(entry.path)) is not None and _HOST.fullmatch(entry.host.lower()) is not None


def covering_wildcards(host: str, hosts: Hosts) -> list[str]:
    """The wildcard hosts in the table that `host` falls under, nearest first."""
    labels = host.split(".")
    names = (".".join(["*", *labels[start:]]) for start in range(1, len(labels)))
    return [name for name in names if name in hosts and name != host]


def is_plain(host: str, entries: tuple[RouteEntry, ...]) -> bool:
    """Whether the host needs no virtual host of its own, wildcards aside."""
    return not host.startswith("*") and all(not normal_path(entry.path) for entry in entries)


def by_host(
    routes: Iterable[RouteEntry], system: Mapping[str, tuple[Endpoint, ...]]
) -> dict[str, tuple[RouteEntry, ...]]:
    """Entries by lower-case host; the platform's own hosts displace routes of the same name."""
    hosts: dict[str, tuple[RouteEntry, ...]] = {}
    for entry in filter(servable, routes):
        host = entry.host.lower()
        hosts[host] = (*hosts[host], entry) if host in hosts else (entry,)
    for name, doors in system.items():
        hosts[name.lower()] = (RouteEntry(host=name.lower(), endpoints=doors),)
    return hosts


class Table:
    """What is published, by host. `replace` and `update` return the changed resources; neither does any I/O."""

    def __init__(self, config: RouterConfig, https_port: Callable[[], int] = lambda: 443) -> None:
        self._config = config
        self._https_port = https_port
        self.hosts: dict[str, tuple[RouteEntry, ...]] = {}
        self._owners: dict[str, Owner] = {}
        # Owners of clusters that are gone: Envoy's log of their last requests comes after them.
        self._gone: OrderedDict[str, Owner] = OrderedDict()
        self._domains: tuple[str, ...] = ()
        self._system: frozenset[str] = frozenset()
        self._explicit: set[str] = set()
        self._wildcards = 0
        # Whether instances may be on other nodes. Only what is published from then on is made for it: an entry that
        # does not change has none there.
        self.tunnels = False

    def replace(self, hosts: Hosts, domains: tuple[str, ...], system: frozenset[str]) -> Changes:
        """Make the table exactly `hosts`. Entries that are the same objects as before cost next to nothing."""
        before = self.hosts
        different: dict[str, tuple[RouteEntry, ...]] = {
            host: entries for host, entries in hosts.items() if before.get(host) != entries
        }
        different.update(dict.fromkeys(before.keys() - hosts.keys(), ()))
        return self.update(different, domains, system)

    def update(self, hosts: Hosts, domains: tuple[str, ...], system: frozenset[str]) -> Changes:
        """Replace the entries of some hosts (empty: the host is gone)."""
        changes: Changes = {CLUSTER_URL: {}, ENDPOINTS_URL: {}}
        reroute = domains != self._domains or not self._owners
        wildcards_moved = system != self._system
        self._domains, self._system = domains, system
        for host, entries in hosts.items():
            before = self.hosts.pop(host, ())
            if entries:
                self.hosts[host] = entries
            self._resources(host, before, entries, changes)
            if host.startswith("*"):
                wildcards_moved |= bool(before) != bool(entries)
                self._wildcards += bool(entries) - bool(before)
            if self._routing(host, before) != self._routing(host, entries):
                reroute = True
        if wildcards_moved:
            self._explicit = {host for host in self.hosts if self._needs_own(host)}
            reroute = True
        else:
            for host in hosts:
                reroute |= self._note_explicit(host)
        if reroute:
            encoded: bytes = self._route_configuration().SerializeToString(deterministic=True)
            changes[ROUTES_URL] = {ROUTES_NAME: encoded}
        return changes

    def _note_explicit(self, host: str) -> bool:
        was = host in self._explicit
        now = host in self.hosts and self._needs_own(host)
        (self._explicit.add if now else self._explicit.discard)(host)
        return was != now

    def _needs_own(self, host: str) -> bool:
        if host in self._system or not is_plain(host, self.hosts[host]):
            return True
        return bool(self._wildcards) and bool(covering_wildcards(host, self.hosts))

    @staticmethod
    def _routing(host: str, entries: tuple[RouteEntry, ...]) -> tuple[str, ...]:
        """What of a host stands in the route table, its clusters' content aside."""
        return () if is_plain(host, entries) else tuple(sorted(normal_path(entry.path) for entry in entries))

    def _resources(
        self, host: str, before: tuple[RouteEntry, ...], after: tuple[RouteEntry, ...], changes: Changes
    ) -> None:
        old = {cluster_name(host, normal_path(entry.path)): entry for entry in before}
        new = {cluster_name(host, normal_path(entry.path)): entry for entry in after}
        for name in old.keys() - new.keys():
            changes[CLUSTER_URL][name] = changes[ENDPOINTS_URL][name] = None
            self._forget(name)
        for name, entry in new.items():
            if name in old and old[name] == entry:
                continue
            changes[CLUSTER_URL][name] = encode_cluster(name, entry, self._config, tunnels=self.tunnels)
            changes[ENDPOINTS_URL][name] = encode_endpoints(name, entry)
            places = {endpoint.place: endpoint for endpoint in entry.endpoints}
            earlier = self._owners.get(name)
            self._owners[name] = Owner(entry, places, {} if earlier is None else earlier.endpoints)

    def _forget(self, name: str) -> None:
        if (owner := self._owners.pop(name, None)) is not None:
            self._gone[name] = owner
            if len(self._gone) > _GONE_LIMIT:
                self._gone.popitem(last=False)

    def owner_of(self, cluster: str) -> Owner | None:
        """Whose cluster it is or, lately, was."""
        return self._owners.get(cluster) or self._gone.get(cluster)

    def find(self, authority: str, path: str) -> Owner | None:
        """Whose route a request meets, as Envoy finds it: exact host, then wildcards; longest path first."""
        host = authority.split(":", 1)[0].rstrip(".").lower()
        path = path.split("?", 1)[0]
        names = [host] if host in self.hosts else []
        for name in (*names, *(covering_wildcards(host, self.hosts) if self._wildcards else ())):
            prefixes = [normal_path(entry.path) for entry in self.hosts[name]]
            met = [prefix for prefix in prefixes if path == prefix or path.startswith(prefix + "/") or not prefix]
            if met:
                return self._owners.get(cluster_name(name, max(met, key=len)))
        return None

    def _route_configuration(self) -> Any:
        written = self._explicit
        virtual_hosts = [self._virtual_host(host) for host in sorted(written)]
        for domain in sorted(filter(_HOST.fullmatch, {name.lower() for name in self._domains})):
            names = [name for name in (domain, f"*.{domain}") if name not in written]
            if names:
                action = self._action(cluster_header=HOST_HEADER)
                routes = [{"match": {"prefix": "/"}, "route": action}]
                virtual_hosts.append({"name": f"domain {domain}", "domains": names, "routes": routes})
        instance = {"key": INSTANCE_HEADER, "value": "%UPSTREAM_METADATA(envoy.lb:instance)%"}
        return messages.RouteConfiguration(
            name=ROUTES_NAME,
            virtual_hosts=virtual_hosts,
            validate_clusters={"value": False},
            ignore_port_in_host_matching=True,
            request_headers_to_remove=[HOST_HEADER],
            response_headers_to_add=[{"header": instance, "append_action": messages.OVERWRITE_IF_EXISTS_OR_ADD}],
        )

    def _virtual_host(self, host: str) -> dict[str, Any]:
        own = host in self._system
        timeout_s = 0.0 if own else self._config.request_timeout_s
        routes = [self._to_https()] if own else []
        for name in (host, *covering_wildcards(host, self.hosts)):
            paths = sorted({normal_path(entry.path) for entry in self.hosts[name]}, key=lambda path: (-len(path), path))
            for path in paths:
                match = {"path_separated_prefix": path} if path else {"prefix": "/"}
                action = self._action(timeout_s=timeout_s, cluster=cluster_name(name, path))
                routes.append({"match": match, "route": action})
            if "" in paths:
                break
        return {"name": host, "domains": [host], "routes": routes}

    def _to_https(self) -> dict[str, Any]:
        """The platform's own doors take passwords and tokens, so plain HTTP gets no more than the way to HTTPS."""
        plain = {"name": "x-forwarded-proto", "string_match": {"exact": "http"}}
        redirect = {
            "https_redirect": True,
            "response_code": messages.PERMANENT_REDIRECT,
            "port_redirect": self._https_port(),
        }
        return {"match": {"prefix": "/", "headers": [plain]}, "redirect": redirect}

    def _action(self, *, timeout_s: float | None = None, **target: str) -> dict[str, Any]:
        timeout_s = self._config.request_timeout_s if timeout_s is None else timeout_s
        return {
            **target,
            "timeout": duration(timeout_s),
            "cluster_not_found_response_code": messages.NOT_FOUND,
        }
