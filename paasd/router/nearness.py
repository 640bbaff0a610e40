"""Which of a route's instances are asked first: those in the zone of the node that got the request. Pure.

Envoy takes endpoints of the first priority only, and those of the next when the first has none left, or when a request
is tried again. So a zone whose instances are gone costs no request, and traffic crosses zones only when it must.
"""

from collections import Counter
from collections.abc import Sequence

from paasd.router.records import Endpoint

_SCALE = 100
Tier = tuple[tuple[Endpoint, int], ...]


def distance(ours: str, theirs: str) -> int:
    """0 in the same zone, 1 in the same cloud or data centre (the label's first part), 2 beyond."""
    if ours == theirs:
        return 0
    return 1 if ours.split("/", 1)[0] == theirs.split("/", 1)[0] else 2


def tiers(endpoints: Sequence[Endpoint]) -> list[Tier]:
    """The endpoints with their weights, nearest tier first; none is empty.

    A route that is split between several apps keeps its shares: its first tier reaches as far as it must to have some
    of each, and weighs what it has of an app as if all of the app's instances were in it.
    """
    everywhere = Counter(_app(endpoint) for endpoint in endpoints)
    distances = sorted({endpoint.distance for endpoint in endpoints})
    first = next((d for d in distances if _apps_within(endpoints, d) == everywhere.keys()), None)
    if first is None:
        return []
    nearest = [endpoint for endpoint in endpoints if endpoint.distance <= first]
    present = Counter(_app(endpoint) for endpoint in nearest)
    if len(everywhere) == 1 or present == everywhere:
        found = [tuple((endpoint, endpoint.weight) for endpoint in nearest)]
    else:
        found = [
            tuple(
                (one, max(1, round(one.weight * _SCALE * everywhere[_app(one)] / present[_app(one)])))
                for one in nearest
            )
        ]
    for further in distances:
        if further > first:
            found.append(tuple((one, one.weight) for one in endpoints if one.distance == further))
    return found


def _app(endpoint: Endpoint) -> tuple[str, str]:
    return endpoint.app_guid, endpoint.process_type


def _apps_within(endpoints: Sequence[Endpoint], limit: int) -> set[tuple[str, str]]:
    return {_app(endpoint) for endpoint in endpoints if endpoint.distance <= limit}
