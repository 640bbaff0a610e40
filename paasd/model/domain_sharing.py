"""Private domains that their organization shares with others: those may have routes on them, and nothing else."""

from collections.abc import Sequence
from typing import Final

from paasd.errors import Unprocessable
from paasd.model.arguments import Actor, Arguments
from paasd.model.events import record_event
from paasd.model.records import Domain, DomainShare, Organization, Route, Space
from paasd.state import Eq, In, InSelect, IsNull, Or, Tx, operation

SHARED_LIMIT: Final = 500  # organizations of one domain
NOT_PRIVATE: Final = "Domains cannot be shared with other organizations unless they are scoped to an organization."
WITH_OWNER: Final = "Domain cannot be shared with owning organization."
STILL_ROUTED: Final = "This domain has associated routes in this organization. Delete the routes before unsharing."
STILL_SHARED: Final = "This domain is shared with other organizations. Unshare before deleting."


def missing_text(guid: str) -> str:
    """What is said of an organization that there is not, or that who asks does not see."""
    return f"Organization with guid '{guid}' does not exist, or you do not have access to it."


def usable_by(organization_guid: str) -> Or:
    """The domains on which spaces of the organization may have routes: everybody's, its own, those shared with it."""
    mine = Eq("organization_guid", organization_guid)
    return Or(IsNull("organization_guid"), mine, InSelect("guid", DomainShare, "domain_guid", mine))


class ShareDomain(Arguments):
    """Arguments of `share_domain`."""

    domain_guid: str
    organization_guids: list[str]
    actor: Actor


@operation("domain.share", version=1)
def share_domain(tx: Tx, args: ShareDomain) -> None:
    """Nothing changes for organizations with which it is shared already. Raises NotFound, Unprocessable."""
    share_with(tx, tx.need(Domain, args.domain_guid), args.organization_guids, args.actor)


def share_with(tx: Tx, domain: Domain, guids: Sequence[str], actor: Actor) -> None:
    """Raise Unprocessable unless the domain is private and all of these are others' organizations."""
    wanted = list(dict.fromkeys(guids))
    found = {row.guid: row for row in tx.all(Organization, In("guid", wanted), deleting=False)}
    for guid in wanted:
        if guid not in found:
            raise Unprocessable(missing_text(guid))
    if domain.organization_guid in wanted:
        raise Unprocessable(WITH_OWNER)
    if domain.organization_guid is None:
        raise Unprocessable(NOT_PRIVATE)
    new = [found[guid] for guid in wanted if tx.get(DomainShare, domain.guid, guid) is None]
    if tx.count(DomainShare, domain_guid=domain.guid) + len(new) > SHARED_LIMIT:
        raise Unprocessable(f"A domain can be shared with at most {SHARED_LIMIT} organizations.")
    for organization in new:
        tx.insert(DomainShare(domain_guid=domain.guid, organization_guid=organization.guid))
        _events(tx, "audit.domain.share", actor, domain, organization)


class UnshareDomain(Arguments):
    """Arguments of `unshare_domain`."""

    domain_guid: str
    organization_guid: str
    actor: Actor


@operation("domain.unshare", version=1)
def unshare_domain(tx: Tx, args: UnshareDomain) -> None:
    """Raises NotFound, and Unprocessable where it is not shared or the organization still has routes on it."""
    domain, organization = tx.need(Domain, args.domain_guid), tx.need(Organization, args.organization_guid)
    share = tx.get(DomainShare, domain.guid, organization.guid)
    if share is None:
        raise Unprocessable(
            f"Unable to unshare domain from organization with name '{organization.name}'. "
            "Ensure the domain is shared to this organization."
        )
    in_it = InSelect("space_guid", Space, "guid", Eq("organization_guid", organization.guid))
    if tx.exists(Route, in_it, domain_guid=domain.guid):
        raise Unprocessable(STILL_ROUTED)
    tx.delete(share)
    _events(tx, "audit.domain.unshare", args.actor, domain, organization)


def _events(tx: Tx, event_type: str, actor: Actor, domain: Domain, organization: Organization) -> None:
    """One for each side: people of either see the events of their own organization alone."""
    for side in (domain.organization_guid, organization.guid):
        record_event(
            tx,
            event_type,
            actor,
            target_type="domain",
            target_guid=domain.guid,
            target_name=domain.name,
            organization_guid=side,
            data={"organization_guid": organization.guid},
        )
