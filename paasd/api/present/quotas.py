"""Quotas as clients see them: limits in four groups, and to what they apply as far as the caller may see it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from paasd.actions.visibility import visible
from paasd.api.listing import View, to_one
from paasd.model import Limits, Organization, OrganizationQuota, Space, SpaceQuota
from paasd.state import In

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "apps": (
        "total_memory_in_mb",
        "per_process_memory_in_mb",
        "total_disk_in_mb",
        "per_process_disk_in_mb",
        "total_instances",
        "per_app_tasks",
        "log_rate_limit_in_bytes_per_second",
    ),
    "services": ("paid_services_allowed", "total_service_instances", "total_service_keys"),
    "routes": ("total_routes", "total_reserved_ports"),
    "domains": ("total_domains",),
}


def present_limits(limits: Limits, groups: Sequence[str] = tuple(GROUPS)) -> dict[str, dict[str, Any]]:
    """Null is unlimited."""
    return {group: {name: getattr(limits, name) for name in GROUPS[group]} for group in groups}


def present_organization_quotas(view: View, rows: Sequence[OrganizationQuota]) -> list[dict[str, Any]]:
    """Quotas of organizations."""
    applied = _applied(view, Organization, rows)
    return [
        {
            **_base(view, "organization_quotas", row),
            **present_limits(row.limits),
            "relationships": {"organizations": {"data": applied[row.guid]}},
            "links": {"self": view.urls.link("organization_quotas", row.guid)},
        }
        for row in rows
    ]


def present_space_quotas(view: View, rows: Sequence[SpaceQuota]) -> list[dict[str, Any]]:
    """Quotas of spaces; spaces own no domains."""
    applied = _applied(view, Space, rows)
    return [
        {
            **_base(view, "space_quotas", row),
            **present_limits(row.limits, ("apps", "services", "routes")),
            "relationships": {
                "organization": to_one(row.organization_guid),
                "spaces": {"data": applied[row.guid]},
            },
            "links": {
                "self": view.urls.link("space_quotas", row.guid),
                "organization": view.urls.link("organizations", row.organization_guid),
            },
        }
        for row in rows
    ]


def _base(view: View, kind: str, row: OrganizationQuota | SpaceQuota) -> dict[str, Any]:
    return {"guid": row.guid, "created_at": row.created_at, "updated_at": row.updated_at, "name": row.name}


def _applied(
    view: View, record: type[Organization] | type[Space], rows: Sequence[OrganizationQuota | SpaceQuota]
) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {row.guid: [] for row in rows}
    scope = visible(view.tx, view.caller, record)
    for place in view.tx.all(record, In("quota_guid", list(found)), *scope, order=("created_at",)):
        found[place.quota_guid or ""].append({"guid": place.guid})
    return found
