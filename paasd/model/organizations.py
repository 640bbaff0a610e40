"""Organizations: created and renamed at once, taken away in chunks."""

from typing import Any

from paasd.errors import Unprocessable
from paasd.model.arguments import Actor, Arguments, Metadata
from paasd.model.auditing import difference
from paasd.model.events import record_event
from paasd.model.jobs import OPEN_STATES, open_job
from paasd.model.metadata import merge_metadata
from paasd.model.records import Job, Organization, Space
from paasd.model.roles import CreateRole, create_role
from paasd.model.spaces import hide_space
from paasd.state import Duplicate, In, Tx, operation

DELETE_DEADLINE_S = 3600


class CreateOrganization(Arguments):
    """Arguments of `create_organization`."""

    name: str
    suspended: bool = False
    metadata: Metadata | None = None
    manager_guid: str | None = None
    actor: Actor


@operation("organization.create", version=1)
def create_organization(tx: Tx, args: CreateOrganization) -> Organization:
    """With its first manager, if one is named. Raises Unprocessable when the name is taken."""
    try:
        organization = tx.insert(Organization(name=args.name, suspended=args.suspended))
    except Duplicate as error:
        raise Unprocessable(f"Organization '{args.name}' already exists.") from error
    merge_metadata(tx, "organization", organization.guid, args.metadata)
    _event(tx, "audit.organization.create", args.actor, organization)
    for role in () if args.manager_guid is None else ("organization_user", "organization_manager"):
        first = CreateRole(
            type=role, user_guid=args.manager_guid or "", organization_guid=organization.guid, actor=args.actor
        )
        create_role(tx, first)
    return organization


class UpdateOrganization(Arguments):
    """Arguments of `update_organization`; None leaves a field as it is."""

    organization_guid: str
    name: str | None = None
    suspended: bool | None = None
    metadata: Metadata | None = None
    actor: Actor


@operation("organization.update", version=1)
def update_organization(tx: Tx, args: UpdateOrganization) -> Organization:
    """Raises NotFound, or Unprocessable when the new name is taken."""
    organization = former = tx.need(Organization, args.organization_guid)
    name = organization.name if args.name is None else args.name
    suspended = organization.suspended if args.suspended is None else args.suspended
    try:
        organization = tx.update(organization, name=name, suspended=suspended)
    except Duplicate as error:
        raise Unprocessable(f"Organization '{args.name}' already exists.") from error
    relabelled = merge_metadata(tx, "organization", organization.guid, args.metadata)
    _event(tx, "audit.organization.update", args.actor, organization, difference(former, organization, relabelled))
    return organization


class DeleteOrganization(Arguments):
    """Arguments of `begin_delete_organization`."""

    organization_guid: str
    actor: Actor


@operation("organization.begin_delete", version=1)
def begin_delete_organization(tx: Tx, args: DeleteOrganization) -> Job:
    """Hide the organization and everything in it, stop its apps and open the job under which it is taken away."""
    organization = tx.need(Organization, args.organization_guid)
    job = tx.find(Job, In("state", OPEN_STATES), resource_guid=organization.guid, operation="organization.delete")
    if job is not None:
        return job
    tx.update(organization, deleting=True)
    for space in tx.all(Space, organization_guid=organization.guid):
        hide_space(tx, space)
    _event(tx, "audit.organization.delete-request", args.actor, organization)
    return open_job(
        tx,
        "organization.delete",
        resource_type="organization",
        resource_guid=organization.guid,
        deadline_s=DELETE_DEADLINE_S,
        by=args.actor,
    )


def _event(
    tx: Tx, event_type: str, actor: Actor, organization: Organization, data: dict[str, Any] | None = None
) -> None:
    record_event(
        tx,
        event_type,
        actor,
        target_type="organization",
        target_guid=organization.guid,
        target_name=organization.name,
        organization_guid=organization.guid,
        data=data,
    )
