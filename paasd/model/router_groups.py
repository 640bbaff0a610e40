"""The one group of routers that there is: every node's, with the ports that the operator set aside. Pure."""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

Ranges = Sequence[tuple[int, int]]

TCP_GROUP_GUID: Final = "2a5f3d6e-8f0c-4c39-9b1e-6d1f7f0a7c11"
"""The same on every platform, as the name is."""
TCP_GROUP_NAME: Final = "default-tcp"


class RouterGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Routers that share the ports `reservable`, first and last of each range."""

    guid: str = TCP_GROUP_GUID
    name: str = TCP_GROUP_NAME
    type: str = "tcp"
    reservable: tuple[tuple[int, int], ...]


def is_reservable(port: int, ranges: Ranges) -> bool:
    """Whether a route may have the port."""
    return any(low <= port <= high for low, high in ranges)


def free_port(ranges: Ranges, taken: Collection[int], begin: int) -> int | None:
    """The first free port from `begin` on, going round; None where there is none."""
    free = [port for low, high in ranges for port in range(low, high + 1) if port not in taken]
    return next((port for port in free if port >= begin), free[0] if free else None)
