"""What every action works with: the engines of one node, handed in by the composition root."""

import secrets
import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

import msgspec
import trio.lowlevel

from paasd.actions.mailing import Postage
from paasd.auth import Caller
from paasd.blobs import Blobs
from paasd.config import Config
from paasd.config.ports import Ranges, port_ranges
from paasd.logs import Logs
from paasd.membership import Membership
from paasd.model.arguments import Actor
from paasd.model.auditing.following import Head
from paasd.model.processes import Sizes
from paasd.model.router_groups import RouterGroup
from paasd.observed import Observed
from paasd.state import Database
from paasd.turns import Apart


class Sealing(Protocol):
    """What actions need of the sealer."""

    def seal(self, plain: bytes, context: str) -> str:
        """Ciphertext that opens only under the same context."""

    def open(self, sealed: str, context: str) -> bytes:
        """The plain bytes."""


async def _without_router(app_guid: str) -> None:
    await trio.lowlevel.checkpoint()


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """One per node. `clock` gives unix seconds; `new_guid` the guids that must be known before the write.

    `routed` returns when the router serves the routes of an app, named by its guid, as they are now. `busy_ports` are
    those of TCP routes that another program of this host has. `seen_heads` are those that the chain of audit
    events had while this daemon ran.
    """

    config: Config
    database: Database
    blobs: Blobs
    observed: Observed
    logs: Logs
    sealer: Sealing
    node_guid: str
    membership: Membership | None = None
    clock: Callable[[], float]
    new_guid: Callable[[], str] = lambda: str(uuid.uuid4())
    choose: Callable[[list[str]], str] = secrets.choice
    routed: Callable[[str], Awaitable[None]] = _without_router
    busy_ports: Callable[[], Sequence[int]] = tuple
    seen_heads: Collection[Head] = ()
    apart: Apart = msgspec.field(default_factory=Apart)
    postage: Postage = msgspec.field(default_factory=Postage)

    @property
    def sizes(self) -> Sizes:
        """Defaults and limits of processes."""
        apps = self.config.apps
        return Sizes(
            memory_mb=apps.memory_mb,
            disk_mb=apps.disk_mb,
            disk_limit_mb=apps.disk_limit_mb,
            log_rate_limit_bytes=apps.log_rate_limit_bytes,
            instances_limit=apps.organization_instances_limit,
        )

    @property
    def tcp_ports(self) -> Ranges:
        """Those that TCP routes may reserve; none where there are no TCP routes."""
        return port_ranges(self.config.router.tcp_ports)

    @property
    def router_groups(self) -> list[RouterGroup]:
        """One with ports to reserve, or none."""
        return [RouterGroup(reservable=self.tcp_ports)] if self.tcp_ports else []

    @property
    def reserved_hosts(self) -> list[str]:
        """Full host names that no tenant may have."""
        system = self.config.domains.system
        return [system, *(f"{door}.{system}" for door in SYSTEM_DOORS)]


SYSTEM_DOORS = ("api", "login", "uaa", "log-cache", "doppler", "log-stream", "ssh", "console")


def actor_of(caller: Caller) -> Actor:
    """How audit events name the caller, and from where."""
    return Actor(
        guid=caller.user_guid,
        type=caller.actor_type,
        name=caller.username,
        address=caller.address,
        client=caller.client if caller.request_id else "",
        request_id=caller.request_id,
    )
