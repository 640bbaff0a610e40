"""`/`, `/v3`, `/v3/info`: where a client starts."""

from paasd.api.answers import Answer, Link, Links, Nothing
from paasd.api.call import Call, Reply
from paasd.api.platform import Door
from paasd.api.table import Auth, Route, get

# Clients of the older kind resolve paths through these links, whether or not the group has any resource here.
GROUPS = (
    *("app_usage_events", "apps", "audit_events", "buildpacks", "builds", "deployments", "domains", "droplets"),
    *("environment_variable_groups", "feature_flags", "info", "isolation_segments", "organization_quotas"),
    *("organizations", "packages", "processes", "resource_matches", "roles", "routes", "security_groups"),
    *("service_brokers", "service_credential_bindings", "service_instances", "service_offerings", "service_plans"),
    *("service_route_bindings", "service_usage_events", "sidecars", "space_quotas", "spaces", "stacks", "tasks"),
    "users",
)


class DoorsShown(Answer):
    """The doors of the platform; those that there are not are null."""

    links: dict[str, Door | None]


class Groups(Answer):
    """Where each group of resources is."""

    links: Links


class CliVersion(Answer):
    """Which versions of the CLI get on with this."""

    minimum: str
    recommended: str


class RateLimits(Answer):
    """How many calls one may make."""

    enabled: bool
    general_limit: int | None
    reset_interval_in_minutes: int | None


class Info(Answer):
    """What this platform is."""

    build: str
    cli_version: CliVersion
    custom: Nothing
    description: str
    name: str
    osbapi_version: str
    rate_limits: RateLimits
    version: int
    links: Links


async def root(call: Call) -> Reply[DoorsShown]:
    """`GET /`: the doors of the platform."""
    return Reply(body=DoorsShown(links=call.platform.root_links(call.urls)))


async def v3_root(call: Call) -> Reply[Groups]:
    """`GET /v3`: a link for each group of resources."""
    links = {"self": Link(href=call.urls.v3())}
    return Reply(body=Groups(links=links | {group: call.urls.link(group) for group in GROUPS}))


async def info(call: Call) -> Reply[Info]:
    """`GET /v3/info`."""
    limit = call.platform.config.api.calls_per_h
    return Reply(
        body=Info(
            build=call.platform.version,
            cli_version=CliVersion(minimum="8.0.0", recommended="8.18.0"),
            custom=Nothing(),
            description="paasd",
            name="paasd",
            osbapi_version="2.15",
            rate_limits=RateLimits(
                enabled=bool(limit), general_limit=limit or None, reset_interval_in_minutes=60 if limit else None
            ),
            version=0,
            links={"self": call.urls.link("info"), "support": Link(href="")},
        )
    )


ROUTES: tuple[Route, ...] = (
    get("/", root, auth=Auth.NONE, any_query=True),
    get("/v3", v3_root, auth=Auth.NONE, any_query=True),
    get("/v3/info", info, auth=Auth.NONE, any_query=True),
)
