"""What every instance of a node shares: the parts it works with, and the bounds it shares with the others."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from paasd.config import SupervisorConfig
from paasd.logs import Logs
from paasd.observed import Observed
from paasd.sandbox import AnySandbox
from paasd.supervisor.crashes import CrashReports
from paasd.supervisor.journal import Journal
from paasd.supervisor.launch import Identity, Plan


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """Passed to each instance; `plan` gets together what a launch needs, `starts` bounds a start storm.

    `right_to_run` waits for the lease of an instance that needs one, until the event says that it is not wanted any
    more; it gives the end in boot time, None where none is needed. `leave` returns when no router sends requests to an
    instance (guid, epoch) any more; None where there is only the own one, which is quick.
    """

    config: SupervisorConfig
    node_guid: str
    observed: Observed
    sandbox: AnySandbox
    logs: Logs
    journal: Journal
    crashes: CrashReports
    plan: Callable[[str], Awaitable[Plan]]
    right_to_run: Callable[[Identity, trio.Event], Awaitable[float | None]]
    leave: Callable[[str, int], Awaitable[None]] | None
    starts: trio.CapacityLimiter
    clock: Callable[[], float]  # unix seconds
    new_guid: Callable[[], str]
    cpus: int
