"""Forgets stored results of requests that nobody repeats any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
import trio

from paasd.errors import PaasdError
from paasd.state.conditions import Lt
from paasd.state.operations import operation
from paasd.state.portions import Portion
from paasd.state.records import Record
from paasd.state.transactions import Tx

if TYPE_CHECKING:
    from paasd.state.engine.database import Database

ROUND_S: Final = 600.0


class Request(Record, table="state_requests", key=("request_id",)):
    """A request that was carried out, with its result."""

    request_id: str
    at_s: int
    operation: str
    result: bytes


class ForgetRequests(msgspec.Struct):
    """`before_s` in unix seconds."""

    before_s: int


@operation("state.forget_requests", version=1)
def forget_requests(tx: Tx, arguments: ForgetRequests) -> bool:
    """Forget some of the requests older than that; whether there may be more."""
    return not Portion(tx).clear(Request, Lt("at_s", arguments.before_s))


async def forget_requests_until(database: Database, memory_s: float, clock: Callable[[], float]) -> None:
    """Every ten minutes, until cancelled."""
    while True:
        await trio.sleep(ROUND_S)
        before_s = int(clock() - memory_s)
        with database.read() as tx:
            more = tx.exists(Request, Lt("at_s", before_s))
        try:
            while more:
                more = await database.write(forget_requests, ForgetRequests(before_s))
        except PaasdError as error:  # a log without quorum, or a full disk: the next round will do
            structlog.get_logger("paasd.state").warning("old requests are not forgotten", reason=error.detail)
