"""A parsed manifest: what it says, checked, with units resolved. UNSET is "not mentioned", None is "reset"."""

from typing import Any

from msgspec import UNSET, UnsetType

from paasd.errors import Unprocessable
from paasd.model.arguments import Arguments, Metadata


class ManifestError(Unprocessable):
    """Everything that is wrong with a manifest; `details` has one text per problem, each naming app and key."""

    def __init__(self, details: list[str]) -> None:
        super().__init__("\n".join(details))
        self.details = details


class HealthManifest(Arguments):
    """The keys of one kind of health check."""

    type: str | UnsetType = UNSET
    endpoint: str | UnsetType = UNSET
    invocation_timeout_s: int | UnsetType = UNSET
    interval_s: int | UnsetType = UNSET
    timeout_s: int | UnsetType = UNSET


class ProcessManifest(Arguments):
    """One process type; sizes in MB, the log rate in bytes per second."""

    type: str
    command: str | UnsetType | None = UNSET
    instances: int | UnsetType = UNSET
    memory_mb: int | UnsetType = UNSET
    disk_mb: int | UnsetType = UNSET
    log_rate_limit_bytes: int | UnsetType = UNSET
    health: HealthManifest = HealthManifest()
    readiness: HealthManifest = HealthManifest()


class SidecarManifest(Arguments):
    """One sidecar."""

    name: str
    command: str | UnsetType = UNSET
    process_types: list[str] | UnsetType = UNSET
    memory_mb: int | UnsetType = UNSET


class RouteManifest(Arguments):
    """One route as written, `host.domain/path` or `domain:port`."""

    route: str
    protocol: str | None = None
    options: dict[str, Any] = {}


class AppManifest(Arguments):
    """One application. `environment` is merged: None takes a variable away."""

    name: str
    buildpacks: list[str] | UnsetType = UNSET
    stack: str | UnsetType | None = UNSET
    environment: dict[str, str | None] = {}
    metadata: Metadata = Metadata()
    features: dict[str, bool] = {}
    processes: list[ProcessManifest] = []
    sidecars: list[SidecarManifest] = []
    routes: list[RouteManifest] = []
    no_route: bool = False
    default_route: bool = False
    random_route: bool = False


class Manifest(Arguments):
    """The applications in order, and what was passed over."""

    applications: list[AppManifest]
    warnings: list[str] = []
