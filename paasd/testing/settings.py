"""The configuration of an embedded node: as in production, but quick where production is careful."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from paasd.config import (
    ApiConfig,
    AuthConfig,
    ClusterConfig,
    Config,
    NodeConfig,
    RouterConfig,
    SshConfig,
    StagingConfig,
    StateConfig,
)
from paasd.config.section import Section

_MEMORY_MB = 64 * 1024
_DISK_MB = 1024 * 1024


def node_config(
    data: Path,
    *,
    name: str,
    zone: str,
    cluster: ClusterConfig,
    router_ports: tuple[int, int],
    sections: Mapping[str, Section],
) -> Config:
    """`sections`, such as `supervisor=SupervisorConfig(...)`, replace those of an embedded node."""
    own: dict[str, Any] = {
        # Nothing is measured or held, so apps may ask for what they ask for in production.
        "node": NodeConfig(name=name, zone=zone, memory_mb=_MEMORY_MB, disk_mb=_DISK_MB),
        "api": ApiConfig(port=0, grace_s=0.5),
        # Also for root: Envoy as another user could not enter a directory of the tests.
        "router": RouterConfig(http_port=router_ports[0], https_port=router_ports[1], workers=1, uid=0),
        "ssh": SshConfig(port=0, uid=0),
        "cluster": cluster,
        # The password is as good as the account that runs the tests.
        "auth": AuthConfig(hash_memory_kib=8, hash_time_cost=1),
        "state": StateConfig(snapshot_interval_s=0),
        # Asking pip for its settings would take half a second of each node's start.
        "staging": StagingConfig(inherit_host_settings=False),
        "supervisor": msgspec.structs.replace(Config().supervisor, drain_s=0.1, stop_grace_s=2.0),
    }
    return Config(data=str(data), **{**own, **sections})
