"""Addresses of nodes, which are known by address or by name."""

import socket
from collections.abc import Iterable
from ipaddress import ip_address

import trio

RESOLVE_S = 5.0


async def addresses_of(places: Iterable[str]) -> set[str]:
    """IPv4 addresses of these places. A name that nobody can resolve now is asked for again at the next look."""
    found: set[str] = set()
    async with trio.open_nursery() as nursery:
        for place in places:
            try:
                address = ip_address(place)
            except ValueError:
                nursery.start_soon(_resolve, place, found)
                continue
            if address.version == 4:
                found.add(str(address))
    return found


async def _resolve(name: str, found: set[str]) -> None:
    with trio.move_on_after(RESOLVE_S):
        try:
            infos = await trio.socket.getaddrinfo(name, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
        except OSError:
            return
        found.update(str(info[4][0]) for info in infos)
