"""Where things run: nodes and the instances that the scheduler wants on them."""

from paasd.model.records.resource import Resource
from paasd.state import Record


class Node(Resource, table="nodes"):
    """A machine with paasd. `memory_mb` and `disk_mb` are what tenants may use.

    `state` is READY, DRAINING, DEAD (decided by witnesses), RETURNING (alive again, not given anything yet) or REMOVED
    (for good). `role` is control (serves the API, may vote, holds keys) or worker. An empty `address` means that it is
    alone. `voting` is empty, JOINING, VOTER or LEAVING. `schema_limit` is the newest migration that its paasd knows,
    `etcd_version` that of its etcd, empty when it cannot vote.
    """

    name: str
    zone: str
    memory_mb: int
    disk_mb: int
    cpus: int
    state: str = "READY"
    incarnation: int = 0
    role: str = "control"
    address: str = ""
    peer_port: int = 0
    tunnel_port: int = 0
    etcd_client_port: int = 0
    etcd_peer_port: int = 0
    voting: str = ""
    version: str = ""
    schema_limit: int = 0
    etcd_version: str = ""
    state_changed_at: str = ""


class Instance(Record, table="instances"):
    """One wanted instance: the scheduler writes the row, the supervisor of `node_guid` makes it true.

    A row that disappears means: stop it. While an instance moves there are two rows of its (process, index), the
    successor under a higher epoch. `memory_mb`, `disk_mb` and `log_rate_limit_bytes` are those at placement, so
    that scaling a process does not change instances that already run.
    """

    guid: str = ""
    created_at: str = ""
    app_guid: str
    process_guid: str
    process_type: str
    index: int
    app_version: int
    droplet_guid: str
    node_guid: str
    epoch: int = 1
    desired: str = "RUNNING"
    memory_mb: int
    disk_mb: int
    log_rate_limit_bytes: int = -1


class PlacementFailure(Record, table="placement_failures", key=("process_guid",)):
    """Why some wanted instances of a process have no node; shown as the details of DOWN instances."""

    process_guid: str
    app_guid: str
    created_at: str = ""
    reason: str
