"""Taking large things away: chunk by chunk, each a small transaction, repeatable after a crash at any point.

What is `deleting` is hidden already. The scheduler calls `delete_chunk` until it says that nothing is left; the last
chunk removes the thing itself and completes its job.
"""

from typing import Final

from paasd.model.apps import hide_app
from paasd.model.arguments import Arguments
from paasd.model.deploy_tokens import remove_tokens
from paasd.model.jobs import close_jobs_of
from paasd.model.metadata import drop_metadata
from paasd.model.records import (
    App,
    Build,
    Destination,
    Domain,
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
    Role,
    Route,
    Sidecar,
    Space,
    SpaceQuota,
    SshSwitch,
    Task,
)
from paasd.model.routes import remove_route
from paasd.model.security_groups import forget_space
from paasd.model.spaces import hide_space
from paasd.state import Eq, Record, Tx, operation

CHUNK_ROWS = 200
TOKENS_CHUNK = 50
APP_PARTS: Final[tuple[type[Record], ...]] = (
    Instance,
    Destination,
    PlacementFailure,
    Sidecar,
    Process,
    Build,
    DropletUpload,
    Task,
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
    left = CHUNK_ROWS
    for part in APP_PARTS:
        rows = tx.all(part, app_guid=app.guid, limit=left)
        for row in rows:
            tx.delete(row)
            drop_metadata(tx, getattr(row, "guid", ""))
        left -= len(rows)
        if left <= 0:
            return False
    drop_metadata(tx, app.guid)
    tx.delete(app)
    close_jobs_of(tx, app.guid, "app.delete")
    return True


def _delete_space_chunk(tx: Tx, space: Space) -> bool:
    """Apps first (each then goes by its own chunks), then routes, roles and the space."""
    apps = tx.all(App, space_guid=space.guid, limit=CHUNK_ROWS)
    for app in apps:
        hide_app(tx, app)
    if apps:
        return False
    routes = tx.all(Route, space_guid=space.guid, limit=CHUNK_ROWS)
    for route in routes:
        remove_route(tx, route)
    roles = tx.all(Role, space_guid=space.guid, limit=CHUNK_ROWS)
    for role in roles:
        tx.delete(role)
    bindings = forget_space(tx, space.guid, CHUNK_ROWS)
    tokens = remove_tokens(tx, Eq("space_guid", space.guid), TOKENS_CHUNK)
    if CHUNK_ROWS in (len(routes), len(roles), bindings) or tokens == TOKENS_CHUNK:
        return False
    drop_metadata(tx, space.guid)
    tx.delete(space)
    close_jobs_of(tx, space.guid, "space.delete")
    return True


def _delete_organization_chunk(tx: Tx, organization: Organization) -> bool:
    spaces = tx.all(Space, organization_guid=organization.guid, limit=CHUNK_ROWS)
    for space in spaces:
        hide_space(tx, space)
    domains = tx.all(Domain, organization_guid=organization.guid, limit=CHUNK_ROWS)
    for domain in domains:
        if not domain.deleting:
            tx.update(domain, deleting=True)
    if spaces or domains:
        return False
    for part in (Role, Layer, SpaceQuota, Invitation):
        rows = tx.all(part, organization_guid=organization.guid, limit=CHUNK_ROWS)
        for row in rows:
            tx.delete(row)
        if len(rows) == CHUNK_ROWS:
            return False
    if remove_tokens(tx, Eq("organization_guid", organization.guid), TOKENS_CHUNK) == TOKENS_CHUNK:
        return False
    for switch in (FactorDemand, SshSwitch):
        tx.delete_all(switch, organization_guid=organization.guid)
    drop_metadata(tx, organization.guid)
    tx.delete(organization)
    close_jobs_of(tx, organization.guid, "organization.delete")
    return True


def _delete_domain_chunk(tx: Tx, domain: Domain) -> bool:
    routes = tx.all(Route, domain_guid=domain.guid, limit=CHUNK_ROWS)
    for route in routes:
        remove_route(tx, route)
    if len(routes) == CHUNK_ROWS:
        return False
    drop_metadata(tx, domain.guid)
    tx.delete(domain)
    close_jobs_of(tx, domain.guid, "domain.delete")
    return True
