"""Spaces: created and renamed at once, taken away in chunks."""

from typing import Any

from paasd.errors import Unprocessable
from paasd.model.arguments import Actor, Arguments, Metadata
from paasd.model.auditing import difference
from paasd.model.events import record_event
from paasd.model.jobs import OPEN_STATES, open_job
from paasd.model.metadata import merge_metadata
from paasd.model.records import Job, Organization, Space
from paasd.state import Duplicate, In, Tx, operation

DELETE_DEADLINE_S = 3600


class CreateSpace(Arguments):
    """Arguments of `create_space`."""

    name: str
    organization_guid: str
    metadata: Metadata | None = None
    actor: Actor


@operation("space.create", version=1)
def create_space(tx: Tx, args: CreateSpace) -> Space:
    """Raises NotFound for the organization, Unprocessable when the name is taken in it."""
    organization = tx.need(Organization, args.organization_guid)
    if organization.deleting:
        raise Unprocessable(f"Organization '{organization.name}' is being deleted.")
    try:
        space = tx.insert(Space(name=args.name, organization_guid=args.organization_guid))
    except Duplicate as error:
        raise Unprocessable("Name must be unique per organization") from error
    merge_metadata(tx, "space", space.guid, args.metadata)
    _event(tx, "audit.space.create", args.actor, space)
    return space


class UpdateSpace(Arguments):
    """Arguments of `update_space`; None leaves a field as it is."""

    space_guid: str
    name: str | None = None
    allow_ssh: bool | None = None
    metadata: Metadata | None = None
    actor: Actor


@operation("space.update", version=1)
def update_space(tx: Tx, args: UpdateSpace) -> Space:
    """Raises NotFound, or Unprocessable when the new name is taken."""
    space = former = tx.need(Space, args.space_guid)
    name = space.name if args.name is None else args.name
    allow_ssh = space.allow_ssh if args.allow_ssh is None else args.allow_ssh
    try:
        space = tx.update(space, name=name, allow_ssh=allow_ssh)
    except Duplicate as error:
        raise Unprocessable("Name must be unique per organization") from error
    relabelled = merge_metadata(tx, "space", space.guid, args.metadata)
    _event(tx, "audit.space.update", args.actor, space, difference(former, space, relabelled))
    return space


class DeleteSpace(Arguments):
    """Arguments of `begin_delete_space`."""

    space_guid: str
    actor: Actor


@operation("space.begin_delete", version=1)
def begin_delete_space(tx: Tx, args: DeleteSpace) -> Job:
    """Hide the space and open the job under which its contents and it are taken away."""
    space = tx.need(Space, args.space_guid)
    job = tx.find(Job, In("state", OPEN_STATES), resource_guid=space.guid, operation="space.delete")
    if job is not None:
        return job
    hide_space(tx, space)
    _event(tx, "audit.space.delete-request", args.actor, space)
    return open_job(
        tx,
        "space.delete",
        resource_type="space",
        resource_guid=space.guid,
        deadline_s=DELETE_DEADLINE_S,
        by=args.actor,
    )


def hide_space(tx: Tx, space: Space) -> None:
    """Mark the space; its apps are hidden with it and follow in chunks."""
    if not space.deleting:
        tx.update(space, deleting=True)


def _event(tx: Tx, event_type: str, actor: Actor, space: Space, data: dict[str, Any] | None = None) -> None:
    record_event(
        tx,
        event_type,
        actor,
        target_type="space",
        target_guid=space.guid,
        target_name=space.name,
        space_guid=space.guid,
        organization_guid=space.organization_guid,
        data=data,
    )
