"""Which route a request's path belongs to: the paths of a table, compiled once in a process and shared by its apps."""

from collections.abc import Callable
from functools import lru_cache

from quart.routing import QuartMap, QuartRule

from paasd.api.table import Route, RouteTable


class _OneWayRule(QuartRule):
    """Nobody asks for the URL of an endpoint; what could tell would take most of the time of making the map."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        return lambda *_: ("", "")


def endpoint(route: Route) -> str:
    """The name under which the app finds what answers."""
    return f"{route.method} {route.path}"


@lru_cache(maxsize=2)
def compiled(table: RouteTable) -> QuartMap:
    """Nothing is added to it once it is made, so that one serves every app of the process."""
    found = QuartMap(merge_slashes=False)
    for route in table:
        found.add(_OneWayRule(route.path, methods=[route.method], endpoint=endpoint(route), strict_slashes=True))
    found.update()
    return found
