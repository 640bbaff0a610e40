"""Calls that count as changes though they read or come from nobody yet: those that write.

That somebody reads variables or takes a code is written down as everything else is, and stays for as long.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from paasd.api.call import Call
from paasd.api.limits import READING
from paasd.api.payer import Payer
from paasd.api.table import Route
from paasd.state import charging


@contextmanager
def counted_writes(call: Call, route: Route, address: str) -> Iterator[None]:
    """A call that was not counted as a change becomes one with its first write, which raises TooManyRequests.

    It is counted for `call.payer`, for its address as long as nobody has signed in.
    """
    if not call.anonymous and route.method not in READING:
        yield
        return
    counted: set[str] = set()

    def charge() -> None:
        payer = call.payer or Payer(f"from {address}")
        if payer.person not in counted:
            counted.add(payer.person)
            call.platform.call_limits.change(payer)

    with charging(charge):
        yield
