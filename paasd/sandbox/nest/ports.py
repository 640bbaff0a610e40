"""Ports for programs that are told theirs: free now, and kept from every other user of this class on the machine.

An app binds its port itself, some time after it was chosen. Until then the number is held by an abstract Unix socket of
that name, which the kernel gives to one process alone and takes back when that dies; the port itself is left alone.
"""

import random
import socket
from pathlib import Path

from paasd.errors import Unavailable

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_WIDTH = 12_000
_TRIES = 500


class Ports:
    """Hands out numbers below those that the kernel gives to clients. Blocks for microseconds."""

    def __init__(self, choose: random.Random | None = None) -> None:
        self._choose = choose or random.SystemRandom()
        self._held: dict[int, socket.socket] = {}

    def take(self) -> int:
        """A port on which nothing listens and which nobody else gets until it is given back."""
        end = max(int(_RANGE.read_text().split()[0]), 1024 + _WIDTH)
        for _ in range(_TRIES):
            port = self._choose.randrange(end - _WIDTH, end)
            holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                holder.bind(f"\0paasd-port-{port}")
                _probe(port)
            except OSError:
                holder.close()
                continue
            self._held[port] = holder
            return port
        raise Unavailable("no free port was found for an instance")

    def give_back(self, port: int) -> None:
        holder = self._held.pop(port, None)
        if holder is not None:
            holder.close()

    def close(self) -> None:
        for port in list(self._held):
            self.give_back(port)


def _probe(port: int) -> None:
    """Raises OSError when somebody listens there, on any address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("0.0.0.0", port))
        probe.listen(1)
