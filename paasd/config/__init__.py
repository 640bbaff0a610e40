"""Every knob of a node: TOML in, frozen structs out; unknown keys are refused by path.

A section per part of paasd. Each knob says what it means, its unit and what moving it costs; `docs/config.toml` is made
from these descriptions and a test keeps the two alike. `load_config` reads a file; embedded nodes build a `Config`.
"""

from paasd.config.cluster import ClusterConfig
from paasd.config.copies import CopiesConfig, S3Config
from paasd.config.file import Config, load_config
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
from paasd.config.sign_in import OidcConfig
from paasd.config.ssh import SshConfig
from paasd.config.storage import BlobsConfig, LogsConfig, StateConfig
from paasd.config.tenants import DiskConfig, DnsConfig, NetworkConfig, SandboxConfig
from paasd.config.tunnels import TunnelsConfig

__all__ = [
    "ApiConfig",
    "AppsConfig",
    "AuthConfig",
    "BlobsConfig",
    "ClusterConfig",
    "Config",
    "CopiesConfig",
    "DiskConfig",
    "DnsConfig",
    "DomainsConfig",
    "GossipConfig",
    "LeasesConfig",
    "LivenessConfig",
    "LogsConfig",
    "MailConfig",
    "NetworkConfig",
    "NodeConfig",
    "OidcConfig",
    "PeerConfig",
    "RetentionConfig",
    "RouterConfig",
    "S3Config",
    "SandboxConfig",
    "SchedulerConfig",
    "Section",
    "SshConfig",
    "StagingConfig",
    "StateConfig",
    "SupervisorConfig",
    "TunnelsConfig",
    "load_config",
]
