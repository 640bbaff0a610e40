"""Domains: shared ones are for administrators, private ones for organization managers."""

from paasd.actions import flags
from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import Permission, authorise_admin, authorise_in_organization
from paasd.actions.visibility import need_visible
from paasd.auth import Caller
from paasd.errors import NotFound, Unprocessable
from paasd.model import Domain, Job, Organization, Route
from paasd.model import domains as model
from paasd.model.arguments import Metadata


async def create(
    context: Context,
    caller: Caller,
    *,
    name: str,
    internal: bool = False,
    organization_guid: str | None = None,
    metadata: Metadata | None = None,
) -> Domain:
    """Raises Forbidden, Unprocessable."""
    if organization_guid is None:
        authorise_admin(caller)
    else:
        with context.database.read() as tx:
            try:
                need_visible(tx, caller, Organization, organization_guid)
            except NotFound as error:
                text = "Organization does not exist or you do not have access to it."
                raise Unprocessable(text) from error
            authorise_in_organization(tx, caller, organization_guid, Permission.MANAGE_ORGANIZATION)
            flags.require(tx, caller, "private_domain_creation")
    arguments = model.CreateDomain(
        name=name,
        internal=internal,
        organization_guid=organization_guid,
        metadata=metadata,
        reserved=context.reserved_hosts,
        actor=actor_of(caller),
    )
    return await context.database.write(model.create_domain, arguments)


async def update(context: Context, caller: Caller, domain_guid: str, metadata: Metadata | None) -> Domain:
    """Labels and annotations."""
    _authorise(context, caller, domain_guid)
    arguments = model.UpdateDomain(domain_guid=domain_guid, metadata=metadata, actor=actor_of(caller))
    return await context.database.write(model.update_domain, arguments)


async def delete(context: Context, caller: Caller, domain_guid: str) -> Job:
    """The domain and its routes."""
    _authorise(context, caller, domain_guid)
    arguments = model.DeleteDomain(domain_guid=domain_guid, actor=actor_of(caller))
    return await context.database.write(model.begin_delete_domain, arguments)


def reserved(context: Context, caller: Caller, domain_guid: str, *, host: str = "", path: str = "") -> bool:
    """Whether a route of this name exists on the domain (`GET /v3/domains/:guid/route_reservations`)."""
    with context.database.read() as tx:
        need_visible(tx, caller, Domain, domain_guid)
        return tx.exists(Route, domain_guid=domain_guid, host=host.lower(), path=path)


def _authorise(context: Context, caller: Caller, domain_guid: str) -> None:
    with context.database.read() as tx:
        domain = need_visible(tx, caller, Domain, domain_guid)
        if domain.organization_guid is None:
            authorise_admin(caller)
        else:
            authorise_in_organization(tx, caller, domain.organization_guid, Permission.MANAGE_ORGANIZATION)
