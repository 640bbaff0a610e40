"""What the walk over the route table sends: one line for each endpoint. A new endpoint needs a line here.

In a path, `<guid=app>` says of which kind the parameter is; in a body or query, `$app` stands for such a value. The
kinds are what `seeds.py` makes in every organization. Each is sent once as of another organization and once as
nobody's, and nobody may be able to tell the two apart.
"""

from typing import Any, Final

App, Space, Process = "/v3/apps/<guid=app>", "/v3/spaces/<guid=space>", "/v3/processes/<guid=process>"
Named = "/paasd/v1/spaces/<organization=org.name>/<space=space.name>"
Organization = "/paasd/v1/organizations/<organization=org.name>"
NamedApp = f"{Named}/apps/<app=app.name>"


def one(**kinds: str) -> dict[str, Any]:
    """Relationships, each to one."""
    return {name: {"data": {"guid": f"${kind}"}} for name, kind in kinds.items()}


def many(kind: str) -> dict[str, Any]:
    """A relationship to several."""
    return {"data": [{"guid": f"${kind}"}]}


POLICY: Final = {
    "policies": [
        {
            "source": {"id": "$app"},
            "destination": {"id": "$app2", "protocol": "tcp", "ports": {"start": 8080, "end": 8080}},
        }
    ]
}
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
{Space}/features
{Space}/features/<feature=ssh>
{Space}/relationships/isolation_segment
{Space}/running_security_groups
{Space}/staging_security_groups
{Space}/users
{Space}/usage_summary
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
/v3/revisions/<guid=revision>
/v3/revisions/<guid=revision>/environment_variables
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
/v3/routes/<guid=route>/relationships/shared_spaces
/v3/audit_events
/v3/audit_events/<guid=event>
/v3/jobs/<guid=job>
/v3/organization_quotas
/v3/organization_quotas/<guid=org_quota>
/v3/space_quotas
/v3/space_quotas/<guid=space_quota>
/v3/security_groups
/v3/security_groups/<guid=group>
/v3/stacks/<guid=debian12>/apps
/v3/tasks
/v3/tasks/<guid=task>
/v3/app_usage_events
/v3/service_usage_events
/networking/v1/external/policies
/api/v1/read/<source_id=app>
/api/v1/meta
{Organization}/invitations
{Organization}/deploy-tokens
{Organization}/second-factor
/paasd/v1/audit/events?organization=$org.name
/paasd/v1/audit/head?organization=$org.name
/paasd/v1/audit/verify?organization=$org.name
{Named}/quota
{Organization}/ssh
{Named}/deploy-tokens
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
    f"DELETE {Space}/routes": [("?unmapped=true", {})],
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
    f"POST {App}/actions/clear_buildpack_cache": {},
    f"POST {App}/actions/stop": {},
    f"PATCH {App}/processes/<type=web>": {"metadata": {"labels": {"a": "b"}}},
    f"POST {App}/processes/<type=web>/actions/scale": {"instances": 1},
    f"POST {App}/sidecars": {"name": "more", "command": "run", "process_types": ["web"]},
    f"PATCH {Process}": {"metadata": {"labels": {"a": "b"}}},
    f"POST {Process}/actions/scale": {"instances": 1},
    "PATCH /v3/sidecars/<guid=sidecar>": {"command": "walk"},
    "PATCH /v3/revisions/<guid=revision>": {"metadata": {"labels": {"a": "b"}}},
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
        {
            "name": "yet.more.example.net",
            "relationships": {**one(organization="org"), "shared_organizations": many("org2")},
        },
    ],
    "PATCH /v3/domains/<guid=domain>": {"metadata": {"labels": {"a": "b"}}},
    "POST /v3/domains/<guid=domain>/relationships/shared_organizations": many("org2"),
    "DELETE /v3/domains/<guid=domain>/relationships/shared_organizations/<organization_guid=org2>": {},
    "POST /v3/routes": {"host": "another", "relationships": one(space="space", domain="domain")},
    "PATCH /v3/routes/<guid=route>": {"metadata": {"labels": {"a": "b"}}},
    "POST /v3/routes/<guid=route>/destinations": {"destinations": [{"app": {"guid": "$app2"}}]},
    "PATCH /v3/routes/<guid=route>/destinations": {
        "destinations": [{"app": {"guid": "$app"}}, {"app": {"guid": "$app2"}}]
    },
    "PATCH /v3/routes/<guid=route>/destinations/<destination_guid=destination>": {"protocol": "http2"},
    "POST /v3/routes/<guid=route>/relationships/shared_spaces": many("space2"),
    "DELETE /v3/routes/<guid=route>/relationships/shared_spaces/<space_guid=space2>": {},
    "PATCH /v3/routes/<guid=route>/relationships/space": [
        {"data": {"guid": "$space2"}},
        {"data": {"guid": "$space"}},
    ],
    "POST /v3/organization_quotas": {"name": "another"},
    "PATCH /v3/organization_quotas/<guid=org_quota>": {"name": "renamed"},
    "POST /v3/organization_quotas/<guid=org_quota>/relationships/organizations": many("org"),
    "POST /v3/space_quotas": {
        "name": "another",
        "relationships": {**one(organization="org"), "spaces": many("space")},
    },
    "PATCH /v3/space_quotas/<guid=space_quota>": {"name": "renamed"},
    "POST /v3/space_quotas/<guid=space_quota>/relationships/spaces": many("space"),
    "POST /v3/security_groups": {"name": "another", "relationships": {"running_spaces": many("space")}},
    "PATCH /v3/security_groups/<guid=group>": {"name": "renamed"},
    "POST /v3/security_groups/<guid=group>/relationships/running_spaces": many("space"),
    "POST /v3/security_groups/<guid=group>/relationships/staging_spaces": many("space"),
    "PATCH /v3/organizations/<guid=org>/relationships/default_isolation_segment": {"data": None},
    f"PATCH {Space}/relationships/isolation_segment": {"data": None},
    f"POST {App}/tasks": [
        {"command": "run"},
        {"command": "run", "droplet_guid": "$droplet"},
        {"template": {"process": {"guid": "$process"}}},
    ],
    "PATCH /v3/tasks/<guid=task>": {"metadata": {"labels": {"a": "b"}}},
    "PUT /v3/tasks/<guid=task>/cancel": {},
    "POST /v3/tasks/<guid=task>/actions/cancel": {},
    "POST /networking/v1/external/policies": POLICY,
    "POST /networking/v1/external/policies/delete": POLICY,
    f"POST {Organization}/deploy-tokens": {"name": "another"},
    f"POST {Named}/deploy-tokens": [{"name": "another"}, {"name": "lesser", "role": "space_auditor"}],
    f"DELETE {Organization}/deploy-tokens/<name=label>": {},
    f"DELETE {Named}/deploy-tokens/<name=label>": {},
    f"PUT {Organization}/second-factor": {"demanded": False},
    "DELETE /paasd/v1/users/<user=user.name>/second-factor": {},
    "DELETE /oauth/token/revoke/user/<guid=user>": {},
    "DELETE /uaa/oauth/token/revoke/user/<guid=user>": {},
    f"PATCH {Organization}/ssh": {"allowed": True},
    f"POST {NamedApp}/ssh": {},
    f"POST {NamedApp}/scale": {"instances": 1},
    f"POST {NamedApp}/restart": {},
    f"POST {NamedApp}/stop": {},
    f"POST {Named}/push": "",
    f"PUT {Named}/push": "",
    "PUT /Users/<guid=user>": {"userName": "$user.name", "emails": [{"value": "new@example.org"}]},
    "PUT /uaa/Users/<guid=user>": {"userName": "$user.name", "emails": [{"value": "newer@example.org"}]},
    "PATCH /Users/<guid=user>": {"active": True},
    "PATCH /uaa/Users/<guid=user>": {"active": True},
    "PUT /Users/<guid=user>/password": {"password": "a new and long one"},
    "PUT /uaa/Users/<guid=user>/password": {"password": "a new and long one"},
    f"POST {Organization}/invitations": {
        "address": "new@example.org",
        "organization_roles": ["organization_auditor"],
        "spaces": {"$space.name": ["space_developer"]},
    },
    f"DELETE {Organization}/invitations/<invitation=invitation>": {},
    f"DELETE {App}/processes/<type=web>/instances/<index=0>": {},
    f"DELETE {Process}/instances/<index=0>": {},
    "DELETE /v3/routes/<guid=route>/destinations/<destination_guid=destination>": {},
    "DELETE /v3/routes/<guid=route>": {},
    "DELETE /v3/sidecars/<guid=sidecar>": {},
    "DELETE /v3/roles/<guid=role>": {},
    "DELETE /v3/droplets/<guid=droplet>": {},
    "DELETE /v3/packages/<guid=package>": {},
    f"DELETE {Named}/apps/<app=app2.name>": {},
    f"POST {Named}/apps/<app=app3.name>/delete": {},
    f"DELETE {App}": {},
    "DELETE /v3/domains/<guid=domain>": {},
    "DELETE /v3/space_quotas/<guid=space_quota>/relationships/spaces/<space_guid=space>": {},
    "DELETE /v3/space_quotas/<guid=space_quota>": {},
    "DELETE /v3/organization_quotas/<guid=org_quota>": {},
    "DELETE /v3/security_groups/<guid=group>/relationships/running_spaces/<space_guid=space>": {},
    "DELETE /v3/security_groups/<guid=group>/relationships/staging_spaces/<space_guid=space>": {},
    "DELETE /v3/security_groups/<guid=group2>": {},
    f"DELETE {Space}": {},
    "DELETE /v3/users/<guid=user>": {},
    "DELETE /Users/<guid=user>": {},
    "DELETE /uaa/Users/<guid=user2>": {},
    "DELETE /v3/organizations/<guid=org>": {},
}

