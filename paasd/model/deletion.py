"""Taking large things away: chunk by chunk, each a small transaction, repeatable after a crash at any point.

What is `deleting` is hidden already. The scheduler calls `delete_chunk` until it says that nothing is left; the last
chunk removes the thing itself and completes its job.
"""

from typing import Any, Final

from paasd.model.apps import hide_app
from paasd.model.arguments import SYSTEM, Arguments
from paasd.model.deploy_tokens import end_tokens
from paasd.model.jobs import close_jobs_of
from paasd.model.layers import layers_of
from paasd.model.metadata import remove_in
from paasd.model.records import (
    App,
    Build,
    Destination,
    Domain,
    DomainShare,
    Droplet,
    DropletUpload,
    FactorDemand,
    Instance,
    Invitation,
    Layer,
    Organization,
    Package,
    PlacementFailure,
    Process,
    Revision,
    Route,
    RouteShare,
    SecurityGroupSpace,
    Sidecar,
    Space,
    SpaceQuota,
    SshSwitch,
    Task,
)
from paasd.model.roles import end_roles
from paasd.model.spaces import hide_space
from paasd.state import ROWS, Portion, Record, Tx, operation

RIGHTS_CHUNK: Final = 50
"""Tokens or roles of one operation: each is an event of some hundred bytes."""
APP_PARTS: Final[tuple[type[Record], ...]] = (
    Instance,
    Destination,
    PlacementFailure,
    Sidecar,
    Process,
    Build,
    DropletUpload,
    Task,
    Revision,
    Droplet,
    Package,
)


class DeleteChunk(Arguments):
    """Arguments of `delete_chunk`: `kind` is app, space, organization or domain."""

    kind: str
    guid: str


@operation("deletion.chunk", version=1)
def delete_chunk(tx: Tx, args: DeleteChunk) -> bool:
    """Take a bounded part of a `deleting` thing away; True when it is gone."""
    match args.kind:
        case "app":
            app = tx.get(App, args.guid)
            return app is None or (app.deleting and _delete_app_chunk(tx, app))
        case "space":
            space = tx.get(Space, args.guid)
            return space is None or (space.deleting and _delete_space_chunk(tx, space))
        case "organization":
            organization = tx.get(Organization, args.guid)
            return organization is None or (organization.deleting and _delete_organization_chunk(tx, organization))
        case "domain":
            domain = tx.get(Domain, args.guid)
            return domain is None or (domain.deleting and _delete_domain_chunk(tx, domain))
        case _:
            raise ValueError(f"{args.kind} is not deleted in chunks")


def _delete_app_chunk(tx: Tx, app: App) -> bool:
    portion = Portion(tx)
    for part in APP_PARTS:
        while rows := tx.all(part, app_guid=app.guid, limit=ROWS):
            if len(remove_in(portion, rows)) < len(rows):
                return False
    if not remove_in(portion, [app]):
        return False
    close_jobs_of(tx, app.guid, "app.delete")
    return True


def _delete_space_chunk(tx: Tx, space: Space) -> bool:
    """Apps first (each then goes by its own chunks), then routes, tokens and roles, each told, and the space."""
    portion = Portion(tx)
    apps = tx.all(App, space_guid=space.guid, limit=ROWS)
    for app in apps:
        if portion.full:
            break
        hide_app(tx, app, portion)
    if apps or not _clear_routes(tx, portion, space_guid=space.guid):
        return False
    if not _end_rights(tx, "the space is deleted", space_guid=space.guid):
        return False
    if not all(portion.clear(part, space_guid=space.guid) for part in (SecurityGroupSpace, RouteShare)):
        return False
    if not portion.clear(Layer, layers_of(space.guid)):
        return False
    if not remove_in(portion, [space]):
        return False
    close_jobs_of(tx, space.guid, "space.delete")
    return True


def _end_rights(tx: Tx, because: str, **place: str) -> bool:
    """Deploy tokens, then roles, whose holders the organization's events are to tell; whether none is left."""
    if end_tokens(tx, SYSTEM, because, RIGHTS_CHUNK, **place) == RIGHTS_CHUNK:
        return False
    return end_roles(tx, SYSTEM, because, RIGHTS_CHUNK, **place) < RIGHTS_CHUNK


def _clear_routes(tx: Tx, portion: Portion, **place: Any) -> bool:
    """Routes with what belongs to them, as far as there is room; whether none is left."""
    while routes := tx.all(Route, limit=ROWS, **place):
        for route in routes:
            parts = (Destination, RouteShare)
            if not all(portion.clear(part, route_guid=route.guid) for part in parts) or not remove_in(portion, [route]):
                return False
    return True


def _delete_organization_chunk(tx: Tx, organization: Organization) -> bool:
    spaces = tx.all(Space, organization_guid=organization.guid, limit=ROWS)
    for space in spaces:
        hide_space(tx, space)
    domains = tx.all(Domain, organization_guid=organization.guid, limit=ROWS)
    for domain in domains:
        if not domain.deleting:
            tx.update(domain, deleting=True)
    if spaces or domains:
        return False
    if not _end_rights(tx, "the organization is deleted", organization_guid=organization.guid):
        return False
    portion = Portion(tx)
    parts = (Layer, SpaceQuota, Invitation, DomainShare)
    if not all(portion.clear(part, organization_guid=organization.guid) for part in parts):
        return False
    for switch in (FactorDemand, SshSwitch):
        tx.delete_all(switch, organization_guid=organization.guid)
    if not remove_in(portion, [organization]):
        return False
    close_jobs_of(tx, organization.guid, "organization.delete")
    return True


def _delete_domain_chunk(tx: Tx, domain: Domain) -> bool:
    portion = Portion(tx)
    if not _clear_routes(tx, portion, domain_guid=domain.guid):
        return False
    if not portion.clear(DomainShare, domain_guid=domain.guid) or not remove_in(portion, [domain]):
        return False
    close_jobs_of(tx, domain.guid, "domain.delete")
    return True
