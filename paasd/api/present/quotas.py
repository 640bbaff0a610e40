"""Quotas as clients see them: limits in four groups, and to what they apply as far as the caller may see it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from paasd.actions.visibility import visible
from paasd.api.answers import Answer, Reference, RelatedMany
from paasd.api.answers.quotas import (
    AppLimits,
    DomainLimits,
    OrganizationQuotaRelations,
    OrganizationQuotaShown,
    RouteLimits,
    ServiceLimits,
    SpaceQuotaRelations,
    SpaceQuotaShown,
)
from paasd.api.listing import View, to_one
from paasd.model import Organization, OrganizationQuota, Space, SpaceQuota
from paasd.state import In

GROUPS: Final[Mapping[str, type[Answer]]] = {
    "apps": AppLimits,
    "services": ServiceLimits,
    "routes": RouteLimits,
    "domains": DomainLimits,
}


def present_organization_quotas(view: View, rows: Sequence[OrganizationQuota]) -> list[OrganizationQuotaShown]:
    """Quotas of organizations."""
    applied = _applied(view, Organization, rows)
    return [
        OrganizationQuotaShown(
            **_base(row, "apps", "services", "routes", "domains"),
            relationships=OrganizationQuotaRelations(organizations=RelatedMany(data=applied[row.guid])),
            links={"self": view.urls.link("organization_quotas", row.guid)},
        )
        for row in rows
    ]


def present_space_quotas(view: View, rows: Sequence[SpaceQuota]) -> list[SpaceQuotaShown]:
    """Quotas of spaces; spaces own no domains."""
    applied = _applied(view, Space, rows)
    return [
        SpaceQuotaShown(
            **_base(row, "apps", "services", "routes"),
            relationships=SpaceQuotaRelations(
                organization=to_one(row.organization_guid), spaces=RelatedMany(data=applied[row.guid])
            ),
            links={
                "self": view.urls.link("space_quotas", row.guid),
                "organization": view.urls.link("organizations", row.organization_guid),
            },
        )
        for row in rows
    ]


def _base(row: OrganizationQuota | SpaceQuota, *groups: str) -> dict[str, Any]:
    limits = {
        group: GROUPS[group](**{name: getattr(row.limits, name) for name in GROUPS[group].__struct_fields__})
        for group in groups
    }
    return {"guid": row.guid, "created_at": row.created_at, "updated_at": row.updated_at, "name": row.name, **limits}


def _applied(
    view: View, record: type[Organization] | type[Space], rows: Sequence[OrganizationQuota | SpaceQuota]
) -> dict[str, list[Reference]]:
    found: dict[str, list[Reference]] = {row.guid: [] for row in rows}
    scope = visible(view.tx, view.caller, record)
    for place in view.tx.all(record, In("quota_guid", list(found)), *scope, order=("created_at",)):
        found[place.quota_guid or ""].append(Reference(guid=place.guid))
    return found
