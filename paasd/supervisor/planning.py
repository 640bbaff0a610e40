"""Gets together what one launch needs: its rows, its layers on this disk, its secrets. Waits for what is away."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import trio

from paasd.blobs import Blobs
from paasd.config import SupervisorConfig
from paasd.errors import PaasdError, Unavailable
from paasd.model import App, Droplet, Instance
from paasd.model.variable_groups import has_secrets
from paasd.state import Database
from paasd.supervisor.launch import Plan, plan_launch
from paasd.unsealing import Unsealed, Unsealing

RETRY_S = 2.0
P = TypeVar("P")


class Planner(msgspec.Struct, frozen=True, kw_only=True):
    """One per supervisor."""

    config: SupervisorConfig
    database: Database
    blobs: Blobs
    unsealing: Unsealing
    default_stack: str
    api_url: str

    async def plan(self, instance_guid: str) -> Plan:
        """Raises PaasdError: Unavailable when it may work later, else a row or layer is gone, or no command."""
        with self.database.read() as tx:
            instance = tx.need(Instance, instance_guid)
            sealed = has_secrets(tx, tx.need(App, instance.app_guid), "running")
            layers = tx.need(Droplet, instance.droplet_guid).layers
        for layer in layers:
            await self.blobs.ensure(layer.sha256)
        unsealed = await self.unsealing.instance(instance.guid, instance.epoch) if sealed else Unsealed()
        with self.database.read() as tx:
            return plan_launch(
                tx,
                instance_guid,
                config=self.config,
                blobs=self.blobs,
                unsealed=unsealed,
                default_stack=self.default_stack,
                api_url=self.api_url,
            )


async def planned(plan: Callable[[], Awaitable[P]], stopped: trio.Event, waiting: Callable[[str], None]) -> P:
    """The plan as soon as it can be made; `waiting` is told why not yet. Raises PaasdError, also once `stopped`."""
    made: P | None = None
    failure: PaasdError | None = None
    async with trio.open_nursery() as nursery:

        async def end() -> None:
            await stopped.wait()
            nursery.cancel_scope.cancel()

        nursery.start_soon(end)
        while made is None and failure is None:
            try:
                made = await plan()
            except Unavailable as error:
                waiting(error.detail)
                await trio.sleep(RETRY_S)
            except PaasdError as error:
                failure = error
        nursery.cancel_scope.cancel()
    if made is None:
        raise failure or PaasdError("the instance is not wanted any more")
    return made
