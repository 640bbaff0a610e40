"""An app and what it runs: its processes and their sidecars."""

import msgspec

from paasd.model.records.resource import Resource


class HealthCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an instance proves that it is well. Times in seconds; None takes the platform's default."""

    type: str = "port"
    timeout_s: int | None = None
    invocation_timeout_s: int | None = None
    interval_s: int | None = None
    endpoint: str | None = None


class App(Resource, table="apps", secret=("environment",)):
    """`environment` is the sealed JSON object of user variables (context `environment_context(guid)`), "" when empty.

    `version` grows with every start and restart; instances carry the version that they were placed for, and the
    scheduler replaces those of an older one. A new droplet or environment waits for the next restart, which notes in
    `revision_guid` with what it starts the app. What builds keep for the next one counts for one `cache_generation`.
    """

    name: str
    space_guid: str
    state: str = "STOPPED"
    lifecycle_type: str = "buildpack"
    buildpacks: list[str] = []
    stack: str | None = None
    environment: str = ""
    droplet_guid: str | None = None
    features: dict[str, bool] = {}
    version: int = 0
    deleting: bool = False
    revision_guid: str | None = None
    cache_generation: int = 0


class Process(Resource, table="processes", secret=("command",)):
    """One process type of an app. `command` None means the one that the droplet names for the type."""

    app_guid: str
    type: str
    command: str | None = None
    instances: int = 0
    memory_mb: int = 1024
    disk_mb: int = 1024
    log_rate_limit_bytes: int = -1
    health_check: HealthCheck = HealthCheck()
    readiness_health_check: HealthCheck = HealthCheck(type="process")


class Sidecar(Resource, table="sidecars", secret=("command",)):
    """A further program beside the processes of the named types; `origin` is user or buildpack."""

    app_guid: str
    name: str
    command: str
    process_types: list[str] = []
    memory_mb: int | None = None
    origin: str = "user"
