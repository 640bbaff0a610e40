"""What the router is told and what it tells: routes in, access entries out."""

from typing import Any

import msgspec


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One place that a route leads to: a running instance and the address at which its node reaches it.

    With a `target` it is on another node, `node_guid`, whose router is asked for that target by way of a tunnel.
    `distance` is 0 in this node's zone and grows from there; what is nearer is asked first.
    """

    instance_guid: str
    index: int
    address: str
    port: int
    app_guid: str = ""
    process_type: str = "web"
    weight: int = 1
    node_guid: str = ""
    target: str = ""
    distance: int = 0

    @property
    def place(self) -> str:
        """What Envoy calls the endpoint in its log."""
        return self.target or f"{self.address}:{self.port}"


class RouteEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A route as the data path sees it.

    `host` is a full name (`shop.apps.localhost`), a domain itself, or a wildcard (`*.apps.localhost`). `path` is empty
    or starts with a slash. A route without endpoints answers 503; a route that is not in the table answers 404.
    One with a `port` takes connections there, whatever is spoken; `host` is its domain.
    """

    host: str
    path: str = ""
    port: int | None = None
    endpoints: tuple[Endpoint, ...] = ()
    route_guid: str = ""
    app_guid: str | None = None
    space_guid: str = ""
    organization_guid: str = ""
    http2: bool = False
    options: dict[str, Any] = {}


class RouteTable(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one node serves.

    `domains` are the registered public domains, `ports` the routes that have one; `system` maps the platform's own host
    names to what answers them, and wins over any route of the same name.
    """

    routes: tuple[RouteEntry, ...] = ()
    domains: tuple[str, ...] = ()
    ports: dict[int, RouteEntry] = {}
    system: dict[str, tuple[Endpoint, ...]] = {}


class AccessEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One request as Envoy saw it, or (`scheme` tcp) one connection to a port, once it has ended.

    Times are seconds from its first byte; `instance_guid` is None if none was reached.

    `node_guid` is the other node that was asked for the instance, empty when it was one of this node's.
    `route_guid` is empty for requests that met no tenant's route (unknown hosts and the platform's own). `flags` are
    Envoy's names of what went wrong, such as `no_healthy_upstream`; `error` is the `X-Cf-RouterError` value or empty.
    """

    route_guid: str
    app_guid: str | None
    space_guid: str
    organization_guid: str
    instance_guid: str | None
    instance_index: int | None
    process_type: str
    host: str
    scheme: str
    method: str
    path: str
    protocol: str
    status: int
    bytes_in: int
    bytes_out: int
    started_at_ns: int
    duration_s: float
    upstream_first_byte_s: float | None
    upstream_last_byte_s: float | None
    attempts: int
    client_address: str
    upstream_address: str | None
    node_guid: str
    forwarded_for: str
    forwarded_proto: str
    user_agent: str
    referer: str
    request_id: str
    traceparent: str
    flags: tuple[str, ...]
    error: str
