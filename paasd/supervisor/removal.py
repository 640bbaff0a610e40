"""Taking away a container that nothing stands for any more."""

from typing import Final

import trio

from paasd.containment import contained
from paasd.logs import Logs
from paasd.sandbox import AnySandbox

PAUSES_S: Final = (0.1, 0.5, 2.0)


async def remove(sandbox: AnySandbox, logs: Logs, guid: str) -> None:
    """The kernel may need a moment to let go, and a full disk one to have space again; what is not gone then is left to
    the sweep of the next start.
    """

    async def act() -> None:
        await sandbox.destroy(guid)
        await logs.forget_cursor(guid)

    for pause_s in PAUSES_S:
        if await contained("removal of a container", act, container=guid):
            return
        await trio.sleep(pause_s)
