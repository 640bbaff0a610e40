"""Which address an instance gets: round robin over the node's pool, none again before its quarantine is over. Pure."""

import zlib
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from paasd.errors import Unavailable


class AddressPool:
    """Free addresses of a pool. `now` is any clock that never goes back, the same for all calls."""

    def __init__(self, pool: IPv4Network, quarantine_s: float) -> None:
        self._pool = pool
        self._quarantine_s = quarantine_s
        self._used: set[IPv4Address] = set()
        self._released: dict[IPv4Address, float] = {}
        self._next = 1

    def take(self, now: float) -> IPv4Address:
        """The next free address. Raises Unavailable when all are in use or in quarantine."""
        usable = self._pool.num_addresses - 2
        for _ in range(usable):
            candidate = self._pool[self._next]
            self._next = self._next % usable + 1
            released = self._released.get(candidate)
            if candidate in self._used or (released is not None and now - released < self._quarantine_s):
                continue
            self._released.pop(candidate, None)
            self._used.add(candidate)
            return candidate
        raise Unavailable(
            f"all {usable} instance addresses of this node are in use or rest after use; try again in a minute, "
            "or give the node a larger [network] pool_prefix_length"
        )

    def claim(self, address: IPv4Address) -> None:
        """Mark an address as in use: an instance that was found on the host has it."""
        self._used.add(address)
        self._released.pop(address, None)

    def release(self, address: IPv4Address, now: float) -> None:
        """Start the quarantine of an address. The time of an earlier release is kept when it was not in use."""
        if address in self._used:
            self._used.discard(address)
            self._released[address] = now

    def resting(self, now: float) -> dict[str, float]:
        """Addresses in quarantine and when they were released; what a restarted daemon has to know."""
        return {str(a): at for a, at in self._released.items() if now - at < self._quarantine_s}

    def restore(self, resting: dict[str, float], now: float) -> None:
        """Take over the quarantine of an earlier run. Times after `now` (another boot) count as released now."""
        for text, at in resting.items():
            address = IPv4Address(text)
            if address in self._pool and address not in self._used:
                self._released[address] = min(at, now)
                self._next = max(self._next, int(address) - int(self._pool[0]) + 1)
        self._next = (self._next - 1) % (self._pool.num_addresses - 2) + 1


def choose_pool(prefix: str, supernet: IPv4Network, prefix_length: int, taken: Iterable[IPv4Network]) -> IPv4Network:
    """The pool of a node: by hash of its prefix, else the next that overlaps nothing `taken`. Raises Unavailable."""
    if prefix_length <= supernet.prefixlen:
        raise Unavailable(f"[network] pool_prefix_length /{prefix_length} does not fit into supernet {supernet}")
    occupied = list(taken)
    count = 1 << (prefix_length - supernet.prefixlen)
    size = 1 << (32 - prefix_length)
    first = zlib.crc32(prefix.encode()) % count
    for step in range(count):
        start = int(supernet.network_address) + (first + step) % count * size
        pool = IPv4Network((start, prefix_length))
        if not any(pool.overlaps(other) for other in occupied):
            return pool
    raise Unavailable(
        f"no free /{prefix_length} is left in [network] supernet {supernet}: the host routes or other nodes use it all"
    )
