"""The records: what a node says about the instances that it runs, and about itself.

They travel as arrays: the order of fields is part of the wire format, new ones go to the end and have a default.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

InstanceState = Literal["STARTING", "RUNNING", "CRASHED", "DOWN", "STOPPING"]
Guid = Annotated[str, Meta(min_length=1, max_length=64)]
Counter = Annotated[int, Meta(ge=0, lt=1 << 53)]
ABOUT: Final = ""
"""The key of the NodeFact among a node's records; no instance has it."""


class Usage(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What an instance used when last sampled."""

    cpu_fraction: float  # 1.0 is one core, busy all the time
    memory_bytes: int
    disk_bytes: int
    log_bytes_per_s: float
    at: float  # unix seconds


class InstanceFact(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag=1):
    """One instance as its node sees it. `routable` says whether requests may be sent to `address`:`port` now."""

    instance_guid: Guid
    epoch: Counter
    node_guid: Guid
    app_guid: Guid
    process_guid: Guid
    process_type: Annotated[str, Meta(max_length=255)]
    index: Counter
    state: InstanceState
    since: float  # unix seconds at which `state` was entered
    address: Annotated[str, Meta(max_length=64)] | None = None
    port: Annotated[int, Meta(ge=0, le=65535)] | None = None
    routable: bool = False
    details: str | None = None
    usage: Usage | None = None

    @property
    def key(self) -> str:
        return self.instance_guid


class NodeFact(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag=2):
    """One node as it sees itself and the others.

    `unreachable` are the nodes that it tried to reach itself, in vain: the report of a witness. `settled` says that it
    has found again what runs on it, so that what it does not mention is gone. `clock_offset_s` are the others' clocks
    minus its own, where that is worth a word. `quarantined` are nodes that sent it garbage. `keys` are the ids of the
    gossip keys that it can open, `sending_key` the one that it seals with. `holds` are other things that others must
    know it to have before they rely on it, such as `trusts:` an authority.
    """

    node_guid: Guid
    boot: Counter
    version: str = ""
    applied_index: Counter = 0
    unreachable: tuple[Guid, ...] = ()
    quarantined: tuple[Guid, ...] = ()
    settled: bool = False
    clock_offset_s: dict[Guid, float] = {}
    load: float = 0.0  # runnable processes per core
    loop_lag_s: float = 0.0
    keys: tuple[str, ...] = ()
    sending_key: str = ""
    holds: tuple[Annotated[str, Meta(max_length=64)], ...] = ()
    certificate_ends_at: Counter = 0  # unix seconds
    disk_free_mb: Counter | None = None  # where its data is
    busy_ports: tuple[Annotated[int, Meta(ge=0, le=65535)], ...] = ()  # of TCP routes, which others have there

    @property
    def key(self) -> str:
        return ABOUT


Fact = InstanceFact | NodeFact
