"""docs/api.md: which calls work, from the route table and from what the tests of it could and could not reach.

python -m tests.api.page        write it anew
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from paasd.api.openapi.bodies import body_of
from paasd.api.openapi.paths import family, summary
from paasd.api.routes import make_route_table
from paasd.api.table import Route
from tests.api.reached import elsewhere

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
EMPTY = frozenset({"none_of_them", "no_security_groups"})
"""Handlers that answer with an empty list: clients ask for what there is none of."""
REFUSING = frozenset({"refuse_deployment"})
"""Handlers that say what there is instead, to which no client can be called compatible."""
COMPLETE = 250
HEAD = """# Which calls work

Made from the route table by `python -m tests.api.page`; a test compares. The same in OpenAPI 3.1, with parameters and
bodies: `GET /paasd/v1/openapi.json`, which needs no sign-in.

paasd is compatible with a subset of Cloud Foundry's v3 API: {v3} operations of it are below, of about {complete} that
there are. What is not here is answered with 404 `Unknown request`. What sign-in offers stands both at the top and below
`/uaa`.

*works* means: a test calls it as it is described and gets a 2xx ({file}), and calls that
are made up from the description neither break it nor get what is not described. *empty* means: there is nothing of this
kind on paasd, and clients that ask get an empty list. Elsewhere the test is named.
"""


def page() -> str:
    """All of it."""
    routes = [route for route in make_route_table() if not route.path.startswith("/uaa")]
    groups: dict[str, list[Route]] = defaultdict(list)
    for route in routes:
        groups[family(route.path)].append(route)
    v3 = sum(1 for route in routes if route.path.startswith("/v3") and route.handler.__name__ not in EMPTY | REFUSING)
    parts = [HEAD.format(v3=v3, complete=COMPLETE, file="tests/api/test_openapi.py")]
    parts += [_group(name, group) for name, group in groups.items()]
    return "\n".join(parts)


def _group(name: str, routes: Iterable[Route]) -> str:
    lines = [f"## {name}", "", "| call | what | for | body | |", "|---|---|---|---|---|"]
    for route in routes:
        form = body_of(route.handler)
        cells = (
            f"`{route.method} {route.path}`",
            summary(route).replace("|", "\\|"),
            route.permission,
            "" if form is None else form.__name__,
            _state(route),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _state(route: Route) -> str:
    if route.handler.__name__ in EMPTY:
        return "empty"
    return elsewhere(route) or "works"


if __name__ == "__main__":
    PAGE.write_text(page())
