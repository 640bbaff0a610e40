"""The whole file: its sections put together, and the way from TOML to them."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from paasd.config.cluster import ClusterConfig
from paasd.config.copies import CopiesConfig, S3Config
from paasd.config.gossip import GossipConfig
from paasd.config.mail import MailConfig
from paasd.config.peer import PeerConfig
from paasd.config.platform import (
    ApiConfig,
    AppsConfig,
    AuthConfig,
    DomainsConfig,
    NodeConfig,
    RetentionConfig,
)
from paasd.config.routing import RouterConfig
from paasd.config.running import StagingConfig, SupervisorConfig
from paasd.config.scheduling import LeasesConfig, LivenessConfig, SchedulerConfig
from paasd.config.section import Section
from paasd.config.ssh import SshConfig
from paasd.config.storage import BlobsConfig, LogsConfig, StateConfig
from paasd.config.tenants import DiskConfig, DnsConfig, NetworkConfig, SandboxConfig
from paasd.config.tunnels import TunnelsConfig
from paasd.errors import ConfigError


class Config(Section, frozen=True, kw_only=True):
    """The whole file. Build it in code for embedded nodes, or read it with `load_config`."""

    data: Annotated[str, Meta(description="Data directory, made 0700 at first start.")] = "/var/lib/paasd"
    node: NodeConfig = NodeConfig()
    cluster: ClusterConfig = ClusterConfig()
    peer: PeerConfig = PeerConfig()
    gossip: GossipConfig = GossipConfig()
    domains: DomainsConfig = DomainsConfig()
    api: ApiConfig = ApiConfig()
    state: StateConfig = StateConfig()
    blobs: BlobsConfig = BlobsConfig()
    copies: CopiesConfig = CopiesConfig()
    s3: S3Config = S3Config()
    logs: LogsConfig = LogsConfig()
    sandbox: SandboxConfig = SandboxConfig()
    network: NetworkConfig = NetworkConfig()
    disk: DiskConfig = DiskConfig()
    dns: DnsConfig = DnsConfig()
    supervisor: SupervisorConfig = SupervisorConfig()
    staging: StagingConfig = StagingConfig()
    router: RouterConfig = RouterConfig()
    tunnels: TunnelsConfig = TunnelsConfig()
    auth: AuthConfig = AuthConfig()
    ssh: SshConfig = SshConfig()
    mail: MailConfig = MailConfig()
    apps: AppsConfig = AppsConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    liveness: LivenessConfig = LivenessConfig()
    leases: LeasesConfig = LeasesConfig()
    retention: RetentionConfig = RetentionConfig()

    @property
    def ssh_host(self) -> str:
        """Where ssh listens: beside the router, when nothing else is said."""
        return self.ssh.host or self.router.host


def load_config(path: Path | None) -> Config:
    """Read `path`; None gives the defaults. Raises ConfigError naming the file and the knob."""
    if path is None:
        return Config()
    try:
        raw: dict[str, Any] = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; name another file with --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}; docs/config.toml is an example") from error
    try:
        return msgspec.convert(raw, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}; docs/config.toml lists every knob") from error
