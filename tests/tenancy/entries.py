"""What the walk over the route table sends: one line for each endpoint. A new endpoint needs a line here.

In a path, `<guid=app>` says of which kind the parameter is; in a body or query, `$app` stands for such a value. The
kinds are what `seeds.py` makes in every organization. Each is sent once as of another organization and once as
nobody's, and nobody may be able to tell the two apart.
"""

from typing import Any, Final

App, Space, Process = "/v3/apps/<guid=app>", "/v3/spaces/<guid=space>", "/v3/processes/<guid=process>"
Named = "/paasd/v1/spaces/<organization=org.name>/<space=space.name>"
NamedApp = f"{Named}/apps/<app=app.name>"
Group = "/v3/security_groups/<guid=group>"


def one(**kinds: str) -> dict[str, Any]:
    """Relationships, each to one."""
    return {name: {"data": {"guid": f"${kind}"}} for name, kind in kinds.items()}


def many(kind: str) -> dict[str, Any]:
    """A relationship to several."""
    return {"data": [{"guid": f"${kind}"}]}


def calls(source: str, destination: str) -> dict[str, Any]:
    """A network policy between two apps."""
    to = {"id": f"${destination}", "protocol": "tcp", "ports": {"start": 8080, "end": 8080}}
    return {"policies": [{"source": {"id": f"${source}"}, "destination": to}]}


READS: Final = f"""
/v3/organizations
/v3/organizations/<guid=org>
/v3/organizations/<guid=org>/domains
/v3/organizations/<guid=org>/domains/default
/v3/organizations/<guid=org>/users
/v3/organizations/<guid=org>/usage_summary
/v3/organizations/<guid=org>/relationships/default_isolation_segment
/v3/spaces
{Space}
{Space}/features/<feature=ssh>
{Space}/relationships/isolation_segment
{Space}/running_security_groups
{Space}/staging_security_groups
{Space}/users
/v3/users
/v3/users/<guid=user>
/v3/roles
/v3/roles/<guid=role>
/v3/apps
{App}
{App}/relationships/current_droplet
{App}/droplets/current
{App}/env
{App}/environment_variables
{App}/features
{App}/features/<feature=ssh>
{App}/ssh_enabled
{App}/permissions
{App}/processes
{App}/processes/<type=web>
{App}/processes/<type=web>/stats
{App}/processes/<type=web>/process_instances
{App}/sidecars
{App}/builds
{App}/packages
{App}/droplets
{App}/routes
{App}/manifest
{App}/tasks
{App}/revisions
{App}/revisions/deployed
/v3/processes
{Process}
{Process}/stats
{Process}/process_instances
{Process}/sidecars
/v3/sidecars/<guid=sidecar>
/v3/builds
/v3/builds/<guid=build>
/v3/packages
/v3/packages/<guid=package>
/v3/packages/<guid=package>/download
/v3/packages/<guid=package>/droplets
/v3/droplets
/v3/droplets/<guid=droplet>
/v3/droplets/<guid=droplet>/download
/v3/domains
/v3/domains/<guid=domain>
/v3/domains/<guid=domain>/route_reservations
/v3/routes
/v3/routes/<guid=route>
/v3/routes/<guid=route>/destinations
/v3/audit_events
/v3/audit_events/<guid=event>
/v3/jobs/<guid=job>
/v3/security_groups
/v3/security_groups/<guid=group>
/networking/v1/external/policies
/api/v1/read/<source_id=app>
/api/v1/meta
{Named}/apps
{NamedApp}
{NamedApp}/logs
{NamedApp}/env
{NamedApp}/stats
/Users
/Users/<guid=user>
/uaa/Users
/uaa/Users/<guid=user>
"""

