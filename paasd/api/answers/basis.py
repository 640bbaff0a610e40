"""Shapes of answers that many calls share."""

from typing import Literal

import msgspec

from paasd.api.words import Method

Html = Literal["text/html"]
Lines = Literal["text/plain", "application/x-ndjson"]
"""For people, or for programs that ask for JSON."""


class Answer(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of what is sent. Closed: there is nothing in an answer that does not stand in its struct."""


class Refusal(Answer):
    """Base of what is sent instead when a call is refused (4xx)."""


class Nothing(Answer):
    """`{}`, where clients want JSON and there is nothing to tell; an element of lists that are always empty."""


class Link(Answer):
    """Where something is."""

    href: str
    method: Method | msgspec.UnsetType = msgspec.UNSET


Links = dict[str, Link]


class Pagination(Answer):
    """Which page of a list this is. The links repeat every parameter that was sent."""

    total_results: int
    total_pages: int
    first: Link | None
    last: Link | None
    next: Link | None
    previous: Link | None


class ErrorObject(Answer):
    """One thing that is wrong."""

    code: int
    title: str
    detail: str


class Errors(Refusal):
    """Why a call was refused."""

    errors: list[ErrorObject]


class OAuthRefusal(Refusal):
    """Why sign-in was refused, in OAuth's form."""

    error: str
    error_description: str


class Reference(Answer):
    """Something else, by its guid."""

    guid: str


class Related(Answer):
    """A relationship to one resource or to none."""

    data: Reference | None


class RelatedMany(Answer):
    """A relationship to several."""

    data: list[Reference]


class LinkedRelation(Related):
    """A relationship that was asked for by itself."""

    links: Links


class LinkedMany(RelatedMany):
    """Likewise to several."""

    links: Links


class MetadataShown(Answer):
    """Labels, which lists select by, and annotations."""

    labels: dict[str, str]
    annotations: dict[str, str]


class Shown(Answer):
    """What every resource has. Times in RFC 3339, whole seconds."""

    guid: str
    created_at: str
    updated_at: str


class Described(Shown):
    """What has metadata, too."""

    metadata: MetadataShown
    links: Links


class OfApp(Answer):
    """The relationships of what belongs to an app."""

    app: Related


class FeatureShown(Answer):
    """A feature of an app or a space."""

    name: str
    description: str
    enabled: bool
