"""An app that is deleted by its name takes along the routes that lead nowhere else."""

import httpx

from paasd.model import Destination, Domain, Route
from paasd.model.arguments import SYSTEM
from paasd.model.routes import ChangeDestinations, CreateRoute, NewDestination, add_destinations, create_route
from tests.api.serving import Served
from tests.api.tenants import Tenant, make_tenant


async def routed(served: Served, tenant: Tenant, host: str, *apps: str) -> str:
    database = served.context.database
    with database.read() as tx:
        domain = tx.all(Domain, internal=False)[0]
    made = CreateRoute(domain_guid=domain.guid, space_guid=tenant.space, host=host, actor=SYSTEM)
    guid = (await database.write(create_route, made)).guid
    ends = [NewDestination(app_guid=app) for app in apps]
    await database.write(add_destinations, ChangeDestinations(route_guid=guid, destinations=ends, actor=SYSTEM))
    return guid


def left(served: Served) -> tuple[int, int]:
    with served.context.database.read() as tx:
        return tx.count(Route), tx.count(Destination)


async def deleted(http: httpx.AsyncClient, tenant: Tenant, app: str) -> int:
    return (await http.delete(f"/paasd/v1/spaces/{tenant.name}/dev/apps/{app}")).status_code


async def test_who_may_not_delete_an_app_takes_no_route_away(served: Served) -> None:
    tenant = await make_tenant(served, "one", "developer", "supporter")
    shop, cart = await tenant.started_app(served, "shop"), await tenant.started_app(served, "cart")
    await routed(served, tenant, "shop", shop)
    await routed(served, tenant, "both", shop, cart)
    before = left(served)
    async with tenant.client("supporter") as http:
        assert await deleted(http, tenant, "shop") == 403
    assert left(served) == before == (2, 3)
    async with tenant.client("developer") as http:
        assert await deleted(http, tenant, "shop") == 202
    assert left(served) == (1, 1), "a route that leads to another app stays"
