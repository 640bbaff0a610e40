"""VCAP_APPLICATION: what an app is told about itself and what `cf env` shows; one builder for staging, running, API."""

import itertools
import json
import uuid
from typing import Any, Final

from paasd.model.records import App, Destination, Domain, Organization, Process, Route, Space
from paasd.model.routes import route_url
from paasd.state import In, ReadTx

URIS_LIMIT_BYTES: Final = 48 * 1024
"""Of the routes, as JSON. They are told twice, beside names of some KiB."""


def vcap_application(tx: ReadTx, app: App, *, api_url: str, memory_mb: int, disk_mb: int, fds: int) -> dict[str, Any]:
    """The keys that Cloud Foundry gives, users:null included. Raises NotFound when the space is gone."""
    space = tx.need(Space, app.space_guid)
    organization = tx.need(Organization, space.organization_guid)
    version = application_version(app)
    uris = _that_fit(application_uris(tx, app))
    return {
        "cf_api": api_url,
        "limits": {"fds": fds, "mem": memory_mb, "disk": disk_mb},
        "application_name": app.name,
        "application_uris": uris,
        "name": app.name,
        "space_name": space.name,
        "space_id": space.guid,
        "organization_id": organization.guid,
        "organization_name": organization.name,
        "uris": uris,
        "users": None,
        "application_id": app.guid,
        "version": version,
        "application_version": version,
    }


def _that_fit(uris: list[str]) -> list[str]:
    """The first of them, as many as a variable can hold: the kernel starts no program with one of 128 KiB."""
    sizes = itertools.accumulate(len(json.dumps(uri)) + 2 for uri in uris)
    return [uri for uri, size in zip(uris, sizes, strict=True) if size <= URIS_LIMIT_BYTES]


def running_application(application: dict[str, Any], process: Process) -> dict[str, Any]:
    """The same with the keys that only running processes have."""
    return {**application, "process_id": process.guid, "process_type": process.type}


def application_version(app: App) -> str:
    """A guid that changes with each restart, as clients expect of a version."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{app.guid} {app.version}"))


def application_uris(tx: ReadTx, app: App) -> list[str]:
    """URLs without scheme of the routes that lead to the app."""
    guids = {destination.route_guid for destination in tx.all(Destination, app_guid=app.guid)}
    routes = tx.all(Route, In("guid", guids), order=("created_at", "guid"))
    domains = {domain.guid: domain for domain in tx.all(Domain, In("guid", {route.domain_guid for route in routes}))}
    return [route_url(domains[route.domain_guid], route.host, route.path, route.port) for route in routes]
