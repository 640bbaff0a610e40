"""`open_voting`: over an open database and an open seat."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from paasd.state import Database
from paasd.voting.authority import Sealing
from paasd.voting.following import Follower, OpenFeed
from paasd.voting.manager import Guids, Manager
from paasd.voting.seat import Seat


@asynccontextmanager
async def open_voting(
    seat: Seat,
    database: Database,
    sealer: Sealing,
    *,
    listen: str,
    open_feed: OpenFeed,
    unreachable: Guids,
    unfit: Guids = frozenset,
    clock: Callable[[], float],
) -> AsyncIterator[None]:
    """Vote as this node's row says, and change who votes when it is this node's turn, until the block ends.

    Only on control nodes that are members of a cluster. `listen` is the address of etcd's ports; `open_feed` opens the
    log of a node that does not vote; `unfit` are nodes that are to get no vote now. `clock` in unix seconds.
    """
    async with trio.open_nursery() as nursery:
        follower = Follower(seat, database, sealer, listen=listen, open_feed=open_feed, nursery=nursery, clock=clock)
        nursery.start_soon(follower.offer)
        nursery.start_soon(follower.follow)
        nursery.start_soon(Manager(follower, seat, database, unreachable, unfit).manage)
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()
