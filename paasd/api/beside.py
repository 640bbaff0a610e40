"""Long answers are made and encoded beside the loop, one at a time of a person: the others' calls go on meanwhile."""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from paasd.api.call import Call, Reply

SHORT_ROWS: Final = 100
"""So many rows take the loop for 2 ms, 5,000 for as much as fifty calls of others."""
LONG: Final = SHORT_ROWS + 1
B = TypeVar("B")


async def beside_if_long(call: Call, rows: int, make: Callable[[], Reply[B]]) -> Reply[B]:
    """What `make` returns; it reads in a snapshot of its own."""
    if rows <= SHORT_ROWS:
        return make()
    apart = call.context.apart
    async with apart.turn(call.paying.person):
        return await apart.run(lambda: _encoded(make()))


def _encoded(reply: Reply[B]) -> Reply[B]:
    return msgspec.structs.replace(reply, raw=reply.content())