# No object of a tenant has to do with these; who may call them is tested elsewhere.
PLATFORM: Final = """
GET / GET /v3 GET /v3/info POST /v3/resource_matches GET /v3/stacks GET /v3/stacks/<guid>
POST /v3/stacks PATCH /v3/stacks/<guid> DELETE /v3/stacks/<guid>
GET /v3/buildpacks GET /v3/buildpacks/<guid> GET /v3/feature_flags GET /v3/feature_flags/<name>
POST /v3/buildpacks PATCH /v3/buildpacks/<guid> DELETE /v3/buildpacks/<guid> POST /v3/buildpacks/<guid>/upload
PATCH /v3/feature_flags/<name> GET /v3/environment_variable_groups/<name> PATCH /v3/environment_variable_groups/<name>
GET /v3/deployments POST /v3/deployments POST /v3/admin/actions/clear_buildpack_cache
GET /v3/isolation_segments POST /v3/isolation_segments GET /v3/isolation_segments/<guid>
PATCH /v3/isolation_segments/<guid> DELETE /v3/isolation_segments/<guid> GET /v3/isolation_segments/<guid>/organizations
GET /v3/isolation_segments/<guid>/relationships/organizations GET /v3/isolation_segments/<guid>/relationships/spaces
POST /v3/isolation_segments/<guid>/relationships/organizations
DELETE /v3/isolation_segments/<guid>/relationships/organizations/<organization_guid>
GET /v3/service_brokers GET /v3/service_credential_bindings GET /v3/service_instances GET /v3/service_offerings
GET /v3/service_plans GET /v3/service_route_bindings
GET /v3/app_usage_events/<guid> POST /v3/app_usage_events/actions/destructively_purge_all_and_reseed
GET /v3/service_usage_events/<guid> POST /v3/service_usage_events/actions/destructively_purge_all_and_reseed
POST /networking/v1/external/policies/cleanup GET /routing/v1/router_groups
GET /oauth/clients GET /uaa/oauth/clients DELETE /oauth/clients/<client_id> DELETE /uaa/oauth/clients/<client_id>
GET /oauth/authorize GET /uaa/oauth/authorize GET /passcode POST /passcode GET /uaa/passcode POST /uaa/passcode
GET /oidc/<provider> GET /oidc/<provider>/callback GET /uaa/oidc/<provider> GET /uaa/oidc/<provider>/callback
GET /paasd/v1/me/second-factor POST /paasd/v1/me/second-factor POST /paasd/v1/me/second-factor/actions/confirm
POST /paasd/v1/me/second-factor/actions/remove POST /paasd/v1/me/second-factor/actions/renew-recovery-codes
GET /Groups GET /Groups/<group> GET /Groups/<group>/members POST /Groups/<group>/members
GET /uaa/Groups GET /uaa/Groups/<group> GET /uaa/Groups/<group>/members POST /uaa/Groups/<group>/members
DELETE /Groups/<group>/members/<guid> DELETE /uaa/Groups/<group>/members/<guid>
GET /paasd/v1/openapi.json
POST /v3/organizations POST /v3/users POST /Users POST /uaa/Users
POST /paasd/v1/invitations/accept GET /invitation POST /invitation GET /uaa/invitation POST /uaa/invitation
GET /api/v1/info
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
    "POST /v3/tasks/<guid>/actions/cancel": 422,
    "DELETE /v3/organization_quotas/<guid>": 422,
    "DELETE /paasd/v1/users/<user>/second-factor": 404,
    "POST /paasd/v1/spaces/<organization>/<space>/apps/<app>/ssh": 422,
    "POST /paasd/v1/spaces/<organization>/<space>/push": 422,
    "PUT /paasd/v1/spaces/<organization>/<space>/push": 422,
}

# Names that count once on the whole platform. That one is taken has to be said; by whom must not be told: taken by
# one organization or by another is the same answer.
TAKEN: Final[list[tuple[str, Any]]] = [
    ("POST /v3/routes", {"host": "$host", "relationships": one(space="space", domain="shared")}),
    ("GET /v3/domains/<guid=shared>/route_reservations?host=$host", None),
    ("POST /v3/routes", {"port": "$port", "relationships": one(space="space", domain="ports")}),
    ("GET /v3/domains/<guid=ports>/route_reservations?port=$port", None),
    (f"POST {Space}/actions/apply_manifest", "applications: [{name: sixth, routes: [{route: 'tcp.localhost:$port'}]}]"),
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
    ("POST /v3/domains", {"name": "example.com", "relationships": one(organization="org")}),
    ("POST /v3/organizations", {"name": "$org.name"}),
    ("PATCH /v3/organizations/<guid=org>", {"name": "$org.name"}),
    ("POST /Users", {"userName": "$user.name", "password": "long enough to be one"}),
]

# What a quota that is used up refuses, and a word of what its owner is told.
LIMITED: Final = {
    "POST /v3/routes": "Routes quota exceeded",
    "POST /v3/domains": "exceeds the quota",
    "POST /v3/apps/<guid>/tasks": "quota",
    "POST /v3/apps/<guid>/actions/start": "quota",
    "POST /v3/apps/<guid>/actions/restart": "quota",
}

# Names that count within one place alone (`$taken`, of the kind that is named first): whether somebody else has one of
# the kind in a place of their own is nobody's business.
OWN_NAMES: Final[list[tuple[str, str, Any]]] = [
    ("space.name", "POST /v3/spaces", {"name": "$taken", "relationships": one(organization="org")}),
    ("app.name", "POST /v3/apps", {"name": "$taken", "relationships": one(space="space")}),
    ("app2.name", f"POST {Space}/actions/apply_manifest", "applications: [{name: $taken, no-route: true}]"),
    ("app3.name", f"PATCH {App}", {"name": "$taken"}),
    ("label", f"POST {App}/sidecars", {"name": "$taken", "command": "run", "process_types": ["web"]}),
    ("label", "POST /v3/space_quotas", {"name": "$taken", "relationships": one(organization="org")}),
    ("label", f"POST {Organization}/deploy-tokens", {"name": "$taken"}),
    ("label", f"POST {Named}/deploy-tokens", {"name": "$taken"}),
    ("label", f"POST {Organization}/invitations", {"address": "$taken@example.org"}),
    ("host", "POST /v3/routes", {"host": "$taken", "relationships": one(space="space", domain="domain")}),
    ("space.name", "PATCH /v3/space_quotas/<guid=space_quota>", {"name": "$taken"}),
    ("app.name", f"PATCH {Space}", {"name": "$taken"}),
]
