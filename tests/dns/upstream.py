"""A small name server of our own on loopback, as an upstream: zone data as text, and ways to misbehave."""

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import trio

ZONE = {
    ("www.example.org.", "A"): ["198.51.100.7", "198.51.100.8"],
    ("www.example.org.", "AAAA"): ["2606:2800::1"],
    ("mail.example.org.", "MX"): ["10 www.example.org."],
    ("rebind.example.org.", "A"): ["10.1.2.3", "198.51.100.9"],
    ("metadata.example.org.", "A"): ["169.254.169.254"],
    ("mapped.example.org.", "AAAA"): ["::ffff:10.0.0.1", "fd00::1"],
    ("db.corp.example.", "A"): ["10.9.9.9"],
    ("host.internal.", "A"): ["10.9.9.10"],
    ("7.100.51.198.in-addr.arpa.", "PTR"): ["www.example.org."],
    ("1.0.0.10.in-addr.arpa.", "PTR"): ["secret.corp."],
    ("large.example.org.", "TXT"): [f'"{number:03d}{"x" * 200}"' for number in range(20)],
}


class Upstream:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.silent: bool | str = False
        """Whether nothing is answered, or what names end with of which nothing is."""
        self.lost = 0
        """How many of the next datagrams never arrive."""
        self.resets = False
        self.raw: Callable[[bytes], bytes] | None = None
        self.mangle: Callable[[bytes], bytes] | None = None
        self.port = 0

    @property
    def server(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answer(self, packet: bytes, limit: int) -> bytes:
        query = dns.message.from_wire(packet)
        if self.raw is not None and len(wire := self.raw(packet)) <= limit:
            return wire
        name, kind = query.question[0].to_text().split()[0], query.question[0].to_text().split()[2]
        self.asked.append((name, kind))
        response = dns.message.make_response(query)
        found = ZONE.get((name.lower(), kind))
        if self.raw is not None:
            response.flags |= dns.flags.TC
            return response.to_wire()
        if found is not None:
            response.answer.append(dns.rrset.from_text_list(name, 300, "IN", kind, found))
        elif not any(known == name.lower() for known, _ in ZONE):
            response.set_rcode(dns.rcode.NXDOMAIN)
        try:
            return response.to_wire(max_size=limit)
        except dns.exception.TooBig:
            response.flags |= dns.flags.TC
            response.answer = []
            return response.to_wire()


async def bind_both() -> tuple[trio.socket.SocketType, list[trio.SocketListener]]:
    """One port number that is free for both protocols."""
    while True:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        sock = trio.socket.socket(type=trio.socket.SOCK_DGRAM)
        try:
            await sock.bind(("127.0.0.1", listeners[0].socket.getsockname()[1]))
        except OSError:
            sock.close()
            await listeners[0].aclose()
            continue
        return sock, listeners


async def receive_exactly(stream: trio.SocketStream, size: int) -> bytes:
    received = b""
    while len(received) < size:
        piece = await stream.receive_some(size - len(received))
        if not piece:
            raise EOFError
        received += piece
    return received


@asynccontextmanager
async def open_upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    sock, listeners = await bind_both()
    upstream.port = sock.getsockname()[1]

    async def datagrams() -> None:
        while True:
            packet, peer = await sock.recvfrom(4096)
            if upstream.lost:
                upstream.lost -= 1
                continue
            name = dns.message.from_wire(packet).question[0].name.to_text()
            if not (name.endswith(upstream.silent) if isinstance(upstream.silent, str) else upstream.silent):
                wire = upstream.answer(packet, 1232)
                await sock.sendto(upstream.mangle(wire) if upstream.mangle else wire, peer)

    async def connection(stream: trio.SocketStream) -> None:
        try:
            async with stream:
                (size,) = struct.unpack("!H", await receive_exactly(stream, 2))
                if upstream.resets:
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                wire = upstream.answer(await receive_exactly(stream, size), 65535)
                await stream.send_all(struct.pack("!H", len(wire)) + wire)
        except (trio.BrokenResourceError, EOFError):
            pass  # a resolver that has waited long enough hangs up

    with sock:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(datagrams)
            nursery.start_soon(trio.serve_listeners, connection, listeners)
            yield upstream
            nursery.cancel_scope.cancel()