# Changes, and what they send. The owner makes them in this order, those that take away last.
CHANGES: Final[dict[str, Any]] = {
    "PATCH /v3/organizations/<guid=org>": {"metadata": {"labels": {"a": "b"}}},
    "POST /v3/spaces": {"name": "another", "relationships": one(organization="org")},
    f"PATCH {Space}": {"metadata": {"labels": {"a": "b"}}},
    f"PATCH {Space}/features/<feature=ssh>": {"enabled": True},
    f"POST {Space}/actions/apply_manifest": "applications: [{name: second, no-route: true}]",
    f"POST {Space}/manifest_diff": "applications: [{name: second}]",
    f"DELETE {Space}/routes": {},
    "PATCH /v3/users/<guid=user>": {"metadata": {"labels": {"a": "b"}}},
    "POST /v3/roles": [
        {"type": "space_supporter", "relationships": one(user="user", space="space")},
        {"type": "organization_auditor", "relationships": one(user="user", organization="org")},
        {
            "type": "space_manager",
            "relationships": {"user": {"data": {"username": "$user.name"}}, **one(space="space")},
        },
    ],
    "POST /v3/apps": {"name": "third", "relationships": one(space="space")},
    f"PATCH {App}": {"metadata": {"labels": {"a": "b"}}},
    f"PATCH {App}/environment_variables": {"var": {"A": "b"}},
    f"PATCH {App}/features/<feature=ssh>": {"enabled": True},
    f"PATCH {App}/relationships/current_droplet": {"data": {"guid": "$droplet"}},
    f"POST {App}/actions/start": {},
    f"POST {App}/actions/restart": {},
    f"POST {App}/actions/stop": {},
    f"PATCH {App}/processes/<type=web>": {"metadata": {"labels": {"a": "b"}}},
    f"POST {App}/processes/<type=web>/actions/scale": {"instances": 1},
    f"POST {App}/sidecars": {"name": "more", "command": "run", "process_types": ["web"]},
    f"PATCH {Process}": {"metadata": {"labels": {"a": "b"}}},
    f"POST {Process}/actions/scale": {"instances": 1},
    "PATCH /v3/sidecars/<guid=sidecar>": {"command": "walk"},
    "POST /v3/packages": [
        {"relationships": one(app="app")},
        ("?source_guid=$package", {"relationships": one(app="app")}),
    ],
    "PATCH /v3/packages/<guid=package>": {"metadata": {"labels": {"a": "b"}}},
    "POST /v3/packages/<guid=package>/upload": {},
    "POST /v3/builds": {"package": {"guid": "$package"}},
    "PATCH /v3/builds/<guid=build>": {"metadata": {"labels": {"a": "b"}}},
    "POST /v3/droplets": [
        {"relationships": one(app="app")},
        ("?source_guid=$droplet", {"relationships": one(app="app")}),
    ],
    "PATCH /v3/droplets/<guid=droplet>": {"metadata": {"labels": {"a": "b"}}},
    "POST /v3/droplets/<guid=droplet>/upload": {},
    "POST /v3/domains": [
        {"name": "more.example.org", "relationships": one(organization="org")},
    ],
    "PATCH /v3/domains/<guid=domain>": {"metadata": {"labels": {"a": "b"}}},
    "POST /v3/routes": {"host": "another", "relationships": one(space="space", domain="domain")},
    "PATCH /v3/routes/<guid=route>": {"metadata": {"labels": {"a": "b"}}},
    "POST /v3/routes/<guid=route>/destinations": {"destinations": [{"app": {"guid": "$app2"}}]},
    "PATCH /v3/routes/<guid=route>/destinations": {
        "destinations": [{"app": {"guid": "$app"}}, {"app": {"guid": "$app2"}}]
    },
    "POST /v3/security_groups": {"name": "more", "relationships": {"running_spaces": many("space")}},
    f"PATCH {Group}": {"rules": []},
    f"POST {Group}/relationships/running_spaces": many("space"),
    f"POST {Group}/relationships/staging_spaces": many("space"),
    "POST /networking/v1/external/policies": [calls("app", "app2"), calls("app2", "app")],
    "POST /networking/v1/external/policies/delete": calls("app2", "app"),
    f"POST {NamedApp}/scale": {"instances": 1},
    f"POST {NamedApp}/restart": {},
    f"POST {NamedApp}/stop": {},
    f"POST {Named}/push": "",
    f"PUT {Named}/push": "",
    "PUT /Users/<guid=user>/password": {"password": "a new and long one"},
    "PUT /uaa/Users/<guid=user>/password": {"password": "a new and long one"},
    f"DELETE {App}/processes/<type=web>/instances/<index=0>": {},
    f"DELETE {Process}/instances/<index=0>": {},
    "DELETE /v3/routes/<guid=route>/destinations/<destination_guid=destination>": {},
    "DELETE /v3/routes/<guid=route>": {},
    f"DELETE {Group}/relationships/running_spaces/<space_guid=space>": {},
    f"DELETE {Group}/relationships/staging_spaces/<space_guid=space>": {},
    f"DELETE {Group}": {},
    "DELETE /v3/sidecars/<guid=sidecar>": {},
    "DELETE /v3/roles/<guid=role>": {},
    "DELETE /v3/droplets/<guid=droplet>": {},
    "DELETE /v3/packages/<guid=package>": {},
    f"DELETE {Named}/apps/<app=app2.name>": {},
    f"POST {Named}/apps/<app=app3.name>/delete": {},
    f"DELETE {App}": {},
    "DELETE /v3/domains/<guid=domain>": {},
    f"DELETE {Space}": {},
    "DELETE /v3/users/<guid=user>": {},
    "DELETE /Users/<guid=user>": {},
    "DELETE /uaa/Users/<guid=user2>": {},
    "DELETE /v3/organizations/<guid=org>": {},
}

