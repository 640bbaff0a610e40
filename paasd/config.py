"""Every knob of a node: TOML in, frozen structs out; unknown keys are refused by path.

A section per part of paasd. Each knob says what it means, its unit and what moving it costs; `docs/config.md` is made
from these descriptions and a test keeps the two alike.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from paasd.errors import ConfigError


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration file."""


class NodeConfig(Section, frozen=True, kw_only=True):
    """[node]: who this node is."""

    name: Annotated[str, Meta(description="Name shown in lists; empty takes the host name.")] = ""
    zone: Annotated[str, Meta(description="Zone label such as aws/eu-west-2a or dc1/rack4.")] = "local/a"
    memory_mb: Annotated[
        int,
        Meta(ge=0, description="Memory for tenants, in MB; 0 takes 80 % of the machine. More risks the daemon itself."),
    ] = 0
    disk_mb: Annotated[
        int, Meta(ge=0, description="Disk for tenants, in MB; 0 takes 80 % of the free space at start.")
    ] = 0


class DomainsConfig(Section, frozen=True, kw_only=True):
    """[domains]: under which names the platform answers."""

    apps: Annotated[str, Meta(description="Domain under which apps get a default route.")] = "apps.localhost"
    system: Annotated[str, Meta(description="Domain of api., login., log-cache. and the other doors.")] = (
        "system.localhost"
    )


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


class StateConfig(Section, frozen=True, kw_only=True):
    """[state]: the replicated database."""


class BlobsConfig(Section, frozen=True, kw_only=True):
    """[blobs]: content-addressed files."""


class LogsConfig(Section, frozen=True, kw_only=True):
    """[logs]: log lines kept on this node."""


class SandboxConfig(Section, frozen=True, kw_only=True):
    """[sandbox]: what isolates tenants."""

    stack: Annotated[str, Meta(description="Default stack: host (development) or debian12 (production).")] = "host"


class SupervisorConfig(Section, frozen=True, kw_only=True):
    """[supervisor]: how instances are kept running."""


class StagingConfig(Section, frozen=True, kw_only=True):
    """[staging]: how source becomes a droplet."""


class RouterConfig(Section, frozen=True, kw_only=True):
    """[router]: the Envoy data path."""

    host: Annotated[str, Meta(description="Address on which HTTP and HTTPS listen.")] = "127.0.0.1"
    http_port: Annotated[int, Meta(ge=0, le=65535, description="Port for HTTP; 0 picks a free one.")] = 80
    https_port: Annotated[int, Meta(ge=0, le=65535, description="Port for HTTPS; 0 picks a free one.")] = 443


class AuthConfig(Section, frozen=True, kw_only=True):
    """[auth]: tokens and passwords."""


class Config(Section, frozen=True, kw_only=True):
    """The whole file. Build it in code for embedded nodes, or read it with `load_config`."""

    data: Annotated[str, Meta(description="Data directory, made 0700 at first start.")] = "/var/lib/paasd"
    node: NodeConfig = NodeConfig()
    domains: DomainsConfig = DomainsConfig()
    api: ApiConfig = ApiConfig()
    state: StateConfig = StateConfig()
    blobs: BlobsConfig = BlobsConfig()
    logs: LogsConfig = LogsConfig()
    sandbox: SandboxConfig = SandboxConfig()
    supervisor: SupervisorConfig = SupervisorConfig()
    staging: StagingConfig = StagingConfig()
    router: RouterConfig = RouterConfig()
    auth: AuthConfig = AuthConfig()


def load_config(path: Path | None) -> Config:
    """Read `path`; None gives the defaults. Raises ConfigError naming the file and the knob."""
    if path is None:
        return Config()
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; name another file with --config") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    try:
        return msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}; docs/config.md lists every knob") from error
