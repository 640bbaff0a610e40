"""Operations that the walk over all of them cannot bring to a 2xx, and which test does."""

from paasd.api.table import Route

SEGMENT = "/v3/isolation_segments/<guid>"
ELSEWHERE: dict[str, str] = {
    "/v3/droplets/<guid>/download": "needs a sandbox (tests/node/test_droplets.py)",
    "/oauth/authorize": "for one client, which it names (tests/api/test_ssh.py)",
    "/paasd/v1/spaces/<organization>/<space>/apps/<app>/ssh": "needs a running instance (tests/ssh/test_commands.py)",
    "/oidc/<provider>": "needs a provider (tests/api/test_oidc.py)",
    "/oidc/<provider>/callback": "needs a provider (tests/api/test_oidc.py)",
    "/v3/deployments": "there are none to be made (tests/api/test_revisions.py)",
    "POST /v3/stacks": "none is made (tests/api/test_stacks.py)",
    "DELETE /v3/stacks/<guid>": "none is taken away (tests/api/test_stacks.py)",
    "/v3/isolation_segments": "there are none to be made (tests/api/test_isolation_segments.py)",
    SEGMENT: "there are none to be made (tests/api/test_isolation_segments.py)",
    "/v3/service_usage_events/<guid>": "there are none (tests/api/test_usage_events.py)",
    "/paasd/v1/tokens": "needs a cluster's authorities (tests/api/test_nodes.py)",
    "/paasd/v1/tokens/<token>": "needs a cluster's authorities (tests/api/test_nodes.py)",
    "/paasd/v1/keys": "needs a cluster's authorities (tests/membership/test_rotation.py)",
    "/paasd/v1/nodes/<node>": "a node that is alone cannot be removed (tests/cluster/test_removal.py)",
    "/paasd/v1/nodes/<node>/actions/declare-dead": "the node of this test is the only one",
}
"""By path, or by method and path."""


def elsewhere(route: Route) -> str | None:
    """Why the walk does not bring it to a 2xx; None for one that it does."""
    path = SEGMENT if route.path.startswith(SEGMENT) else route.path
    return ELSEWHERE.get(f"{route.method} {path}", ELSEWHERE.get(path))
