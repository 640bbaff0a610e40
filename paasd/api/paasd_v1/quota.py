"""What a space and its organization use, beside what their quotas allow."""

from typing import Final

from paasd.api.answers import Answer
from paasd.api.call import Call, Reply
from paasd.api.paasd_v1.names import find_space
from paasd.api.table import Auth, Route, get
from paasd.model import Limits, Organization, OrganizationQuota, SpaceQuota
from paasd.model.quotas.arithmetic import Usage
from paasd.model.quotas.places import Place, limits_of
from paasd.model.quotas.usage import usage
from paasd.state import ReadTx

COUNTED: Final = (
    ("memory_in_mb", "memory_mb", "total_memory_in_mb"),
    ("disk_in_mb", "disk_mb", "total_disk_in_mb"),
    ("blobs_in_mb", "blobs_mb", "total_blobs_in_mb"),
    ("instances", "instances", "total_instances"),
    ("log_rate_in_bytes_per_second", "log_rate_bytes", "log_rate_limit_in_bytes_per_second"),
    ("tasks", "tasks", "per_app_tasks"),
    ("routes", "routes", "total_routes"),
    ("reserved_ports", "reserved_ports", "total_reserved_ports"),
    ("domains", "domains", "total_domains"),
    ("service_instances", "service_instances", "total_service_instances"),
    ("service_keys", "service_keys", "total_service_keys"),
)
"""What it is called, where it is counted, what limits it."""


class Counted(Answer):
    """Null is no limit."""

    used: int
    limit: int | None


class CountedOf(Answer):
    """Everything that is counted."""

    memory_in_mb: Counted
    disk_in_mb: Counted
    blobs_in_mb: Counted
    instances: Counted
    log_rate_in_bytes_per_second: Counted
    tasks: Counted
    routes: Counted
    reserved_ports: Counted
    domains: Counted
    service_instances: Counted
    service_keys: Counted


class PerInstance(Answer):
    """Limits of one instance."""

    memory_in_mb: int | None
    disk_in_mb: int | None


class PlaceUse(Answer):
    """What a place uses of its quota; without one the quota is null."""

    name: str
    quota: str | None
    counted: CountedOf
    limits_per_instance: PerInstance


class QuotaUse(Answer):
    """Of a space and its organization."""

    space: PlaceUse
    organization: PlaceUse


async def get_quota(call: Call) -> Reply[QuotaUse]:
    """Used and limit (null: none) of everything that is counted, for the space and for its organization."""
    with call.context.database.read() as tx:
        space = find_space(call, tx)
        organization = tx.need(Organization, space.organization_guid)
        of_space = None if space.quota_guid is None else tx.get(SpaceQuota, space.quota_guid)
        of_organization = tx.get(OrganizationQuota, organization.quota_guid)
        body = QuotaUse(
            space=_shown(tx, space, None if of_space is None else of_space.name),
            organization=_shown(tx, organization, None if of_organization is None else of_organization.name),
        )
    return Reply(body=body)


def _shown(tx: ReadTx, place: Place, quota: str | None) -> PlaceUse:
    used, limits = usage(tx, place), limits_of(tx, place)
    per_instance = PerInstance(memory_in_mb=limits.per_process_memory_in_mb, disk_in_mb=limits.per_process_disk_in_mb)
    return PlaceUse(name=place.name, quota=quota, counted=_counted(used, limits), limits_per_instance=per_instance)


def _counted(used: Usage, limits: Limits) -> CountedOf:
    return CountedOf(
        **{name: Counted(used=getattr(used, counted), limit=getattr(limits, limit)) for name, counted, limit in COUNTED}
    )


ROUTES: tuple[Route, ...] = (get("/paasd/v1/spaces/<organization>/<space>/quota", get_quota, auth=Auth.BASIC),)
