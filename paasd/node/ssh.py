"""The door for ssh, put together: what is opened where, on a node with keys."""

from contextlib import AbstractAsyncContextManager
from functools import partial

from paasd.actions import Context
from paasd.actions.ssh import Place
from paasd.auth.service import Auth
from paasd.node.start import Start
from paasd.peer import Peers
from paasd.sandbox import AnySandbox
from paasd.ssh.distance import open_there, serve
from paasd.ssh.door import SshDoor, open_door
from paasd.ssh.programs import Program, Programs
from paasd.ssh.wire import Ask
from paasd.state.sealing import Sealer
from paasd.supervisor import Supervisor


async def open_ssh(
    start: Start, context: Context, auth: Auth, sandbox: AnySandbox, supervisor: Supervisor, peers: Peers
) -> SshDoor | None:
    """Instances of this node are open to the doors of all nodes; only nodes with keys have a door themselves."""
    programs = Programs(supervisor, lambda: sandbox.network is not None)
    serve(peers, programs)
    sealer = context.sealer
    if not start.config.ssh.enabled or not isinstance(sealer, Sealer):
        return None

    def opens(place: Place, ask: Ask) -> AbstractAsyncContextManager[Program]:
        return programs.open(ask) if place.node_guid == start.guid else open_there(peers, place.node_guid, ask)

    on_refused = partial(start.refusals.add, "ssh")
    door: SshDoor = await start.enter(open_door(context, auth, sealer, opens, start.run / "ssh.log", on_refused))
    return door
