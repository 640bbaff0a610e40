"""A call whose answer did not come is sent again for a while, under a key by which it is carried out once."""

import time
import uuid
from collections.abc import Callable
from typing import Final

import click
import httpx

KEY: Final = "Idempotency-Key"
LIMIT_S: Final = 15.0
"""So long after the first try: a daemon that was killed is back by then, and nodes have agreed on who leads."""

PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0)
NOT_NOW: Final = (503, 504)
READS: Final = ("GET", "HEAD")
Send = Callable[[dict[str, str]], httpx.Response]


def persist(method: str, send: Send) -> tuple[httpx.Response, bool]:
    """The answer, and whether the call had to be sent more than once. Raises httpx.TransportError, the first one.

    Who does not even listen at the first try is not waited for, nor is a reader while the platform is not well: they
    want to know at once.
    """
    reads = method.upper() in READS
    headers = {} if reads else {KEY: str(uuid.uuid4())}
    until_s = time.monotonic() + LIMIT_S
    first: httpx.TransportError | None = None
    for number in range(1_000):
        pause_s = PAUSES_S[min(number, len(PAUSES_S) - 1)]
        over = time.monotonic() + pause_s > until_s
        try:
            answer = send(headers)
        except httpx.TransportError as error:
            first = first or error
            if over or (number == 0 and isinstance(error, httpx.ConnectError | httpx.TimeoutException)):
                raise first from error
            why = "the connection broke before the answer came"
        else:
            if reads or over or answer.status_code not in NOT_NOW:
                return answer, number > 0
            why = f"the answer was {answer.status_code}"
        if number == 0:
            click.echo(f"paasd: {why}; trying again for up to {LIMIT_S:.0f} s, which does nothing twice", err=True)
        time.sleep(pause_s)
    raise AssertionError("the limit is one of time")
