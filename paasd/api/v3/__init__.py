"""The resources of Cloud Foundry's v3 API, one file per family: forms, listings, handlers, routes.

Handlers are thin: parse the body, call one action, present the record. Reads go through `visible` and nothing else.
"""

from paasd.api.table import Route
from paasd.api.v3 import (
    absent,
    app_parts,
    apps,
    buildpacks,
    builds,
    domains,
    droplets,
    events,
    isolation,
    jobs,
    manifests,
    organizations,
    packages,
    policy,
    processes,
    quotas,
    revisions,
    root,
    route_sharing,
    routes,
    security_groups,
    sidecars,
    spaces,
    stacks,
    tasks,
    usage,
    usage_events,
    users,
)

ROUTES: tuple[Route, ...] = (
    *root.ROUTES,
    *organizations.ROUTES,
    *spaces.ROUTES,
    *users.ROUTES,
    *domains.ROUTES,
    *routes.ROUTES,
    *route_sharing.ROUTES,
    *security_groups.ROUTES,
    *apps.ROUTES,
    *app_parts.ROUTES,
    *processes.ROUTES,
    *sidecars.ROUTES,
    *revisions.ROUTES,
    *packages.ROUTES,
    *builds.ROUTES,
    *droplets.ROUTES,
    *jobs.ROUTES,
    *manifests.ROUTES,
    *stacks.ROUTES,
    *buildpacks.ROUTES,
    *events.ROUTES,
    *absent.ROUTES,
    *isolation.ROUTES,
    *policy.ROUTES,
    *quotas.ROUTES,
    *tasks.ROUTES,
    *usage.ROUTES,
    *usage_events.ROUTES,
)

__all__ = ["ROUTES"]
