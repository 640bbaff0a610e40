"""Routes and where they lead; domains stand in `pages.py`."""

from msgspec import UNSET, UnsetType

from paasd.api.answers.basis import Answer, Links, Related
from paasd.api.answers.pages import Including
from paasd.api.words import Algorithm, DestinationProtocol, RouteProtocol


class DestinationProcessShown(Answer):
    """Which process type."""

    type: str


class DestinationAppShown(Answer):
    """Which app, and which process of it."""

    guid: str
    process: DestinationProcessShown


class DestinationShown(Answer):
    """Where a route leads."""

    guid: str
    created_at: str
    updated_at: str
    app: DestinationAppShown
    weight: int | None
    port: int
    protocol: DestinationProtocol


class DestinationsShown(Answer):
    """All destinations of a route."""

    destinations: list[DestinationShown]
    links: Links


class RouteOptions(Answer):
    """How requests are spread; what was not set is absent."""

    loadbalancing: Algorithm | UnsetType = UNSET
    hash_header: str | UnsetType = UNSET
    hash_balance: int | float | str | UnsetType = UNSET


class RouteRelations(Answer):
    """Where a route belongs."""

    space: Related
    domain: Related


class RouteShown(Including):
    """A route."""

    protocol: RouteProtocol
    host: str
    path: str
    port: int | None
    url: str
    options: RouteOptions
    destinations: list[DestinationShown]
    relationships: RouteRelations
