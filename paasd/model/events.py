"""Audit events: written by the operation that made the change, in the same transaction."""

from typing import Any

from paasd.model.arguments import Actor
from paasd.model.auditing import append
from paasd.model.records import App, AuditEvent, Space, User
from paasd.state import Tx


def record_event(
    tx: Tx,
    event_type: str,
    actor: Actor,
    *,
    target_type: str,
    target_guid: str,
    target_name: str,
    space_guid: str | None = None,
    organization_guid: str | None = None,
    data: dict[str, Any] | None = None,
) -> AuditEvent:
    """Add one event to its chains; the organization is looked up from the space when it is not given."""
    if organization_guid is None and space_guid is not None:
        space = tx.get(Space, space_guid)
        organization_guid = None if space is None else space.organization_guid
    event = AuditEvent(
        guid=tx.guid(),
        created_at=tx.now,
        updated_at=tx.now,
        type=event_type,
        actor_guid=actor.guid,
        actor_type=actor.type,
        actor_name=actor.name,
        target_guid=target_guid,
        target_type=target_type,
        target_name=target_name,
        space_guid=space_guid,
        organization_guid=organization_guid,
        data=data or {},
        address=actor.address,
        client=actor.client,
        request_id=actor.request_id,
    )
    return append(tx, event)


def record_app_event(tx: Tx, event_type: str, actor: Actor, app: App, data: dict[str, Any] | None = None) -> AuditEvent:
    """An event whose target is an app."""
    return record_event(
        tx,
        event_type,
        actor,
        target_type="app",
        target_guid=app.guid,
        target_name=app.name,
        space_guid=app.space_guid,
        data=data,
    )


def record_user_event(
    tx: Tx, event_type: str, actor: Actor | None, user: User, data: dict[str, Any] | None = None
) -> AuditEvent:
    """An event whose target is a user; without `actor` they did it themselves."""
    return record_event(
        tx,
        event_type,
        actor or Actor(guid=user.guid, type="user", name=user.username),
        target_type="user",
        target_guid=user.guid,
        target_name=user.username,
        data=data,
    )
