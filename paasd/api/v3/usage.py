"""`usage_summary` of organizations and spaces."""

from typing import Any

from paasd.actions.visibility import need_visible
from paasd.api.answers import Answer, Links
from paasd.api.call import Call, Reply
from paasd.api.table import Route, get
from paasd.model import Organization, Space
from paasd.model.quotas.usage import usage


class UsageTotals(Answer):
    """What is used. Sizes are those that started instances may use."""

    started_instances: int
    memory_in_mb: int
    disk_in_mb: int
    blobs_in_mb: int
    log_rate_in_bytes_per_second: int
    routes: int
    service_instances: int
    reserved_ports: int
    domains: int
    per_app_tasks: int
    service_keys: int


class UsageSummary(Answer):
    """What an organization or a space uses."""

    usage_summary: UsageTotals
    links: Links


async def organization_usage(call: Call) -> Reply[UsageSummary]:
    """What the organization's started apps may use, and what else counts."""
    return _summary(call, Organization, "organization")


async def space_usage(call: Call) -> Reply[UsageSummary]:
    """Likewise of one space."""
    return _summary(call, Space, "space")


def _summary(call: Call, record: Any, kind: str) -> Reply[UsageSummary]:
    with call.context.database.read() as tx:
        place = need_visible(tx, call.caller, record, call.path["guid"])
        used = usage(tx, place)
    summary = UsageTotals(
        started_instances=used.instances,
        memory_in_mb=used.memory_mb,
        disk_in_mb=used.disk_mb,
        blobs_in_mb=used.blobs_mb,
        log_rate_in_bytes_per_second=used.log_rate_bytes,
        routes=used.routes,
        service_instances=used.service_instances,
        reserved_ports=used.reserved_ports,
        domains=used.domains,
        per_app_tasks=used.tasks,
        service_keys=used.service_keys,
    )
    links = {
        "self": call.urls.link(f"{kind}s", place.guid, "usage_summary"),
        kind: call.urls.link(f"{kind}s", place.guid),
    }
    return Reply(body=UsageSummary(usage_summary=summary, links=links))


ROUTES: tuple[Route, ...] = (
    get("/v3/organizations/<guid>/usage_summary", organization_usage),
    get("/v3/spaces/<guid>/usage_summary", space_usage),
)
