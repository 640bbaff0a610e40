"""[node], [domains], [api], [auth], [apps], [retention]: the platform as people meet it."""

from typing import Annotated, Literal

from msgspec import Meta

from paasd.config.section import Section
from paasd.config.sign_in import OidcConfig
from paasd.config.suffixes import PUBLIC_SUFFIXES


class NodeConfig(Section, frozen=True, kw_only=True):
    """[node]: who this node is."""

    name: Annotated[str, Meta(description="Name shown in lists; empty takes the host name.")] = ""
    zone: Annotated[str, Meta(description="Zone label such as aws/eu-west-2a or dc1/rack4.")] = "local/a"
    memory_mb: Annotated[
        int,
        Meta(ge=0, description="Memory for tenants, in MB; 0 takes 80 % of the machine. More risks the daemon itself."),
    ] = 0
    disk_mb: Annotated[int, Meta(ge=0, description="Disk for tenants, in MB; 0 takes 80 % of the file system.")] = 0
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        Meta(description="How much the daemon says of itself; DEBUG is a lot. Secrets are in none of it."),
    ] = "INFO"


class DomainsConfig(Section, frozen=True, kw_only=True):
    """[domains]: under which names the platform answers."""

    apps: Annotated[str, Meta(description="Domain under which apps get a default route.")] = "apps.localhost"
    system: Annotated[str, Meta(description="Domain of api., login., log-cache. and the other doors.")] = (
        "system.localhost"
    )
    public_suffixes: Annotated[
        tuple[str, ...],
        Meta(
            description="Names under which many have theirs. Only administrators make such a name, or one above it, a "
            "private domain: nobody else could have a name below it then. [] lets managers have any."
        ),
    ] = PUBLIC_SUFFIXES


class ApiConfig(Section, frozen=True, kw_only=True):
    """[api]: the HTTP door of the daemon itself."""

    host: Annotated[str, Meta(description="Address of the plain listener; keep it on loopback.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port of the plain listener; 0 picks a free one.")] = 7480
    body_limit_bytes: Annotated[
        int, Meta(ge=1024, description="Largest request body other than an upload, in bytes; it is held in memory.")
    ] = 2 * 1024 * 1024
    upload_limit_bytes: Annotated[
        int, Meta(ge=1024 * 1024, description="Largest package or droplet upload, in bytes; it is streamed to disk.")
    ] = 2 * 1024 * 1024 * 1024
    header_limit_bytes: Annotated[
        int,
        Meta(
            ge=9216,
            le=1024 * 1024,
            description="Request line and headers together, in bytes; clients send lists of guids of 7.5 KB.",
        ),
    ] = 32 * 1024
    connections_limit: Annotated[
        int,
        Meta(ge=8, description="Connections served at once; more are closed at once, so a flood cannot fill memory."),
    ] = 1024
    grace_s: Annotated[
        float, Meta(ge=0, description="Seconds that requests in progress get at shutdown; then their sockets are cut.")
    ] = 5.0
    stall_timeout_s: Annotated[
        float,
        Meta(ge=1, description="A client that takes no byte for so many seconds is dropped (TCP_USER_TIMEOUT)."),
    ] = 60.0
    body_timeout_s: Annotated[
        float, Meta(ge=1, description="Longest wait for the next piece of a request body, in seconds.")
    ] = 60.0
    keep_alive_s: Annotated[
        float, Meta(ge=0, description="Seconds that an idle connection is kept open for the next request.")
    ] = 30.0
    follow_limit: Annotated[
        int,
        Meta(
            ge=1,
            description="Streams open at once: logs, pushes, downloads, exports; each holds a connection and a small"
            " buffer. A quarter for one organization, half of that for one user; administrators always find one.",
        ),
    ] = 256
    calls_per_h: Annotated[
        int,
        Meta(
            ge=0,
            description="Calls that one user or client may make of this node in an hour, administrators excepted; more"
            " are answered with 429. Deploy tokens that somebody made in one organization count as one user here and"
            " below. 0 sets no limit.",
        ),
    ] = 60_000
    changes_per_min: Annotated[
        int,
        Meta(
            ge=0,
            description="How many of them may write, in a minute: each leaves an audit event for a year. Reading counts"
            " where it leaves one, as variables and downloads do. 0 sets no limit.",
        ),
    ] = 600
    changes_per_day: Annotated[
        int, Meta(ge=0, description="The same for a day: 20,000 with the longest events are 80 MB. 0 sets no limit.")
    ] = 20_000
    organization_changes_per_day: Annotated[
        int,
        Meta(
            ge=0,
            description="Changes in a day of all who have a role in one organization together, deploy tokens too."
            " 0 sets no limit.",
        ),
    ] = 60_000
    calls_at_once: Annotated[
        int,
        Meta(
            ge=0,
            description="Calls of one user or client that a node carries out at once, as many that read as that change"
            " something; of one organization twice as many. Further ones wait. 0 sets no limit.",
        ),
    ] = 4
    push_wait_s: Annotated[
        float, Meta(ge=1, description="Longest time that a push with wait=true is followed, in seconds.")
    ] = 3600.0


