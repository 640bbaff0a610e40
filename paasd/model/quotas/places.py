"""Where quotas apply: in organizations and spaces."""

from paasd.errors import Unprocessable
from paasd.model.records import Limits, Organization, OrganizationQuota, Space, SpaceQuota
from paasd.state import Condition, Eq, InSelect, ReadTx

Place = Organization | Space


class QuotaExceeded(Unprocessable):
    """A quota does not leave enough for what was asked."""


def within(place: Place) -> Condition:
    """That a row with a `space_guid` is in the place; what is in a space on its way out is not."""
    if isinstance(place, Space):
        return Eq("space_guid", place.guid)
    live = Eq("deleting", False)
    return InSelect("space_guid", Space, "guid", Eq("organization_guid", place.guid), live)


def limits_of(tx: ReadTx, place: Place) -> Limits:
    """Those of the quota that applies; none at all without one."""
    quota: OrganizationQuota | SpaceQuota | None
    if isinstance(place, Organization):
        quota = tx.get(OrganizationQuota, place.quota_guid)
    else:
        quota = None if place.quota_guid is None else tx.get(SpaceQuota, place.quota_guid)
    return Limits() if quota is None else quota.limits
