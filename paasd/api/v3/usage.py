"""`usage_summary` of organizations and spaces."""

from typing import Any

from paasd.actions.visibility import need_visible
from paasd.api.call import Call, Reply
from paasd.api.table import Route, get
from paasd.model import Organization, Space
from paasd.model.quotas.usage import usage


async def organization_usage(call: Call) -> Reply:
    """What the organization's started apps may use, and what else counts."""
    return _summary(call, Organization, "organization")


async def space_usage(call: Call) -> Reply:
    """Likewise of one space."""
    return _summary(call, Space, "space")


def _summary(call: Call, record: Any, kind: str) -> Reply:
    with call.context.database.read() as tx:
        place = need_visible(tx, call.caller, record, call.path["guid"])
        used = usage(tx, place)
    summary = {
        "started_instances": used.instances,
        "memory_in_mb": used.memory_mb,
        "disk_in_mb": used.disk_mb,
        "log_rate_in_bytes_per_second": used.log_rate_bytes,
        "routes": used.routes,
        "service_instances": used.service_instances,
        "reserved_ports": used.reserved_ports,
        "domains": used.domains,
        "per_app_tasks": used.tasks,
        "service_keys": used.service_keys,
    }
    links = {
        "self": call.urls.link(f"{kind}s", place.guid, "usage_summary"),
        kind: call.urls.link(f"{kind}s", place.guid),
    }
    return Reply(body={"usage_summary": summary, "links": links})


ROUTES: tuple[Route, ...] = (
    get("/v3/organizations/<guid>/usage_summary", organization_usage),
    get("/v3/spaces/<guid>/usage_summary", space_usage),
)
