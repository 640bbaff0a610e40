"""Calls that count as changes though they read or come from nobody yet: those that write.

That somebody reads variables or takes a code is written down as everything else is, and stays for as long.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from paasd.api.call import Call
from paasd.api.limits import READING
from paasd.api.table import Route
from paasd.api.turns import organizations_of
from paasd.auth import Caller
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
        payer = call.payer or Caller(user_guid=f"from {address}", username=address, scopes=())
        if payer.user_guid not in counted:
            counted.add(payer.user_guid)
            organizations = partial(organizations_of, call.context.database, payer)
            call.platform.call_limits.change(payer, organizations)

    with charging(charge):
        yield
