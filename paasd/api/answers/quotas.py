"""Quotas: limits in four groups. Null is unlimited."""

from paasd.api.answers.basis import Answer, Links, Related, RelatedMany, Shown


class AppLimits(Answer):
    """Of what runs."""

    total_memory_in_mb: int | None
    per_process_memory_in_mb: int | None
    total_disk_in_mb: int | None
    per_process_disk_in_mb: int | None
    total_blobs_in_mb: int | None
    total_instances: int | None
    per_app_tasks: int | None
    log_rate_limit_in_bytes_per_second: int | None


class ServiceLimits(Answer):
    """Of services."""

    paid_services_allowed: bool
    total_service_instances: int | None
    total_service_keys: int | None


class RouteLimits(Answer):
    """Of routes."""

    total_routes: int | None
    total_reserved_ports: int | None


class DomainLimits(Answer):
    """Of private domains."""

    total_domains: int | None


class QuotaShown(Shown):
    """What quotas of organizations and of spaces have in common."""

    name: str
    apps: AppLimits
    services: ServiceLimits
    routes: RouteLimits
    links: Links


class OrganizationQuotaRelations(Answer):
    """To which organizations it applies, of those that the caller sees."""

    organizations: RelatedMany


class OrganizationQuotaShown(QuotaShown):
    """A quota of organizations."""

    domains: DomainLimits
    relationships: OrganizationQuotaRelations


class SpaceQuotaRelations(Answer):
    """Whose it is, and to which spaces it applies, of those that the caller sees."""

    organization: Related
    spaces: RelatedMany


class SpaceQuotaShown(QuotaShown):
    """A quota of spaces; spaces own no domains."""

    relationships: SpaceQuotaRelations
