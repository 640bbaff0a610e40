"""What every organization of the walk has: of each kind one, made by the calls that clients make.

`KIND = call body` in order; the guid of what comes back is `$KIND` from then on. Names are `KIND.name` and differ
between organizations by a word of the same length, so that no answer differs in length alone.
"""

from typing import Any, Final

from tests.tenancy.entries import POLICY, many, one

NAMES: Final = {
    "org.name": "{}-org",
    "org2.name": "{}-sister",
    "owner.name": "{}-owner",
    "space.name": "{}-space",
    "space2.name": "{}-annex",
    "app.name": "{}-app",
    "app2.name": "{}-second",
    "app3.name": "{}-third",
    "domain.name": "{}.example.com",
    "user.name": "{}-member",
    "host": "{}-host",
    "label": "{}-label",
    "port": "",
}
PORTS: Final = {"zebra": "20001", "bison": "20002", "camel": "20003", "hyena": "20004"}


def named(kind: str, word: str) -> str:
    """The name of a kind in the organization that has this word."""
    return PORTS[word] if kind == "port" else NAMES[kind].format(word)


LABEL: Final = {"labels": {"$label": "yes"}}

SEEDS: Final[list[tuple[str, str, Any]]] = [
    ("space", "POST /v3/spaces", {"name": "$space.name", "metadata": LABEL, "relationships": one(organization="org")}),
    ("space2", "POST /v3/spaces", {"name": "$space2.name", "relationships": one(organization="org")}),
    (
        "",
        "POST /v3/roles",
        {
            "type": "space_developer",
            "relationships": {"user": {"data": {"username": "$owner.name"}}, **one(space="space2")},
        },
    ),
    (
        "domain",
        "POST /v3/domains",
        {"name": "$domain.name", "metadata": LABEL, "relationships": one(organization="org")},
    ),
    ("app", "POST /v3/apps", {"name": "$app.name", "metadata": LABEL, "relationships": one(space="space")}),
    ("app2", "POST /v3/apps", {"name": "$app2.name", "relationships": one(space="space")}),
    ("app3", "POST /v3/apps", {"name": "$app3.name", "relationships": one(space="space")}),
    ("", "PATCH /v3/apps/$app/environment_variables", {"var": {"$label": "$label"}}),
    ("package", "POST /v3/packages", {"metadata": LABEL, "relationships": one(app="app")}),
    ("", "stage", None),
    ("process", "GET /v3/apps/$app/processes/web", None),
    ("", "POST /v3/apps/$app/actions/start", {}),
    ("revision", "GET /v3/apps/$app/revisions", None),
    ("", "POST /v3/apps/$app/actions/stop", {}),
    ("sidecar", "POST /v3/apps/$app/sidecars", {"name": "side", "command": "run", "process_types": ["web"]}),
    (
        "route",
        "POST /v3/routes",
        {"host": "$host", "metadata": LABEL, "relationships": one(space="space", domain="shared")},
    ),
    ("tcp_route", "POST /v3/routes", {"port": "$port", "relationships": one(space="space", domain="ports")}),
    ("destination", "POST /v3/routes/$route/destinations", {"destinations": [{"app": {"guid": "$app"}}]}),
    ("role", "POST /v3/roles", {"type": "space_auditor", "relationships": one(user="user", space="space")}),
    ("event", "GET /v3/audit_events?target_guids=$app", None),
    (
        "space_quota",
        "POST /v3/space_quotas",
        {"name": "$label", "relationships": {**one(organization="org"), "spaces": many("space")}},
    ),
    (
        "org_quota",
        "POST /v3/organization_quotas",
        {"name": "$label", "relationships": {"organizations": many("org")}},
    ),
    (
        "group",
        "POST /v3/security_groups",
        {"name": "$label", "relationships": {"running_spaces": many("space"), "staging_spaces": many("space")}},
    ),
    (
        "group2",
        "POST /v3/security_groups",
        {"name": "$label-2", "relationships": {"running_spaces": many("space")}},
    ),
    ("task", "POST /v3/apps/$app/tasks", {"command": "run"}),
    ("", "POST /paasd/v1/organizations/$org.name/deploy-tokens", {"name": "$label"}),
    ("", "POST /paasd/v1/spaces/$org.name/$space.name/deploy-tokens", {"name": "$label"}),
    ("", "POST /networking/v1/external/policies", POLICY),
    ("invitation", "POST /paasd/v1/organizations/$org.name/invitations", {"address": "$label@example.org"}),
    ("job", "DELETE /v3/apps/$gone", None),
]