class AuthConfig(Section, frozen=True, kw_only=True):
    """[auth]: tokens and passwords."""

    access_token_s: Annotated[
        int, Meta(ge=90, le=3600, description="Life of an access token, in seconds; clients refresh a minute before.")
    ] = 600
    refresh_token_s: Annotated[
        int, Meta(ge=600, description="Life of a refresh token, in seconds: how long a login lasts that is not used.")
    ] = 30 * 86400
    session_s: Annotated[
        int,
        Meta(
            ge=600, description="Seconds after signing in for which tokens are refreshed, however often they are used."
        ),
    ] = 30 * 86400
    key_publish_s: Annotated[
        int, Meta(ge=0, description="A new signing key is published so many seconds before it signs.")
    ] = 600
    key_rotate_s: Annotated[
        int, Meta(ge=60, description="A signing key signs for so many seconds before the next one takes over.")
    ] = 30 * 86400
    oidc: Annotated[
        dict[Annotated[str, Meta(pattern="^(?!uaa$|deploy-token$)[a-z][a-z0-9-]{0,31}$")], OidcConfig],
        Meta(
            description="Providers at which people sign in, a table each: [auth.oidc.NAME] with issuer, client_id and "
            "the other knobs of docs/sign-in.md; NAME is the origin of their users."
        ),
    ] = {}
    admins_need_second_factor: Annotated[
        bool,
        Meta(description="Platform administrators are that only when they signed in with a second factor."),
    ] = False
    deploy_token_life_s: Annotated[
        int, Meta(ge=3600, description="Life of a deploy token whose maker names none, in seconds.")
    ] = 90 * 86400
    deploy_token_life_max_s: Annotated[
        int, Meta(ge=3600, description="Longest life of a deploy token, in seconds.")
    ] = 365 * 86400
    passcode_s: Annotated[
        int, Meta(ge=30, le=3600, description="Seconds within which a passcode has to be used; it counts once.")
    ] = 300
    hash_memory_kib: Annotated[
        int, Meta(ge=8, description="Memory of one argon2id hash, in KiB; more slows guessing and logins alike.")
    ] = 64 * 1024
    hash_time_cost: Annotated[int, Meta(ge=1, description="Passes of one argon2id hash.")] = 3
    hash_parallel: Annotated[
        int, Meta(ge=1, description="Password hashes computed at once; each takes its memory and a core.")
    ] = 2
    login_failures: Annotated[
        int,
        Meta(ge=1, description="Wrong passwords for one name from one source before it has to wait with that name."),
    ] = 5
    login_name_failures: Annotated[
        int,
        Meta(
            ge=1,
            description="Wrong passwords for one name from all sources together before those have to wait from which "
            "nobody was signed in by that name. Less than 30 lets one source hold up others.",
        ),
    ] = 50
    login_forget_s: Annotated[
        float, Meta(gt=0, description="After so many seconds half of the wrong passwords are forgotten.")
    ] = 3600.0
    login_known_s: Annotated[
        float, Meta(ge=0, description="A source counts as a name's for so many seconds after it was signed in there.")
    ] = 30 * 86400.0
    login_known_sources: Annotated[
        int, Meta(ge=1, description="Sources remembered of one name; the oldest are forgotten.")
    ] = 16
    login_wait_s: Annotated[
        float, Meta(ge=0, description="First wait after too many wrong passwords, in seconds; doubles each time.")
    ] = 2.0
    login_wait_max_s: Annotated[
        float, Meta(ge=0, description="Longest wait after too many wrong passwords, in seconds.")
    ] = 300.0
    throttle_entries: Annotated[
        int, Meta(ge=16, description="Names and addresses remembered by the login throttle; the oldest are forgotten.")
    ] = 10_000

    @property
    def origins(self) -> list[str]:
        """Where people sign in."""
        return ["uaa", *self.oidc]


