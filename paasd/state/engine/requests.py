"""Forgets stored results of requests that nobody repeats any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec
import trio

from paasd.errors import PaasdError
from paasd.state.conditions import In, Lt
from paasd.state.operations import operation
from paasd.state.records import Record
from paasd.state.transactions import Tx

if TYPE_CHECKING:
    from paasd.state.engine.database import Database

ROUND_S: Final = 600.0
ROWS: Final = 200  # a delete carries the old row in the log, so it is done in portions


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
    old = tx.all(Request, Lt("at_s", arguments.before_s), limit=ROWS)
    if old:
        tx.delete_all(Request, In("request_id", [request.request_id for request in old]))
    return len(old) == ROWS


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
        except PaasdError:
            continue  # a log without quorum, or a full disk: the next round will do
