"""The description of all calls, for programs that make clients, pages or tests from it."""

from functools import cache

import msgspec
import trio

from paasd.api.call import Call, Reply
from paasd.api.openapi.paths import Description
from paasd.api.table import Auth, Route, get


@cache
def _description(version: str) -> bytes:
    # Here, because the table of all routes has the one below in it. Made from code alone, so a cache and not state.
    from paasd.api.openapi import describe
    from paasd.api.routes import make_route_table

    return msgspec.json.encode(describe(make_route_table(), version))


async def openapi(call: Call) -> Reply[Description]:
    """Every call in OpenAPI 3.1."""
    return Reply(raw=await trio.to_thread.run_sync(_description, call.platform.version))


ROUTES: tuple[Route, ...] = (get("/paasd/v1/openapi.json", openapi, auth=Auth.NONE),)