class AppsConfig(Section, frozen=True, kw_only=True):
    """[apps]: what an app gets that does not ask, and the most that it may ask for."""

    memory_mb: Annotated[int, Meta(ge=16, description="Memory of a process that names none, in MB.")] = 1024
    disk_mb: Annotated[int, Meta(ge=16, description="Disk of a process that names none, in MB.")] = 1024
    disk_limit_mb: Annotated[int, Meta(ge=16, description="Most disk that a process may ask for, in MB.")] = 10_240
    log_rate_limit_bytes: Annotated[
        int, Meta(ge=-1, description="Log bytes per second of a process that names no limit; -1 sets none.")
    ] = -1
    organization_instances_limit: Annotated[
        int,
        Meta(
            ge=1,
            description="Instances that started apps of an organization may want in all where its quota has no limit.",
        ),
    ] = 1000
    build_memory_mb: Annotated[int, Meta(ge=64, description="Memory of a build, in MB.")] = 1024
    build_disk_mb: Annotated[int, Meta(ge=128, description="Disk of a build, in MB.")] = 4096
    build_timeout_s: Annotated[
        float,
        Meta(
            ge=10,
            description="Longest time from the request of a build, or its turn if it waits, to its end, in seconds.",
        ),
    ] = 900
    upload_timeout_s: Annotated[
        float, Meta(ge=10, description="Longest time that an upload or the source of a push may take, in seconds.")
    ] = 900
    environment_limit_bytes: Annotated[
        int, Meta(ge=1024, description="Most bytes of an app's environment variables, names and values together.")
    ] = 64 * 1024
    manifest_limit_bytes: Annotated[
        int, Meta(ge=1024, description="Largest manifest, in bytes; it becomes one write, so it must stay small.")
    ] = 128 * 1024


class RetentionConfig(Section, frozen=True, kw_only=True):
    """[retention]: how long rows are kept that nobody deletes; blobs follow their rows."""

    period_s: Annotated[float, Meta(gt=0, description="Seconds between two rounds of tidying.")] = 3600.0
    packages: Annotated[
        int, Meta(ge=1, description="Packages kept per app, the newest; the one that is served from stays in any case.")
    ] = 5
    droplets: Annotated[
        int, Meta(ge=1, description="Droplets kept per app, the newest; more allow going further back.")
    ] = 5
    builds: Annotated[int, Meta(ge=1, description="Ended builds kept per app, the newest.")] = 50
    revisions: Annotated[
        int,
        Meta(
            ge=1, le=1000, description="Revisions kept per app, the newest; each has the variables of its time, sealed."
        ),
    ] = 100
    jobs_s: Annotated[float, Meta(ge=3600, description="Seconds that an ended job can still be asked for.")] = 172_800.0
    events_s: Annotated[
        float, Meta(ge=3600, description="Seconds that audit events are kept; the default is thirteen months.")
    ] = 34_214_400.0
    tasks_s: Annotated[
        float, Meta(ge=3600, description="Seconds that tasks which have ended can still be asked for (31 days).")
    ] = 2_678_400.0
    usage_events_s: Annotated[
        float,
        Meta(ge=3600, description="Seconds that usage events are kept; who bills has to read them before (45 days)."),
    ] = 3_888_000.0
