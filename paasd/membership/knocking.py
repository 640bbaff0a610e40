"""Whether others reach a new node: the platform knocks at its ports before it lets it in.

A node behind NAT or a closed firewall would be declared dead as soon as it runs; better say at once which port is shut.
While it asks to join, the new node answers on every port that it will use, with a number that only the platform knows.
"""

import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, Literal

import trio

from paasd.errors import Unprocessable
from paasd.membership.files import Ports
from paasd.peer.interface import Role

NONCE_BYTES: Final = 16
KNOCK_LIMIT_S: Final = 3.0
_DATAGRAM_EVERY_S: Final = 0.3
_KNOCK: Final = b"paasd: who is there?"
Transport = Literal["TCP", "UDP"]


def doors_of(ports: Ports, role: Role) -> list[tuple[Transport, int]]:
    """What must be open at a node of this role, each once."""
    found: list[tuple[Transport, int]] = [("TCP", ports.peer), ("UDP", ports.peer), ("TCP", ports.tunnel)]
    if role == "control":
        found += [("TCP", ports.etcd_client), ("TCP", ports.etcd_peer)]
    return list(dict.fromkeys(found))


@asynccontextmanager
async def answering(listen: str, ports: Ports, role: Role) -> AsyncIterator[bytes]:
    """Answer whoever knocks with the number that the block is given. Raises Unprocessable when a port is taken."""
    nonce = secrets.token_bytes(NONCE_BYTES)

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            with trio.move_on_after(KNOCK_LIMIT_S), suppress(trio.BrokenResourceError):
                await stream.send_all(nonce)

    failed: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            for transport, port in doors_of(ports, role):
                try:
                    if transport == "TCP":
                        listeners = await trio.open_tcp_listeners(port, host=listen)
                        nursery.start_soon(trio.serve_listeners, answer, listeners)  # noqa: ASYNC113 - who knocks waits
                    else:
                        nursery.start_soon(_answer_datagrams, await _bound(listen, port), nonce)
                except OSError as error:
                    raise Unprocessable(
                        f"{transport} port {port} is taken on this machine ({error.strerror}); is paasd running? Stop "
                        "it, or set other ports in [cluster]"
                    ) from error
            yield nonce
        except Exception as error:  # noqa: BLE001 (raised again outside the nursery, which would wrap it into a group)
            failed = error
        finally:
            nursery.cancel_scope.cancel()
    if failed is not None:
        raise failed


async def _bound(listen: str, port: int) -> trio.socket.SocketType:
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    plain = trio.socket.socket(family, socket.SOCK_DGRAM)
    try:
        await plain.bind((listen, port))
    except OSError:
        plain.close()
        raise
    return plain


async def _answer_datagrams(plain: trio.socket.SocketType, nonce: bytes) -> None:
    with plain:
        while True:
            said, source = await plain.recvfrom(100)
            if said == _KNOCK:
                with suppress(OSError):
                    await plain.sendto(nonce, source)


async def knock(address: str, ports: Ports, role: Role, nonce: bytes) -> None:
    """Raise Unprocessable with what to do unless every port of the new node can be reached and it is the one there."""
    shut: list[str] = []
    strangers: list[str] = []
    reasons: set[str] = set()

    async def one(transport: Transport, port: int) -> None:
        name = f"{transport} {port}"
        try:
            said = await _ask(transport, address, port)
        except (OSError, ValueError, trio.TooSlowError, trio.BrokenResourceError) as error:
            shut.append(name)
            reasons.add(getattr(error, "strerror", None) or "no answer")
        else:
            if said != nonce:
                strangers.append(name)

    doors = doors_of(ports, role)
    async with trio.open_nursery() as nursery:
        for transport, port in doors:
            nursery.start_soon(one, transport, port)
    if strangers:
        raise Unprocessable(
            f"at {address} another program than the new node answers ({', '.join(sorted(strangers))}): set [cluster] "
            "address to this node's own"
        )
    if len(shut) == len(doors):
        raise Unprocessable(
            f"this platform cannot reach the new node at {address} ({', '.join(sorted(reasons))}): set [cluster] "
            f"address to one that other nodes reach, and open {', '.join(sorted(shut))} towards it (docs/clouds.md); "
            "behind NAT a node cannot join"
        )
    if shut:
        raise Unprocessable(
            f"this platform reaches the new node at {address}, but not {', '.join(sorted(shut))}: open that in the "
            "firewall towards it (docs/clouds.md)"
        )


async def _ask(transport: Transport, address: str, port: int) -> bytes:
    with trio.fail_after(KNOCK_LIMIT_S):
        if transport == "UDP":
            return await _ask_by_datagram(address, port)
        said = b""
        async with await trio.open_tcp_stream(address, port) as stream:
            while len(said) < NONCE_BYTES and (more := await stream.receive_some(NONCE_BYTES)):
                said += more
        return said


async def _ask_by_datagram(address: str, port: int) -> bytes:
    """Datagrams get lost, so it asks again. The answer of a machine with several addresses may come from another one
    than was asked, so the socket is not connected: that it is the right machine is proved by the number.
    """
    found = await trio.socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM)
    with trio.socket.socket(found[0][0], socket.SOCK_DGRAM) as plain:
        while True:
            await plain.sendto(_KNOCK, found[0][4])
            with trio.move_on_after(_DATAGRAM_EVERY_S):
                return (await plain.recvfrom(NONCE_BYTES + 1))[0]
