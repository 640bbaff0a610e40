"""A stream stays open as long as whoever opened it could open it again."""

from typing import Any, Final

import msgspec
import trio

from paasd.actions.still_allowed import WATCHED, caller_now
from paasd.api.call import Call, Reply
from paasd.errors import PaasdError

LOOK_AGAIN_S: Final = 30.0
"""What ends by time alone: tokens, deploy tokens."""
PAUSE_S: Final = 0.2
"""Between two looks, however much is written meanwhile."""


async def until_refused(call: Call, reply: Reply[Any]) -> None:
    """Return when the caller has ended, or a right without which the reply would not have come about."""
    context, auth, may = call.context, call.platform.auth, reply.may
    assert may is not None
    caller = msgspec.structs.replace(call.caller, expires_at=0) if reply.bounded else call.caller
    async with context.database.watch(*WATCHED) as changes:
        while True:
            with trio.move_on_after(LOOK_AGAIN_S):
                await changes.wait()
            changes.take()
            try:
                may(caller_now(context, auth, caller))
            except PaasdError:
                return
            await trio.sleep(PAUSE_S)
