"""Connects to the first of several members that answers: the next one is tried soon, not after the first has failed.

A machine that is gone refuses nothing, it is silent; to wait for it would hold up every write and read of this node.
"""

import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import trio

from paasd.etcd.channel import Channel, Unreachable, open_channel

STAGGER_S: Final = 0.15
"""The lead that each member has over the next one; a member on this machine needs a few milliseconds."""

Address = tuple[str, int]
Connect = Callable[[Address, ssl.SSLContext, trio.Nursery], Awaitable[Channel]]


async def connect_first(
    addresses: Sequence[Address],
    context: Callable[[], ssl.SSLContext],
    nursery: trio.Nursery,
    connect: Connect = open_channel,
) -> tuple[Address, Channel]:
    """The member and a channel that runs in `nursery`. Raises Unreachable with the reason of the last that failed."""
    found: list[tuple[Address, Channel]] = []
    failures = [Unreachable("there is no member of etcd to ask")]

    async def attempt(address: Address, over: trio.Event, trying: trio.CancelScope) -> None:
        try:
            channel = await connect(address, context(), nursery)
        except Unreachable as error:
            failures.append(error)
        else:
            if found:
                channel.close("another member answered first")
            else:
                found.append((address, channel))
                trying.cancel()
        finally:
            over.set()

    async with trio.open_nursery() as attempts:
        for address in addresses:
            over = trio.Event()
            attempts.start_soon(attempt, address, over, attempts.cancel_scope)
            with trio.move_on_after(STAGGER_S):
                await over.wait()
    if not found:
        raise failures[-1]
    return found[0]
