"""Whether an answer is what its handler says that it answers with: nothing more, nothing less, nothing of another type.

The clients of `serving.py` and of the walk over all tenants ask it of every JSON answer that they see.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import httpx
import msgspec

from paasd.api.answers import Errors, OAuthRefusal
from paasd.api.openapi.answers import answers_of
from paasd.api.openapi.paths import PLACE
from paasd.api.routes import make_route_table

JSON = "application/json"


def check(method: str, path: str, status: int, body: bytes) -> None:
    """Raise AssertionError for JSON that is not as described. Addresses that there are not are answered by Errors."""
    handler = handler_of(method, path)
    answers = None if handler is None else answers_of(handler)
    if status < 400 and answers is not None:
        kinds = list(answers.structs)
    else:
        kinds = [Errors, OAuthRefusal, *(answers.refused if answers else ())]
    problems = [problem for kind in kinds if (problem := _problem(body, kind))]
    assert kinds and len(problems) < len(kinds), f"{method} {path} {status}: {problems or 'JSON'} in {body[:500]!r}"


async def conforms(response: httpx.Response) -> None:
    """A hook of an HTTP client."""
    if response.headers.get("Content-Type") == JSON:
        await response.aread()
        if response.content:
            check(response.request.method, response.request.url.path, response.status_code, response.content)


def handler_of(method: str, path: str) -> Callable[..., Any] | None:
    """Whom a path leads to; fixed parts go before names."""
    fixed, open_ = _handlers()
    if (method, path) in fixed:
        return fixed[method, path]
    return next((handler for one, pattern, handler in open_ if one == method and pattern.fullmatch(path)), None)


@cache
def _handlers() -> tuple[dict[tuple[str, str], Any], list[tuple[str, re.Pattern[str], Any]]]:
    fixed, open_ = {}, []
    for route in sorted(make_route_table(), key=lambda one: one.path.count("<")):
        if "<" not in route.path:
            fixed[route.method, route.path] = route.handler
        else:
            open_.append((route.method, re.compile(PLACE.sub("[^/]+", route.path)), route.handler))
    return fixed, open_


def _problem(body: bytes, kind: Any) -> str | None:
    try:
        msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        return str(error)
    return None
