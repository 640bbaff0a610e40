"""The route table: every call that the API serves, as data. Quart's routes are made from it and tests walk it."""

from collections.abc import Awaitable, Callable, Iterator
from enum import Enum
from typing import Any

import msgspec

from paasd.api.call import Call, Reply
from paasd.api.query import QuerySpec

Handler = Callable[[Call], Awaitable[Reply[Any]]]


class Auth(Enum):
    """Who may reach a handler."""

    NONE = "nobody needs to sign in"
    BEARER = "an access token, or root on the Unix socket"
    BASIC = "an access token or name and password, or root on the Unix socket"


class Size(Enum):
    """How large a body may be: the named limits of the configuration."""

    SMALL = "api.body_limit_bytes"
    UPLOAD = "api.upload_limit_bytes"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One method on one path (`/v3/apps/<guid>`). `permission` says in words what the action behind it demands."""

    method: str
    path: str
    handler: Handler
    auth: Auth = Auth.BEARER
    size: Size = Size.SMALL
    limit_bytes: int = 0
    """Of the body, where it is not the configured limit."""
    query: QuerySpec = QuerySpec()
    permission: str = "visible to the caller"
    any_query: bool = False
    waits: bool = True
    """Whether it is called only when what any node acknowledged can be read here, or that takes too long."""


def get(path: str, handler: Handler, query: QuerySpec | None = None, **more: object) -> Route:
    """A GET route."""
    return _route("GET", path, handler, query, more)


def post(path: str, handler: Handler, query: QuerySpec | None = None, **more: object) -> Route:
    """A POST route."""
    return _route("POST", path, handler, query, more)


def patch(path: str, handler: Handler, query: QuerySpec | None = None, **more: object) -> Route:
    """A PATCH route."""
    return _route("PATCH", path, handler, query, more)


def put(path: str, handler: Handler, query: QuerySpec | None = None, **more: object) -> Route:
    """A PUT route."""
    return _route("PUT", path, handler, query, more)


def delete(path: str, handler: Handler, query: QuerySpec | None = None, **more: object) -> Route:
    """A DELETE route."""
    return _route("DELETE", path, handler, query, more)


def _route(method: str, path: str, handler: Handler, query: QuerySpec | None, more: dict[str, object]) -> Route:
    return Route(method=method, path=path, handler=handler, query=query or QuerySpec(), **more)  # type: ignore[arg-type]


class RouteTable:
    """All routes; refuses two for one method and path."""

    def __init__(self, *groups: tuple[Route, ...]) -> None:
        self._routes: dict[tuple[str, str], Route] = {}
        for group in groups:
            for route in group:
                if (route.method, route.path) in self._routes:
                    raise ValueError(f"{route.method} {route.path} stands twice in the route table")
                self._routes[route.method, route.path] = route

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes.values())

    def __len__(self) -> int:
        return len(self._routes)
