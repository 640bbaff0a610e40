"""A filter that a list takes is one that it looks at: what suits nothing finds nothing, or is refused."""

from typing import Any, Final

from paasd.api.openapi.paths import PLACE
from paasd.api.routes import make_route_table
from tests.api.calls import Caller

NOTHING: Final = "there-is-no-such-value"
# What says how, not which.
SHAPE: Final = frozenset({"embed", "page", "results-per-page", "order-direction"})


async def total(caller: Caller, url: str) -> int | None:
    """How many there are in a list; None for what is refused or none."""
    answer = await caller.http.get(url)
    body: Any = answer.json() if answer.headers.get("Content-Type") == "application/json" else {}
    if not isinstance(body, dict) or "pagination" not in body:
        return None
    return int(body["pagination"]["total_results"])


async def test_true_and_false_are_true_and_false(caller: Caller) -> None:
    assert await total(caller, "/v3/stacks?default=true") == 1
    assert await total(caller, "/v3/stacks?default=false") == 2
    assert await total(caller, "/v3/stacks?label_selector=!env") == 3
    answer = await caller.http.get("/v3/security_groups?globally_enabled_running=yes")
    said = "The query parameter is invalid: Globally enabled running must be 'true' or 'false'"
    assert (answer.status_code, answer.json()["errors"][0]["detail"]) == (400, said)


async def test_no_list_passes_over_a_filter(caller: Caller) -> None:
    lists, ignored = 0, []
    for route in make_route_table():
        if route.method != "GET" or not route.query.pages:
            continue
        places = await caller.shown(route.path)
        url = PLACE.sub(lambda match, known=places: known.get(match[1], "none"), route.path)  # type: ignore[misc]
        if not await total(caller, url):
            continue
        lists += 1
        asked = [f"{name}={NOTHING}" for name in (*route.query.filters, *route.query.plain) if name not in SHAPE]
        asked += [f"label_selector={NOTHING}"] * route.query.labels
        asked += [f"{name}[lt]=1970-01-01T00:00:00Z" for name in ("created_ats", "updated_ats") if route.query.times]
        ignored += [f"{url}?{one}" for one in asked if await total(caller, f"{url}?{one}")]
    assert ignored == []
    assert lists > 20
