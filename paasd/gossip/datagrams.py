"""The UDP socket, and where the members are: names become addresses here, and addresses become members again."""

import socket
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
import trio

Address = tuple[Any, ...]
_DATAGRAM_LIMIT: Final = 2048
_BUFFER_BYTES: Final = 1024 * 1024
_IN_A_ROW: Final = 64
"""Datagrams taken before other tasks have their turn."""


class Datagrams:
    """Sends at once or not at all: a datagram that finds the buffer full is lost, as it might be anywhere."""

    def __init__(self, plain: socket.socket) -> None:
        self._plain = plain
        self.family = plain.family
        self.port: int = plain.getsockname()[1]
        self.unopened = 0
        self.unsent = 0

    def send(self, data: bytes, address: Address) -> None:
        try:
            self._plain.sendto(data, address)
        except OSError:
            self.unsent += 1

    async def receive(self) -> list[tuple[bytes, Address]]:
        """What has come, at least one look at the socket later; perhaps nothing."""
        await trio.lowlevel.wait_readable(self._plain)
        found: list[tuple[bytes, Address]] = []
        while len(found) < _IN_A_ROW:
            try:
                found.append(self._plain.recvfrom(_DATAGRAM_LIMIT))
            except OSError:
                break  # nothing more for now, or news of a datagram that did not arrive
        return found


class Addresses:
    """Of the members. Names are looked up when they come and again from time to time."""

    def __init__(self, family: int) -> None:
        self._family = family
        self._named: dict[str, tuple[str, int]] = {}
        self._known: dict[str, Address] = {}
        self._guids: dict[tuple[str, int], str] = {}

    def of(self, guid: str) -> Address | None:
        return self._known.get(guid)

    def guid_of(self, address: Address) -> str | None:
        """Whose it is, if it is exactly a member's."""
        return self._guids.get((address[0], address[1]))

    async def replace(self, named: Mapping[str, tuple[str, int]]) -> None:
        changed = {guid for guid, name in named.items() if self._named.get(guid) != name}
        self._named = dict(named)
        await self._resolve(changed)

    async def refresh(self) -> None:
        """Look the names up again; addresses stay as they are."""
        await self._resolve({guid for guid, (name, _) in self._named.items() if not _is_address(name)})

    async def _resolve(self, guids: Collection[str]) -> None:
        found: dict[str, Address] = {}

        async def look_up(guid: str) -> None:
            name, port = self._named[guid]
            try:
                flags = socket.AI_V4MAPPED if self._family == socket.AF_INET6 else 0
                answers = await trio.socket.getaddrinfo(name, port, self._family, socket.SOCK_DGRAM, 0, flags)
                found[guid] = answers[0][4]
            except OSError as error:
                structlog.get_logger().warning("address of a node not found", node=guid, address=name, error=str(error))

        async with trio.open_nursery() as nursery:
            for guid in sorted(guids):
                nursery.start_soon(look_up, guid)
        self._known = {guid: one for guid, one in (self._known | found).items() if guid in self._named}
        self._guids = {(one[0], one[1]): guid for guid, one in self._known.items()}


def _is_address(name: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, name)
        except OSError:
            continue
        return True
    return False


@asynccontextmanager
async def open_datagrams(listen: str, port: int) -> AsyncIterator[Datagrams]:
    """Bind; port 0 picks a free one. Raises OSError if the port is taken."""
    answers = await trio.socket.getaddrinfo(listen, port, 0, socket.SOCK_DGRAM, 0, socket.AI_PASSIVE)
    family, kind, protocol, _, address = answers[0]
    with socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol) as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        if family == socket.AF_INET6:
            plain.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        plain.bind(address)
        yield Datagrams(plain)
