"""Lists of what this platform does not have (yet) and clients ask for: services, deployments."""

from typing import Final

from paasd.api.answers import Nothing, Page
from paasd.api.call import Call, Reply
from paasd.api.listing import plain_list
from paasd.api.query import QuerySpec
from paasd.api.table import Route, get, post
from paasd.errors import Unprocessable


async def none_of_them(call: Call) -> Reply[Page[Nothing]]:
    """An empty page."""
    return plain_list(call, [])


NO_DEPLOYMENTS: Final = (
    "This platform has no deployments: push, restart and restage without --strategy. To go back to a revision, "
    "take the guid of its droplet from /v3/apps/:guid/revisions, then `cf set-droplet APP DROPLET_GUID` and "
    "`cf restart APP`."
)


async def refuse_deployment(_call: Call) -> Reply[None]:
    """422, which says what to do instead."""
    raise Unprocessable(NO_DEPLOYMENTS)


COMMON = ("guids", "names", "organization_guids", "space_guids", "app_guids")
SERVICES = (
    *COMMON,
    "service_instance_guids",
    "service_instance_names",
    "service_plan_guids",
    "service_plan_names",
    "service_offering_guids",
    "service_offering_names",
    "service_broker_guids",
    "service_broker_names",
    "broker_catalog_ids",
    "service_instance_types",
    "route_guids",
)
SERVICE_FIELDS = ("guid", "name", "relationships.organization", "relationships.service_broker", "description", "tags")
FIELDED = (
    "space",
    "space.organization",
    "service_plan",
    "service_plan.service_offering",
    "service_plan.service_offering.service_broker",
    "service_offering",
    "service_offering.service_broker",
    "service_broker",
)
INCLUDES = ("app", "service_instance", "service_offering", "route", "space.organization")
SERVICE_QUERY = QuerySpec(
    filters=SERVICES,
    plain=("type", "available"),
    order_by=("created_at", "updated_at", "name"),
    include=INCLUDES,
    fields=dict.fromkeys(FIELDED, SERVICE_FIELDS),
    pages=True,
    labels=True,
    times=True,
)


def _plain_query(*filters: str) -> QuerySpec:
    order = ("created_at", "updated_at", "name", "position")
    return QuerySpec(filters=(*COMMON, *filters), order_by=order, pages=True, labels=True, times=True)


EMPTY: dict[str, QuerySpec] = {
    "deployments": _plain_query("states", "status_reasons", "status_values", "droplet_guids"),
    "service_brokers": SERVICE_QUERY,
    "service_credential_bindings": SERVICE_QUERY,
    "service_instances": SERVICE_QUERY,
    "service_offerings": SERVICE_QUERY,
    "service_plans": SERVICE_QUERY,
    "service_route_bindings": SERVICE_QUERY,
}
ROUTES: tuple[Route, ...] = (
    *(get(f"/v3/{name}", none_of_them, query, permission="signed in") for name, query in EMPTY.items()),
    post("/v3/deployments", refuse_deployment, permission="signed in"),
)
