"""Who may have how much of what all instances of a node share at the resolver."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from paasd.rate import Shares


class Places:
    """At most `limit` are taken at once: a quarter by one holder, over all of its instances, half of that by one.

    `holder_of` tells who an address belongs to; "" where nobody knows, which makes the address its own holder.
    """

    def __init__(self, limit: int, holder_of: Callable[[str], str]) -> None:
        self._holder_of = holder_of
        self._holders = Shares(limit, limit // 4)
        self._clients = Shares(limit, limit // 8)

    @contextmanager
    def place(self, client: str) -> Iterator[bool]:
        """Whether there is a place for `client`; it is held until the block ends."""
        # Asked once: what is given back is what was taken, also when the address is somebody else's by then.
        holder = self._holder_of(client) or client
        if not self._clients.take(client):
            yield False
            return
        try:
            if not self._holders.take(holder):
                yield False
                return
            try:
                yield True
            finally:
                self._holders.give_back(holder)
        finally:
            self._clients.give_back(client)
