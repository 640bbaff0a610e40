"""Domains: shared by everybody, or private to one organization."""

import re
from collections.abc import Sequence
from typing import Any

from paasd.errors import Unprocessable
from paasd.model.arguments import SYSTEM, Actor, Arguments, Metadata
from paasd.model.auditing import difference
from paasd.model.domain_sharing import STILL_SHARED, share_with, usable_by
from paasd.model.events import record_event
from paasd.model.jobs import OPEN_STATES, open_job
from paasd.model.metadata import merge_metadata
from paasd.model.names import check_domain_is_free
from paasd.model.quotas.accounting import check_new_domain
from paasd.model.records import Domain, DomainShare, Job, Organization
from paasd.state import Duplicate, In, ReadTx, Tx, operation

DOMAIN_NAME = re.compile(r"([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
NAME_LIMIT = 253
INTERNAL_OWNED = "Cannot associate an internal domain with an organization"
DELETE_DEADLINE_S = 3600


class CreateDomain(Arguments):
    """Arguments of `create_domain`; without `organization_guid` it is shared."""

    name: str
    internal: bool = False
    organization_guid: str | None = None
    metadata: Metadata | None = None
    reserved: list[str] = []
    shared_organizations: list[str] = []
    actor: Actor


@operation("domain.create", version=1)
def create_domain(tx: Tx, args: CreateDomain) -> Domain:
    """`reserved` are names that the platform answers itself. Raises Unprocessable for a bad, taken or nested name."""
    name = _checked(args.name)
    if args.internal and args.organization_guid is not None:
        raise Unprocessable(INTERNAL_OWNED)
    if args.organization_guid is not None and tx.get(Organization, args.organization_guid) is None:
        raise Unprocessable("Organization does not exist or you do not have access to it.")
    domain = Domain(name=name, internal=args.internal, organization_guid=args.organization_guid)
    domain = _insert(tx, domain, args.reserved, args.metadata, args.actor)
    if args.shared_organizations:
        share_with(tx, domain, args.shared_organizations, args.actor)
    return domain


class CreateTcpDomain(Arguments):
    """Arguments of `create_tcp_domain`; the router group is one that there is."""

    name: str
    router_group_guid: str
    metadata: Metadata | None = None
    reserved: list[str] = []
    actor: Actor


@operation("domain.create_tcp", version=1)
def create_tcp_domain(tx: Tx, args: CreateTcpDomain) -> Domain:
    """For routes with a port, everybody's. `reserved` as of `create_domain`. Raises Unprocessable."""
    domain = Domain(name=_checked(args.name), router_group_guid=args.router_group_guid)
    return _insert(tx, domain, args.reserved, args.metadata, args.actor)


def _checked(name: str) -> str:
    if len(name) > NAME_LIMIT or not DOMAIN_NAME.fullmatch(name.lower()):
        raise Unprocessable("Name does not comply with RFC 1035 standards")
    return name.lower()


def _insert(tx: Tx, wanted: Domain, reserved: Sequence[str], metadata: Metadata | None, actor: Actor) -> Domain:
    check_domain_is_free(tx, wanted.name, wanted.organization_guid, reserved)
    try:
        domain = tx.insert(wanted)
    except Duplicate as error:
        raise Unprocessable(f'The domain name "{wanted.name}" is already in use') from error
    if domain.organization_guid is not None:
        check_new_domain(tx, domain.organization_guid)
    merge_metadata(tx, "domain", domain.guid, metadata)
    _event(tx, "audit.domain.create", actor, domain)
    return domain


class UpdateDomain(Arguments):
    """Arguments of `update_domain`: only metadata can change."""

    domain_guid: str
    metadata: Metadata | None = None
    actor: Actor = SYSTEM


@operation("domain.update", version=1)
def update_domain(tx: Tx, args: UpdateDomain) -> Domain:
    """Raises NotFound."""
    domain = tx.update(tx.need(Domain, args.domain_guid))
    relabelled = merge_metadata(tx, "domain", domain.guid, args.metadata)
    _event(tx, "audit.domain.update", args.actor, domain, difference(domain, domain, relabelled))
    return domain


class DeleteDomain(Arguments):
    """Arguments of `begin_delete_domain`."""

    domain_guid: str
    actor: Actor


@operation("domain.begin_delete", version=1)
def begin_delete_domain(tx: Tx, args: DeleteDomain) -> Job:
    """Hide the domain and open the job under which its routes and it are taken away. Raises Unprocessable."""
    domain = tx.need(Domain, args.domain_guid)
    job = tx.find(Job, In("state", OPEN_STATES), resource_guid=domain.guid, operation="domain.delete")
    if job is not None:
        return job
    if tx.exists(DomainShare, domain_guid=domain.guid):
        raise Unprocessable(STILL_SHARED)
    tx.update(domain, deleting=True)
    _event(tx, "audit.domain.delete-request", args.actor, domain)
    return open_job(
        tx,
        "domain.delete",
        resource_type="domain",
        resource_guid=domain.guid,
        deadline_s=DELETE_DEADLINE_S,
        by=args.actor,
    )


def usable_domains(tx: ReadTx, organization_guid: str) -> list[Domain]:
    """Domains on which spaces of the organization may have routes, oldest first."""
    return tx.all(Domain, usable_by(organization_guid), deleting=False, order=("created_at", "name"))


def default_domain(tx: ReadTx, organization_guid: str) -> Domain | None:
    """The domain of default routes: the first shared one for apps, else the first private one."""
    usable = usable_domains(tx, organization_guid)
    candidates = [domain for domain in usable if not domain.internal and domain.router_group_guid is None]
    shared = [domain for domain in candidates if domain.organization_guid is None]
    return next(iter(shared or candidates), None)


def _event(tx: Tx, event_type: str, actor: Actor, domain: Domain, data: dict[str, Any] | None = None) -> None:
    record_event(
        tx,
        event_type,
        actor,
        target_type="domain",
        target_guid=domain.guid,
        target_name=domain.name,
        organization_guid=domain.organization_guid,
        data=data,
    )
