"""Names under which apps answer: domains, routes and what a route leads to."""

from typing import Any

from paasd.model.records.resource import Resource
from paasd.state import Record


class Domain(Resource, table="domains"):
    """Shared when `organization_guid` is None; of TCP routes when it has a router group."""

    name: str
    internal: bool = False
    organization_guid: str | None = None
    deleting: bool = False
    router_group_guid: str | None = None


class DomainShare(Record, table="domain_shares", key=("domain_guid", "organization_guid"), label="Shared domain"):
    """A further organization whose spaces may have routes on a private domain."""

    domain_guid: str
    organization_guid: str
    created_at: str = ""


class Route(Resource, table="routes"):
    """host.domain/path. `host` may be "" or "*"; `path` is "" or starts with "/". Those of protocol tcp have a port."""

    domain_guid: str
    space_guid: str
    host: str = ""
    path: str = ""
    port: int | None = None
    protocol: str = "http"
    options: dict[str, Any] = {}


class Destination(Resource, table="destinations"):
    """A process type of an app behind a route; `port` None means the port that the app is told to use."""

    route_guid: str
    app_guid: str
    process_type: str = "web"
    port: int | None = None
    protocol: str = "http1"
    weight: int | None = None


class RouteShare(Record, table="route_shares", key=("route_guid", "space_guid"), label="Shared route"):
    """A further space whose apps may stand behind a route, and whose people see it."""

    route_guid: str
    space_guid: str
    created_at: str = ""
