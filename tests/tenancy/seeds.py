"""What every organization of the walk has: of each kind one, made by the calls that clients make.

`KIND = call body` in order; the guid of what comes back is `$KIND` from then on. Names are `KIND.name` and differ
between organizations by a word of the same length, so that no answer differs in length alone.
"""

from typing import Any, Final

from tests.tenancy.entries import many, one

NAMES: Final = {
    "org.name": "{}-org",
    "space.name": "{}-space",
    "app.name": "{}-app",
    "app2.name": "{}-second",
    "app3.name": "{}-third",
    "domain.name": "{}.example.com",
    "user.name": "{}-member",
    "group.name": "{}-group",
    "host": "{}-host",
    "label": "{}-label",
}

LABEL: Final = {"labels": {"$label": "yes"}}

SEEDS: Final[list[tuple[str, str, Any]]] = [
    ("space", "POST /v3/spaces", {"name": "$space.name", "metadata": LABEL, "relationships": one(organization="org")}),
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
    ("sidecar", "POST /v3/apps/$app/sidecars", {"name": "side", "command": "run", "process_types": ["web"]}),
    (
        "route",
        "POST /v3/routes",
        {"host": "$host", "metadata": LABEL, "relationships": one(space="space", domain="shared")},
    ),
    (
        "group",
        "POST /v3/security_groups",
        {"name": "$group.name", "relationships": {"running_spaces": many("space")}},
    ),
    ("destination", "POST /v3/routes/$route/destinations", {"destinations": [{"app": {"guid": "$app"}}]}),
    ("role", "POST /v3/roles", {"type": "space_auditor", "relationships": one(user="user", space="space")}),
    ("event", "GET /v3/audit_events?target_guids=$app", None),
    ("job", "DELETE /v3/apps/$gone", None),
]
