"""The records: what a node says about the instances that it runs."""

from typing import Literal

import msgspec

InstanceState = Literal["STARTING", "RUNNING", "CRASHED", "DOWN", "STOPPING"]


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance used when last sampled."""

    cpu_fraction: float  # 1.0 is one core, busy all the time
    memory_bytes: int
    disk_bytes: int
    log_bytes_per_s: float
    at: float  # unix seconds


class InstanceFact(msgspec.Struct, frozen=True, kw_only=True):
    """One instance as its node sees it. `routable` says whether requests may be sent to `address`:`port` now."""

    instance_guid: str
    epoch: int
    node_guid: str
    app_guid: str
    process_guid: str
    process_type: str
    index: int
    state: InstanceState
    since: float  # unix seconds at which `state` was entered
    address: str | None = None
    port: int | None = None
    routable: bool = False
    details: str | None = None
    usage: Usage | None = None
