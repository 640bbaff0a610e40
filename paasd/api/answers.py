"""Shapes of answers that many calls share, as structs: what is sent is encoded from them, and the description of the
API shows them. Closed: there is nothing in an answer that does not stand here.
"""

from typing import Any

import msgspec


class Answer(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of what is sent."""


class Link(Answer):
    """Where something is."""

    href: str
    method: str | msgspec.UnsetType = msgspec.UNSET


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


class Errors(Answer):
    """Why a call was refused."""

    errors: list[ErrorObject]


class LogRefusal(Answer):
    """Why a call of the log door was refused, in the form of its own."""

    error: str
    code: int
    message: str


class Reference(Answer):
    """Something else, by its guid."""

    guid: str


class Party(Answer):
    """Who did something, or to what it was done."""

    guid: str
    type: str
    name: str


class AuditEventShown(Answer):
    """An audit event in Cloud Foundry's form."""

    guid: str
    created_at: str
    updated_at: str
    type: str
    actor: Party
    target: Party
    data: dict[str, Any]
    space: Reference | None
    organization: Reference | None
    links: dict[str, Link]


class AuditHead(Answer):
    """Number and hash of the newest event of a chain."""

    chain: str
    organization: str
    sequence: int
    hash: str
    head: str


class AuditVerdict(Answer):
    """What checking a chain found; `problem` is null when every event is there and as it was."""

    chain: str
    organization: str
    events: int
    first: int
    former: int
    head: str
    problem: str | None