# No object of a tenant has to do with these; who may call them is tested elsewhere.
PLATFORM: Final = """
GET / GET /v3 GET /v3/info POST /v3/resource_matches GET /v3/stacks GET /v3/stacks/<guid>
GET /v3/buildpacks GET /v3/buildpacks/<guid> GET /v3/feature_flags GET /v3/feature_flags/<name>
GET /v3/environment_variable_groups/<name> GET /v3/organization_quotas GET /v3/organization_quotas/<guid>
GET /v3/app_usage_events GET /v3/deployments GET /v3/isolation_segments GET /v3/revisions
GET /v3/service_brokers GET /v3/service_credential_bindings GET /v3/service_instances GET /v3/service_offerings
GET /v3/service_plans GET /v3/service_route_bindings GET /v3/service_usage_events GET /v3/space_quotas GET /v3/tasks
POST /v3/organizations POST /v3/users POST /Users POST /uaa/Users
GET /api/v1/info POST /networking/v1/external/policies/cleanup
GET /login GET /uaa/login POST /oauth/token POST /uaa/oauth/token GET /token_key GET /uaa/token_key GET /token_keys
GET /uaa/token_keys GET /userinfo GET /uaa/userinfo POST /oauth/clients POST /uaa/oauth/clients
GET /.well-known/openid-configuration GET /uaa/.well-known/openid-configuration
GET /oauth/token/.well-known/openid-configuration GET /uaa/oauth/token/.well-known/openid-configuration
GET /paasd/v1 GET /paasd/v1/healthz GET /paasd/v1/status POST /paasd/v1/backup POST /paasd/v1/brake/actions/release
GET /paasd/v1/keys POST /paasd/v1/keys/<what>/actions/change GET /paasd/v1/nodes GET /paasd/v1/nodes/<node>
DELETE /paasd/v1/nodes/<node> POST /paasd/v1/nodes/<node>/actions/declare-dead
POST /paasd/v1/nodes/<node>/actions/drain POST /paasd/v1/nodes/<node>/actions/undrain
GET /paasd/v1/tokens POST /paasd/v1/tokens DELETE /paasd/v1/tokens/<token>
"""

# The owner's answer where it is no success: the object is seen, the request as such does not fit it.
NO_SUCCESS: Final = {
    "POST /v3/packages/<guid>/upload": 422,
    "POST /v3/droplets/<guid>/upload": 422,
    "GET /v3/droplets/<guid>/download": 503,
    "DELETE /v3/droplets/<guid>": 422,
    "POST /paasd/v1/spaces/<organization>/<space>/push": 422,
    "PUT /paasd/v1/spaces/<organization>/<space>/push": 422,
}

# Names that count once on the whole platform. That one is taken has to be said; by whom must not be told: taken by
# one organization or by another is the same answer.
TAKEN: Final[list[tuple[str, Any]]] = [
    ("POST /v3/routes", {"host": "$host", "relationships": one(space="space", domain="shared")}),
    ("GET /v3/domains/<guid=shared>/route_reservations?host=$host", None),
    ("POST /v3/domains", {"name": "$domain.name", "relationships": one(organization="org")}),
    ("POST /v3/domains", {"name": "sub.$domain.name", "relationships": one(organization="org")}),
    (
        f"POST {Space}/actions/apply_manifest",
        "applications: [{name: fourth, routes: [{route: $host.apps.localhost}]}]",
    ),
    (
        f"POST {Space}/actions/apply_manifest",
        "applications: [{name: fifth, routes: [{route: www.$domain.name}]}]",
    ),
    (
        "POST /v3/roles",
        {
            "type": "organization_user",
            "relationships": {"user": {"data": {"username": "$user.name"}}, **one(organization="org")},
        },
    ),
    ("POST /v3/organizations", {"name": "$org.name"}),
    ("POST /Users", {"userName": "$user.name", "password": "long enough to be one"}),
]
