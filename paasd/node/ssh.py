"""The door for ssh, put together: what is opened where, on a node with keys."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from random import random

import trio

from paasd.actions import Context
from paasd.actions.ssh import Place
from paasd.auth.service import Auth
from paasd.node.start import Start
from paasd.peer import Peers
from paasd.sandbox import AnySandbox
from paasd.ssh import passing
from paasd.ssh.distance import open_there, serve
from paasd.ssh.door import SshDoor, open_door
from paasd.ssh.listening import RETRY_S, listen
from paasd.ssh.programs import Program, Programs
from paasd.ssh.wire import Ask
from paasd.state.sealing import Sealer
from paasd.supervisor import Supervisor


async def open_ssh(
    start: Start, context: Context, auth: Auth, sandbox: AnySandbox, supervisor: Supervisor, peers: Peers
) -> SshDoor | None:
    """Instances of this node are open to the doors of all nodes. Only nodes with keys have a door themselves; a worker
    leads to one.
    """
    programs = Programs(supervisor, lambda: sandbox.network is not None)
    serve(peers, programs)
    sealer = context.sealer
    if not start.config.ssh.enabled:
        return None
    if not isinstance(sealer, Sealer):
        await start.enter(_passing(start, peers))
        return None

    def opens(place: Place, ask: Ask) -> AbstractAsyncContextManager[Program]:
        return programs.open(ask) if place.node_guid == start.guid else open_there(peers, place.node_guid, ask)

    on_refused = partial(start.refusals.add, "ssh")
    door: SshDoor = await start.enter(open_door(context, auth, sealer, opens, start.run / "ssh.log", on_refused))
    passing.serve(peers, door.take_in)
    return door


@asynccontextmanager
async def _passing(start: Start, peers: Peers) -> AsyncIterator[None]:
    """A worker's port, until the block ends."""

    def control_nodes() -> list[str]:
        guids = [place.guid for place in start.book.others(role="control")]
        return sorted(guids, key=lambda guid: (start.observed.reachability(guid) != "alive", random()))

    async def run() -> None:
        while True:
            if (listener := listen(start.config)) is not None:
                with listener:
                    await passing.pass_on(listener, peers, control_nodes)
            await trio.sleep(RETRY_S)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()
