"""What tenants may use and have used: quotas of organizations and spaces, usage events."""

from typing import Final

import msgspec

from paasd.model.records.resource import Resource
from paasd.state import Record

DEFAULT_QUOTA: Final = "default"
"""The guid of the quota that new organizations have."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The limits of a quota under the names of the API; None is unlimited. Disk and blobs are paasd's own."""

    total_memory_in_mb: int | None = None
    per_process_memory_in_mb: int | None = None
    total_disk_in_mb: int | None = None
    per_process_disk_in_mb: int | None = None
    total_instances: int | None = None
    per_app_tasks: int | None = None
    log_rate_limit_in_bytes_per_second: int | None = None
    total_service_instances: int | None = None
    total_service_keys: int | None = None
    paid_services_allowed: bool = True
    total_routes: int | None = None
    total_reserved_ports: int | None = None
    total_domains: int | None = None
    total_blobs_in_mb: int | None = None


FIRST_LIMITS: Final = Limits(
    total_memory_in_mb=10 * 1024,
    total_disk_in_mb=100 * 1024,
    total_blobs_in_mb=20 * 1024,
    total_instances=100,
    per_app_tasks=50,
    total_routes=1000,
    total_domains=100,
)
"""Those of the default quota of a new platform: enough for a service, and no organization has everything."""


class OrganizationQuota(Resource, table="organization_quotas", label="Organization quota"):
    """Limits for every organization that refers to it, each by itself."""

    name: str
    limits: Limits = Limits()


class SpaceQuota(Resource, table="space_quotas", label="Space quota"):
    """Limits for every space of one organization that refers to it, each by itself."""

    name: str
    organization_guid: str
    limits: Limits = Limits()


class AppUsageEvent(Record, table="app_usage_events", label="App usage event"):
    """What a process or a task used from then on. `memory_mb` is that of one instance; `sequence` counts up."""

    guid: str = ""
    created_at: str = ""
    sequence: int
    state: str
    previous_state: str | None = None
    app_guid: str
    app_name: str
    process_guid: str | None = None
    process_type: str | None = None
    task_guid: str | None = None
    task_name: str | None = None
    space_guid: str
    space_name: str
    organization_guid: str
    buildpack_guid: str | None = None
    buildpack_name: str | None = None
    memory_mb: int
    previous_memory_mb: int | None = None
    instances: int
    previous_instances: int | None = None
