"""`/v3/audit_events`."""

from collections.abc import Sequence
from typing import Any

from paasd.api.answers import Answer, Links, Page, Reference, Shown
from paasd.api.call import Call, Reply
from paasd.api.listing import Listing, View, column, found_reply, list_reply
from paasd.api.table import Route, get
from paasd.model import AuditEvent


class Party(Answer):
    """Who did something, or to what it was done."""

    guid: str
    type: str
    name: str


class AuditEventShown(Shown):
    """Who did what to what."""

    type: str
    actor: Party
    target: Party
    data: dict[str, Any]
    space: Reference | None
    organization: Reference | None
    links: Links


def present_events(view: View, rows: Sequence[AuditEvent]) -> list[AuditEventShown]:
    """Who did what to what."""
    return [
        AuditEventShown(
            guid=row.guid,
            created_at=row.created_at,
            updated_at=row.updated_at,
            type=row.type,
            actor=Party(guid=row.actor_guid, type=row.actor_type, name=row.actor_name),
            target=Party(guid=row.target_guid, type=row.target_type, name=row.target_name),
            data=row.data,
            space=None if row.space_guid is None else Reference(guid=row.space_guid),
            organization=None if row.organization_guid is None else Reference(guid=row.organization_guid),
            links={"self": view.urls.link("audit_events", row.guid)},
        )
        for row in rows
    ]


EVENTS = Listing(
    record=AuditEvent,
    present=present_events,
    filters={
        "types": column("type"),
        "target_guids": column("target_guid"),
        "space_guids": column("space_guid"),
        "organization_guids": column("organization_guid"),
    },
    negated=("target_guids",),
    labels=False,
)


async def list_events(call: Call) -> Reply[Page[AuditEventShown]]:
    """All that the caller may see."""
    return await list_reply(call, EVENTS)


async def get_event(call: Call) -> Reply[AuditEventShown]:
    """One."""
    return found_reply(call, EVENTS)


ROUTES: tuple[Route, ...] = (
    get("/v3/audit_events", list_events, EVENTS.query),
    get("/v3/audit_events/<guid>", get_event),
)
