"""Addresses of nodes, which are known by address or by name."""

import contextlib
import socket
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from types import MappingProxyType

import trio

from paasd.model import Node
from paasd.state import Ne, ReadTx

RESOLVE_S = 5.0


def places_of_nodes(tx: ReadTx, own_guid: str, public: Iterable[str]) -> set[str]:
    """Where nodes can be reached from instances: others as they say it themselves, all by what is mapped to them.

    The own advertised address is the host's, which instances do not reach at all; a public one leads out and back in.
    """
    rows = tx.all(Node, Ne("guid", own_guid), Ne("state", "REMOVED"))
    return {row.address for row in rows if row.address} | set(public)


async def addresses_of(
    places: Iterable[str], last: Mapping[str, frozenset[str]] = MappingProxyType({})
) -> dict[str, frozenset[str]]:
    """IPv4 addresses of each of these places, as `last` has them of a name that nobody can resolve now.

    Such a name is asked for again at the next look; one that `last` does not have is left out.
    """
    found: dict[str, frozenset[str]] = {}
    async with trio.open_nursery() as nursery:
        for place in places:
            try:
                address = ip_address(place)
            except ValueError:
                if place in last:
                    found[place] = last[place]
                nursery.start_soon(_resolve, place, found)
            else:
                found[place] = frozenset({str(address)} if address.version == 4 else ())
    return found


async def _resolve(name: str, found: dict[str, frozenset[str]]) -> None:
    with trio.move_on_after(RESOLVE_S), contextlib.suppress(OSError):
        infos = await trio.socket.getaddrinfo(name, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
        found[name] = frozenset(str(info[4][0]) for info in infos)
