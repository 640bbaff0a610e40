"""Organizations: made and taken away by administrators, renamed by their managers."""

from paasd.actions import flags
from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import Permission, authorise_admin, authorise_in_organization
from paasd.actions.visibility import need_visible
from paasd.auth import Caller
from paasd.model import Job, Organization
from paasd.model import organizations as model
from paasd.model.arguments import Metadata
from paasd.model.naming import check_name


async def create(
    context: Context, caller: Caller, *, name: str, suspended: bool = False, metadata: Metadata | None = None
) -> Organization:
    """Administrators, and where user_org_creation is on everybody, who manages it then. Raises Unprocessable."""
    with context.database.read() as tx:
        own = not caller.admin and not flags.disabled(tx, caller, "user_org_creation")
    if not own:
        authorise_admin(caller)
    check_name(name)
    arguments = model.CreateOrganization(
        name=name,
        suspended=suspended,
        metadata=metadata,
        manager_guid=caller.user_guid if own else None,
        actor=actor_of(caller),
    )
    return await context.database.write(model.create_organization, arguments)


async def update(
    context: Context,
    caller: Caller,
    organization_guid: str,
    *,
    name: str | None = None,
    suspended: bool | None = None,
    metadata: Metadata | None = None,
) -> Organization:
    """Managers may rename and label; only administrators suspend."""
    with context.database.read() as tx:
        former = need_visible(tx, caller, Organization, organization_guid)
        authorise_in_organization(tx, caller, organization_guid, Permission.MANAGE_ORGANIZATION)
    if suspended is not None:
        authorise_admin(caller)
    if name not in (None, former.name):
        check_name(name)
    arguments = model.UpdateOrganization(
        organization_guid=organization_guid, name=name, suspended=suspended, metadata=metadata, actor=actor_of(caller)
    )
    return await context.database.write(model.update_organization, arguments)


async def delete(context: Context, caller: Caller, organization_guid: str) -> Job:
    """Administrators only; everything inside goes too. Who asks again meanwhile gets the job that is at work."""
    with context.database.read() as tx:
        going = tx.find(Organization, guid=organization_guid, deleting=True) if caller.admin else None
        if going is None:
            need_visible(tx, caller, Organization, organization_guid)
    authorise_admin(caller)
    arguments = model.DeleteOrganization(organization_guid=organization_guid, actor=actor_of(caller))
    return await context.database.write(model.begin_delete_organization, arguments)
