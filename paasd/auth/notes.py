"""What sign-in notes beside requests: nobody waits for it, and without quorum people still come in.

Of what happens often, at most one note is made per subject and while; so sign-in cannot flood the log.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

import structlog
import trio

from paasd.errors import PaasdError
from paasd.state import Database, Operation

WAITING_LIMIT: Final = 256
"""Notes that wait to be written; what is above is noted the next time."""
REMEMBERED: Final = 10_000


class Notes:
    """Notes of one node."""

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._made: OrderedDict[str, float] = OrderedDict()
        self._send, self._receive = trio.open_memory_channel[tuple[Operation[Any, Any], Any]](WAITING_LIMIT)

    def once(self, subject: str, period_s: float, operation: Operation[Any, Any], arguments: Any) -> None:
        """Have it written, unless that was done for the subject within the period."""
        now = self._clock()
        if now - self._made.get(subject, float("-inf")) < period_s:
            return
        try:
            self._send.send_nowait((operation, arguments))
        except trio.WouldBlock:
            return
        self._made[subject] = now
        self._made.move_to_end(subject)
        while len(self._made) > REMEMBERED:
            self._made.popitem(last=False)

    async def write(self) -> None:
        """Write them down. For ever."""
        async for operation, arguments in self._receive:
            try:
                await self._database.write(operation, arguments)
            except PaasdError as error:
                structlog.get_logger("paasd.auth").info("not noted", operation=operation.name, error=error.detail)
