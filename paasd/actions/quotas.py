"""Quotas: those of organizations are the administrators', those of spaces the organization managers'."""

from collections.abc import Sequence
from typing import Any

import msgspec

from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import Permission, authorise_admin, authorise_in_organization
from paasd.actions.visibility import need_visible, or_unprocessable, visible
from paasd.auth import Caller
from paasd.model import Job, Limits, Organization, OrganizationQuota, Space, SpaceQuota
from paasd.model.quotas import applying, definitions
from paasd.state import In, ReadTx

Changes = dict[str, int | bool | None]


async def create_for_organizations(
    context: Context, caller: Caller, *, name: str, limits: Changes, organization_guids: list[str]
) -> OrganizationQuota:
    """Administrators only. Raises Unprocessable."""
    authorise_admin(caller)
    arguments = definitions.CreateOrganizationQuota(
        name=name,
        limits=msgspec.structs.replace(Limits(), **limits),
        organization_guids=organization_guids,
        actor=actor_of(caller),
    )
    return await context.database.write(definitions.create_organization_quota, arguments)


async def create_for_spaces(
    context: Context, caller: Caller, *, name: str, organization_guid: str, limits: Changes, space_guids: list[str]
) -> SpaceQuota:
    """Raises Unprocessable for an organization or spaces that cannot be seen, Forbidden."""
    with context.database.read() as tx:
        text = f"Organization with guid '{organization_guid}' does not exist, or you do not have access to it."
        with or_unprocessable(text):
            need_visible(tx, caller, Organization, organization_guid)
        authorise_in_organization(tx, caller, organization_guid, Permission.MANAGE_ORGANIZATION)
        _check_spaces(tx, caller, space_guids)
    arguments = definitions.CreateSpaceQuota(
        name=name,
        organization_guid=organization_guid,
        limits=msgspec.structs.replace(Limits(), **limits),
        space_guids=space_guids,
        actor=actor_of(caller),
    )
    return await context.database.write(definitions.create_space_quota, arguments)


async def update(
    context: Context, caller: Caller, quota: OrganizationQuota | SpaceQuota, *, name: str | None, limits: Changes
) -> Any:
    """A quota that the caller sees. Raises Forbidden, Unprocessable."""
    _authorise(context, caller, quota)
    operation: Any = definitions.update_organization_quota
    if isinstance(quota, SpaceQuota):
        operation = definitions.update_space_quota
    arguments = definitions.UpdateQuota(quota_guid=quota.guid, name=name, limits=limits, actor=actor_of(caller))
    return await context.database.write(operation, arguments)


async def delete(context: Context, caller: Caller, quota: OrganizationQuota | SpaceQuota) -> Job:
    """Raises Forbidden, and Unprocessable while it applies to something."""
    _authorise(context, caller, quota)
    operation = definitions.delete_organization_quota
    if isinstance(quota, SpaceQuota):
        operation = definitions.delete_space_quota
    return await context.database.write(
        operation, definitions.DeleteQuota(quota_guid=quota.guid, actor=actor_of(caller))
    )


async def apply(
    context: Context, caller: Caller, quota: OrganizationQuota | SpaceQuota, guids: list[str]
) -> Sequence[str]:
    """To these organizations or spaces; the guids of all that have it then. Raises Forbidden, Unprocessable."""
    _authorise(context, caller, quota)
    arguments = applying.ApplyQuota(quota_guid=quota.guid, guids=guids, actor=actor_of(caller))
    if isinstance(quota, OrganizationQuota):
        return await context.database.write(applying.apply_organization_quota, arguments)
    with context.database.read() as tx:
        _check_spaces(tx, caller, guids)
    return await context.database.write(applying.apply_space_quota, arguments)


async def remove(context: Context, caller: Caller, quota: SpaceQuota, space_guid: str) -> None:
    """Raises Forbidden, and Unprocessable unless the space has this quota."""
    _authorise(context, caller, quota)
    arguments = applying.RemoveSpaceQuota(quota_guid=quota.guid, space_guid=space_guid, actor=actor_of(caller))
    await context.database.write(applying.remove_space_quota, arguments)


def _authorise(context: Context, caller: Caller, quota: OrganizationQuota | SpaceQuota) -> None:
    if isinstance(quota, OrganizationQuota):
        authorise_admin(caller)
        return
    with context.database.read() as tx:
        authorise_in_organization(tx, caller, quota.organization_guid, Permission.MANAGE_ORGANIZATION)


def _check_spaces(tx: ReadTx, caller: Caller, guids: list[str]) -> None:
    """Spaces that one may not see are none, in the same words."""
    seen = {row.guid for row in tx.all(Space, In("guid", guids), *visible(tx, caller, Space))}
    applying.check_found(guids, seen, applying.NO_SPACES)
