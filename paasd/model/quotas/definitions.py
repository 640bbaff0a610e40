"""Quotas of organizations and spaces: made, changed, taken away."""

from typing import Any, Final, TypeVar

import msgspec

from paasd.errors import Unprocessable
from paasd.model.arguments import Actor, Arguments
from paasd.model.auditing import difference
from paasd.model.jobs import open_job
from paasd.model.naming import check_name
from paasd.model.quotas.applying import (
    apply_to_organizations,
    apply_to_spaces,
    check_log_rates,
    quota_kind,
    record_quota_event,
)
from paasd.model.records import Job, Limits, Organization, OrganizationQuota, Space, SpaceQuota
from paasd.model.records.quotas import DEFAULT_QUOTA
from paasd.state import Duplicate, Tx, operation

PORTS: Final = (
    "Total reserved ports must be -1, 0, or a positive integer, and must be less than or equal to total routes."
)
Q = TypeVar("Q", OrganizationQuota, SpaceQuota)


class CreateOrganizationQuota(Arguments):
    """Arguments of `create_organization_quota`; it applies to the given organizations at once."""

    name: str
    limits: Limits = Limits()
    organization_guids: list[str] = []
    actor: Actor


@operation("organization_quota.create", version=1)
def create_organization_quota(tx: Tx, args: CreateOrganizationQuota) -> OrganizationQuota:
    """Raises Unprocessable for a taken name or an organization that there is not."""
    check_limits(args.limits)
    check_name(args.name)
    quota = OrganizationQuota(name=args.name, limits=args.limits)
    try:
        quota = tx.insert(quota)
    except Duplicate as error:
        raise Unprocessable(f"Organization Quota '{args.name}' already exists.") from error
    record_quota_event(tx, "create", args.actor, quota, {"limits": msgspec.to_builtins(quota.limits)})
    missing = "Organizations with guids {} do not exist, or you do not have access to them."
    apply_to_organizations(tx, quota, args.organization_guids, args.actor, missing)
    return quota


class CreateSpaceQuota(Arguments):
    """Arguments of `create_space_quota`; it applies to the given spaces of the organization at once."""

    name: str
    organization_guid: str
    limits: Limits = Limits()
    space_guids: list[str] = []
    actor: Actor


@operation("space_quota.create", version=1)
def create_space_quota(tx: Tx, args: CreateSpaceQuota) -> SpaceQuota:
    """Raises NotFound for the organization, Unprocessable for a taken name or a space that is not in it."""
    check_limits(args.limits)
    check_name(args.name)
    if tx.need(Organization, args.organization_guid).deleting:
        raise Unprocessable("The organization is being deleted.")
    quota = SpaceQuota(name=args.name, organization_guid=args.organization_guid, limits=args.limits)
    try:
        quota = tx.insert(quota)
    except Duplicate as error:
        raise Unprocessable(f"Space Quota '{args.name}' already exists.") from error
    record_quota_event(tx, "create", args.actor, quota, {"limits": msgspec.to_builtins(quota.limits)})
    apply_to_spaces(tx, quota, args.space_guids, args.actor)
    return quota


class UpdateQuota(Arguments):
    """Arguments of `update_organization_quota` and `update_space_quota`. `limits` holds those that change by name."""

    quota_guid: str
    name: str | None = None
    limits: dict[str, int | bool | None] = {}
    actor: Actor


@operation("organization_quota.update", version=1)
def update_organization_quota(tx: Tx, args: UpdateQuota) -> OrganizationQuota:
    """Lower than what is used is fine: nothing stops, only growth is refused. Raises NotFound, Unprocessable."""
    quota = tx.need(OrganizationQuota, args.quota_guid)
    return _update(tx, quota, args, tx.all(Organization, quota_guid=quota.guid, order=("name",)))


@operation("space_quota.update", version=1)
def update_space_quota(tx: Tx, args: UpdateQuota) -> SpaceQuota:
    """Likewise."""
    quota = tx.need(SpaceQuota, args.quota_guid)
    return _update(tx, quota, args, tx.all(Space, quota_guid=quota.guid, order=("name",)))


def _update(tx: Tx, quota: Q, args: UpdateQuota, places: list[Any]) -> Q:
    limits = msgspec.structs.replace(quota.limits, **args.limits)
    check_limits(limits)
    check_log_rates(tx, quota.limits, limits, places)
    name = quota.name if args.name is None else args.name
    if name != quota.name:
        check_name(name)
    former = quota
    try:
        quota = tx.update(quota, name=name, limits=limits)
    except Duplicate as error:
        kind = "Space" if isinstance(quota, SpaceQuota) else "Organization"
        raise Unprocessable(f"{kind} Quota '{name}' already exists.") from error
    told = {"name": args.name, "limits": args.limits, **difference(former, quota)}
    record_quota_event(tx, "update", args.actor, quota, told)
    return quota


class DeleteQuota(Arguments):
    """Arguments of `delete_organization_quota` and `delete_space_quota`."""

    quota_guid: str
    actor: Actor


@operation("organization_quota.delete", version=1)
def delete_organization_quota(tx: Tx, args: DeleteQuota) -> Job:
    """The job is complete when this returns. Raises NotFound, and Unprocessable while it applies to something."""
    quota = tx.need(OrganizationQuota, args.quota_guid)
    if tx.exists(Organization, quota_guid=quota.guid):
        raise Unprocessable(
            "This quota is applied to one or more organizations. "
            "Apply different quotas to those organizations before deleting."
        )
    if quota.guid == DEFAULT_QUOTA:
        raise Unprocessable("This is the quota of new organizations and cannot be deleted.")
    return _delete(tx, quota, args.actor)


@operation("space_quota.delete", version=1)
def delete_space_quota(tx: Tx, args: DeleteQuota) -> Job:
    """Likewise."""
    quota = tx.need(SpaceQuota, args.quota_guid)
    if tx.exists(Space, quota_guid=quota.guid):
        raise Unprocessable(
            "This quota is applied to one or more spaces. Remove this quota from all spaces before deleting."
        )
    return _delete(tx, quota, args.actor)


def _delete(tx: Tx, quota: OrganizationQuota | SpaceQuota, actor: Actor) -> Job:
    tx.delete(quota)
    record_quota_event(tx, "delete", actor, quota, {"limits": msgspec.to_builtins(quota.limits)})
    kind = quota_kind(quota)
    return open_job(tx, f"{kind}.delete", resource_type=kind, resource_guid=quota.guid, state="COMPLETE", by=actor)


def check_limits(limits: Limits) -> None:
    """Raise Unprocessable for limits that contradict each other."""
    ports, routes = limits.total_reserved_ports, limits.total_routes
    if ports is not None and routes is not None and ports > routes:
        raise Unprocessable(PORTS)
