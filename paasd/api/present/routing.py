"""Domains, routes and destinations as clients see them."""

from collections.abc import Sequence

from paasd.actions.visibility import visible
from paasd.api.answers import Links, Reference, RelatedMany
from paasd.api.answers.pages import DomainRelations, DomainShown
from paasd.api.answers.routing import (
    DestinationAppShown,
    DestinationProcessShown,
    DestinationShown,
    RouteOptions,
    RouteRelations,
    RouteShown,
)
from paasd.api.listing import View, common, to_one
from paasd.auth import Caller
from paasd.model import Destination, Domain, DomainShare, Organization, Route
from paasd.model.route_options import FIELDS
from paasd.state import In, InSelect, ReadTx


def shared_organizations(tx: ReadTx, caller: Caller, domain_guids: Sequence[str]) -> dict[str, list[str]]:
    """With which organizations domains are shared, of those that the caller sees."""
    found: dict[str, list[str]] = {guid: [] for guid in domain_guids}
    seen = InSelect("organization_guid", Organization, "guid", *visible(tx, caller, Organization))
    for share in tx.all(DomainShare, In("domain_guid", domain_guids), seen, order=("created_at", "organization_guid")):
        found[share.domain_guid].append(share.organization_guid)
    return found


def present_domains(view: View, rows: Sequence[Domain]) -> list[DomainShown]:
    """Shared ones have no organization."""
    shared = shared_organizations(view.tx, view.caller, [row.guid for row in rows])

    def links(row: Domain) -> Links:
        found = {
            "self": view.urls.link("domains", row.guid),
            "route_reservations": view.urls.link("domains", row.guid, "route_reservations"),
        }
        if row.organization_guid is not None:
            found["organization"] = view.urls.link("organizations", row.organization_guid)
            found["shared_organizations"] = view.urls.link("domains", row.guid, "relationships", "shared_organizations")
        return found

    return [
        DomainShown(
            **base,
            name=row.name,
            internal=row.internal,
            router_group=None if row.router_group_guid is None else Reference(guid=row.router_group_guid),
            supported_protocols=["http" if row.router_group_guid is None else "tcp"],
            relationships=DomainRelations(
                organization=to_one(row.organization_guid),
                shared_organizations=RelatedMany(data=[Reference(guid=guid) for guid in shared[row.guid]]),
            ),
        )
        for base, row in zip(common(view, rows, links), rows, strict=True)
    ]


def route_url(route: Route, domain_name: str) -> str:
    """host.domain/path as people write it."""
    name = f"{route.host}.{domain_name}" if route.host else domain_name
    return name + (f":{route.port}" if route.port is not None else "") + route.path


def present_routes(view: View, rows: Sequence[Route]) -> list[RouteShown]:
    """Routes with their url and destinations."""
    domains = {
        domain.guid: domain.name for domain in view.tx.all(Domain, In("guid", {row.domain_guid for row in rows}))
    }
    destinations: dict[str, list[DestinationShown]] = {row.guid: [] for row in rows}
    for one in view.tx.all(Destination, In("route_guid", list(destinations)), order=("created_at", "guid")):
        destinations[one.route_guid].append(present_destination(one))

    def links(row: Route) -> Links:
        return {
            "self": view.urls.link("routes", row.guid),
            "space": view.urls.link("spaces", row.space_guid),
            "destinations": view.urls.link("routes", row.guid, "destinations"),
            "domain": view.urls.link("domains", row.domain_guid),
        }

    return [
        RouteShown(
            **base,
            protocol=row.protocol,
            host=row.host,
            path=row.path,
            port=row.port,
            url=route_url(row, domains.get(row.domain_guid, "")),
            options=RouteOptions(**{name: row.options[name] for name in FIELDS if name in row.options}),
            destinations=destinations[row.guid],
            relationships=RouteRelations(space=to_one(row.space_guid), domain=to_one(row.domain_guid)),
        )
        for base, row in zip(common(view, rows, links), rows, strict=True)
    ]


def present_destination(row: Destination) -> DestinationShown:
    """One destination; the port that an app listens on unless told otherwise is 8080."""
    return DestinationShown(
        guid=row.guid,
        created_at=row.created_at,
        updated_at=row.updated_at,
        app=DestinationAppShown(guid=row.app_guid, process=DestinationProcessShown(type=row.process_type)),
        weight=row.weight,
        port=row.port if row.port is not None else 8080,
        protocol=row.protocol,
    )
