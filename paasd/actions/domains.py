"""Domains: shared ones are for administrators, private ones for organization managers."""

from collections.abc import Sequence

from paasd.actions import flags
from paasd.actions.context import Context, actor_of
from paasd.actions.permissions import (
    Permission,
    allowed_in_organization,
    allowed_in_space,
    authorise_admin,
    authorise_in_organization,
)
from paasd.actions.visibility import need_visible, or_unprocessable
from paasd.auth import Caller
from paasd.errors import Unprocessable
from paasd.model import Domain, Job, Organization, Route
from paasd.model import domain_sharing as sharing
from paasd.model import domains as model
from paasd.model.arguments import Metadata
from paasd.model.names import check_name_is_free, spaces_beside
from paasd.state import ReadTx


async def create(
    context: Context,
    caller: Caller,
    *,
    name: str,
    internal: bool = False,
    organization_guid: str | None = None,
    metadata: Metadata | None = None,
    shared_organizations: Sequence[str] = (),
    router_group_guid: str | None = None,
) -> Domain:
    """With a router group it is for TCP routes, and everybody's. Raises Forbidden, Unprocessable."""
    if organization_guid is None:
        authorise_admin(caller)
        if shared_organizations:
            raise Unprocessable(sharing.NOT_PRIVATE)
    else:
        with context.database.read() as tx:
            with or_unprocessable("Organization does not exist or you do not have access to it."):
                need_visible(tx, caller, Organization, organization_guid)
            authorise_in_organization(tx, caller, organization_guid, Permission.MANAGE_ORGANIZATION)
            flags.require(tx, caller, "private_domain_creation")
            _check_shareable(tx, caller, shared_organizations)
        _check_suffix(context, caller, name)
    if router_group_guid is not None:
        return await _create_tcp(context, caller, name, router_group_guid, metadata)
    arguments = model.CreateDomain(
        name=name,
        internal=internal,
        organization_guid=organization_guid,
        metadata=metadata,
        reserved=context.reserved_hosts,
        shared_organizations=list(shared_organizations),
        actor=actor_of(caller),
    )
    return await context.database.write(model.create_domain, arguments)


async def _create_tcp(
    context: Context, caller: Caller, name: str, router_group_guid: str, metadata: Metadata | None
) -> Domain:
    if router_group_guid not in [group.guid for group in context.router_groups]:
        raise Unprocessable(f"Router group with guid '{router_group_guid}' not found.")
    arguments = model.CreateTcpDomain(
        name=name,
        router_group_guid=router_group_guid,
        metadata=metadata,
        reserved=context.reserved_hosts,
        actor=actor_of(caller),
    )
    return await context.database.write(model.create_tcp_domain, arguments)


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


async def share(context: Context, caller: Caller, domain_guid: str, organization_guids: Sequence[str]) -> None:
    """Let these organizations have routes on the domain; who shares manages them, too. Raises Unprocessable."""
    _authorise(context, caller, domain_guid)
    with context.database.read() as tx:
        _check_shareable(tx, caller, organization_guids)
    arguments = sharing.ShareDomain(
        domain_guid=domain_guid, organization_guids=list(organization_guids), actor=actor_of(caller)
    )
    await context.database.write(sharing.share_domain, arguments)


async def unshare(context: Context, caller: Caller, domain_guid: str, organization_guid: str) -> None:
    """Managers of either side may. Raises NotFound, Forbidden, Unprocessable."""
    with context.database.read() as tx:
        domain = need_visible(tx, caller, Domain, domain_guid)
        text = f"Organization with guid '{organization_guid}' does not exist or you do not have access to it."
        with or_unprocessable(text):
            need_visible(tx, caller, Organization, organization_guid)
        sides = [guid for guid in (organization_guid, domain.organization_guid) if guid is not None]
        mine = [one for one in sides if allowed_in_organization(tx, caller, one, Permission.MANAGE_ORGANIZATION)]
        authorise_in_organization(tx, caller, (mine or sides)[0], Permission.MANAGE_ORGANIZATION)
    arguments = sharing.UnshareDomain(
        domain_guid=domain_guid, organization_guid=organization_guid, actor=actor_of(caller)
    )
    await context.database.write(sharing.unshare_domain, arguments)


def _check_shareable(tx: ReadTx, caller: Caller, organization_guids: Sequence[str]) -> None:
    """Raise Unprocessable unless the caller manages all of them, and none is suspended."""
    for guid in organization_guids:
        with or_unprocessable(sharing.missing_text(guid)):
            organization = need_visible(tx, caller, Organization, guid)
        if not allowed_in_organization(tx, caller, guid, Permission.MANAGE_ORGANIZATION):
            raise Unprocessable(
                f"You do not have sufficient permissions for organization '{organization.name}' to share domain."
            )
        if organization.suspended and not caller.admin:
            raise Unprocessable(f"Organization '{organization.name}' is suspended.")


def reserved(
    context: Context, caller: Caller, domain_guid: str, *, host: str = "", path: str = "", port: int | None = None
) -> bool:
    """Whether a route of this name is taken for the caller (`GET /v3/domains/:guid/route_reservations`).

    It is there already, or making it would be refused in each of the caller's spaces: the name is another space's, the
    platform's, or of another domain.
    """
    with context.database.read() as tx:
        domain = need_visible(tx, caller, Domain, domain_guid)
        if domain.router_group_guid is not None:
            return port is not None and not host and not path and tx.exists(Route, port=port)
        if port is not None:
            return False
        try:
            holder = check_name_is_free(tx, domain, host, path, context.reserved_hosts)
        except Unprocessable:
            return True
        beside = [] if holder is None else spaces_beside(tx, domain, holder)
        return holder is not None and not any(
            allowed_in_space(tx, caller, space, Permission.OPERATE_APPS) for space in beside
        )


def _check_suffix(context: Context, caller: Caller, name: str) -> None:
    """Raise Unprocessable for a name under which many have theirs: nobody could have one beside its owner."""
    own = name.lower()
    suffixes = context.config.domains.public_suffixes
    if not caller.admin and any(f".{suffix.lower()}".endswith(f".{own}") for suffix in suffixes):
        raise Unprocessable(
            f'The domain name "{own}" is one under which many organizations have theirs; choose a name below it,'
            f" such as example.{own}, or ask an administrator."
        )


def _authorise(context: Context, caller: Caller, domain_guid: str) -> None:
    with context.database.read() as tx:
        domain = need_visible(tx, caller, Domain, domain_guid)
        if domain.organization_guid is None:
            authorise_admin(caller)
        else:
            authorise_in_organization(tx, caller, domain.organization_guid, Permission.MANAGE_ORGANIZATION)
