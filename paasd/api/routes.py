"""Every call that the API serves, in one table."""

from functools import cache

from paasd.api import logcache, networking, paasd_v1, router_groups, uaa, v3
from paasd.api.table import RouteTable


@cache
def make_route_table() -> RouteTable:
    """The table from which the app is made and which tests walk; there is one, which nobody changes."""
    outside = (networking.ROUTES, router_groups.ROUTES)
    return RouteTable(v3.ROUTES, uaa.ROUTES, logcache.ROUTES, *outside, paasd_v1.ROUTES)
