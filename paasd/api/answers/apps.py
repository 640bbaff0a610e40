"""Apps, processes, sidecars and what instances do."""

from msgspec import UNSET, UnsetType

from paasd.api.answers.basis import Answer, Described, OfApp, Related, Shown
from paasd.api.answers.pages import Including
from paasd.api.words import AppState, HealthCheckType, InstanceState, LifecycleType, SidecarOrigin


class LifecycleDataShown(Answer):
    """What builds use."""

    buildpacks: list[str]
    stack: str | None


class LifecycleShown(Answer):
    """Only buildpacks are built here."""

    type: LifecycleType
    data: LifecycleDataShown


class AppRelations(Answer):
    """Where an app belongs, and what the next start uses."""

    space: Related
    current_droplet: Related


class AppShown(Including):
    """An app."""

    name: str
    state: AppState
    lifecycle: LifecycleShown
    relationships: AppRelations


class ReadinessData(Answer, kw_only=True):
    """Times in seconds; null is the platform's default. An endpoint has a check by HTTP."""

    invocation_timeout: int | None
    interval: int | None
    endpoint: str | UnsetType = UNSET


class HealthCheckData(ReadinessData):
    """`timeout` is how long a start may take."""

    timeout: int | None


class HealthCheckShown(Answer):
    """How an instance proves that it is well."""

    type: HealthCheckType
    data: HealthCheckData


class ReadinessShown(Answer):
    """How an instance proves that it can be sent requests."""

    type: HealthCheckType
    data: ReadinessData


class InstanceShown(Answer):
    """The short form of an instance; `since` counts seconds."""

    index: int
    state: InstanceState
    since: int


class ProcessRelations(OfApp):
    """Of which app."""

    revision: Related


class ProcessShown(Described):
    """A process; the command is hidden in lists. `process_instances` where `embed` asks for them."""

    version: str
    type: str
    command: str | None
    user: str
    instances: int
    memory_in_mb: int
    disk_in_mb: int
    log_rate_limit_in_bytes_per_second: int
    health_check: HealthCheckShown
    readiness_health_check: ReadinessShown
    relationships: ProcessRelations
    process_instances: list[InstanceShown] | UnsetType = UNSET


class SidecarShown(Shown):
    """A sidecar; the command is hidden in lists."""

    name: str
    command: str
    process_types: list[str]
    memory_in_mb: int | None
    origin: SidecarOrigin
    relationships: OfApp


class UsageShown(Answer):
    """What an instance used; sizes in bytes, cpu 1.0 is one core. Empty when nobody has looked yet."""

    time: str | UnsetType = UNSET
    cpu: float | UnsetType = UNSET
    cpu_entitlement: float | UnsetType = UNSET
    mem: int | UnsetType = UNSET
    disk: int | UnsetType = UNSET
    log_rate: int | UnsetType = UNSET


class PortShown(Answer):
    """Where an instance listens."""

    external: int
    internal: int
    external_tls_proxy_port: int | None
    internal_tls_proxy_port: int | None


class StatShown(Answer):
    """An instance; what is down or crashed has no address, quota and use. Quotas in bytes."""

    type: str
    index: int
    state: InstanceState
    routable: bool
    uptime: int
    isolation_segment: None
    details: str | None
    host: str | UnsetType = UNSET
    instance_internal_ip: str | UnsetType = UNSET
    instance_ports: list[PortShown] | UnsetType = UNSET
    mem_quota: int | UnsetType = UNSET
    disk_quota: int | UnsetType = UNSET
    log_rate_limit: int | UnsetType = UNSET
    fds_quota: int | UnsetType = UNSET
    usage: UsageShown | UnsetType = UNSET


class StatsShown(Answer):
    """Every instance of a process."""

    resources: list[StatShown]


class AllStatsShown(StatsShown):
    """Instances of all processes of an app; `left_out` are those that are too many for one answer."""

    left_out: int | UnsetType = UNSET
