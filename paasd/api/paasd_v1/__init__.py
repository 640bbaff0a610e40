"""The calls under /paasd/v1: names instead of guids, one call for a push. For curl and for paasd's own command line.

They are written on the same actions as the v3 API, so whatever they do can be done there call by call.
Beside bearer tokens they take HTTP Basic.
"""

from paasd.api.paasd_v1 import (
    apps,
    audit,
    backup,
    deploy_tokens,
    description,
    health,
    invitations,
    nodes,
    push,
    quota,
    second_factor,
    ssh,
)

ROUTES = (
    health.ROUTES
    + apps.ROUTES
    + push.ROUTES
    + nodes.ROUTES
    + backup.ROUTES
    + audit.ROUTES
    + description.ROUTES
    + quota.ROUTES
    + deploy_tokens.ROUTES
    + second_factor.ROUTES
    + invitations.ROUTES
    + ssh.ROUTES
)

__all__ = ["ROUTES"]
