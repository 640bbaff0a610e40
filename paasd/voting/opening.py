"""`open_voting`: over an open database and an open seat."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from paasd.state import Database
from paasd.voting.authority import Sealing
from paasd.voting.following import Follower, OpenFeed
from paasd.voting.manager import Guids, Manager
from paasd.voting.seat import Seat
from paasd.voting.upkeep import RoundTrip, Upkeep


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
    round_trip: RoundTrip = lambda: None,
    strict: bool = True,
    clock: Callable[[], float],
) -> AsyncIterator[None]:
    """Vote as this node's row says, and change who votes when it is this node's turn, until the block ends.

    Only on control nodes that are members of a cluster. `listen` is the address of etcd's ports; `open_feed` opens the
    log of a node that does not vote; `unfit` are nodes that are to get no vote now; `round_trip` is the slowest mean
    one to another voter, in seconds, None while unknown. Tests that have no time are not `strict` (see
    MemberSpec). `clock` in unix seconds.
    """
    async with trio.open_nursery() as nursery:
        follower = Follower(
            seat, database, sealer, listen=listen, open_feed=open_feed, nursery=nursery, strict=strict, clock=clock
        )
        nursery.start_soon(follower.offer)
        nursery.start_soon(follower.follow)
        manager = Manager(follower, seat, database, unreachable, unfit)
        nursery.start_soon(manager.manage)
        nursery.start_soon(Upkeep(seat, database, manager.is_acting, round_trip).keep)
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()
