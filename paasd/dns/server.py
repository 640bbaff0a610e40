"""The resolver's sockets: UDP and TCP on the link address, for instances of this node only."""

import contextlib
import os
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import structlog
import trio

from paasd.config import DnsConfig
from paasd.dns.places import Places
from paasd.dns.policy import Lookup, NotYet, Policy, addresses_of, refuse, respond
from paasd.dns.upstreams import NoUpstream, Upstreams, parse_servers
from paasd.rate import Bucket, Buckets

LINK_ADDRESS = "169.254.1.1"
_CLIENTS_REMEMBERED = 8192
_REFUSALS_PER_S = 10
_FAILURES_LOGGED_PER_S = 1
_TCP_IDLE_S = 10.0
_ACCEPT_AGAIN_S = 0.1
_UDP_QUERY_LIMIT_BYTES = 4096
_PACKETS_AT_A_LOOK = 256
_IP_FREEBIND = 15
_SO_RCVBUFFORCE = 33
_SOL_UDP, _UDP_GRO = 17, 104
_LOOK_UPS_OF_A_PACKET = 4
"""A sender's kernel, and ours where GRO is on, may make one packet of many datagrams, which is counted as one."""
_QUEUED_PACKET_BYTES = 1280
_QUEUED_SENDERS = 16
"""The queue has room for what so many instances may send at once, of the longest that the kernel lets through."""
_QUEUE_LIMIT_BYTES = 256 * 1024 * 1024

Learn = Callable[[str, str, set[str], float], Awaitable[None]]
"""(client, name asked for, IPv4 addresses, seconds they hold), awaited before the client gets its answer."""


class Resolver:
    """Made by `open_resolver`. `port` is where it listens, for `Network.set_resolver`."""

    def __init__(
        self,
        config: DnsConfig,
        *,
        lookup: Lookup,
        is_instance: Callable[[str], bool],
        holder_of: Callable[[str], str],
        learn: Learn,
        clock: Callable[[], float],
    ) -> None:
        self.port = 0
        self._config = config
        self._is_instance = is_instance
        self._learn = learn
        self._clock = clock
        self._policy = Policy(config.private_zones, lookup)
        self._buckets = Buckets(config.queries_per_s, config.queries_burst, _CLIENTS_REMEMBERED)
        servers = parse_servers(config.upstreams)
        places = Places(config.concurrent_limit, holder_of)
        self._upstreams = Upstreams(servers, timeout_s=config.timeout_s, places=places)
        self._refusals = Buckets(_REFUSALS_PER_S, _REFUSALS_PER_S, _CLIENTS_REMEMBERED)
        self._connections = Places(config.tcp_connections_limit, holder_of)
        self._failures = Bucket(_FAILURES_LOGGED_PER_S, _FAILURES_LOGGED_PER_S, clock())
        if not servers:
            structlog.get_logger().warning("no name server: apps resolve apps.internal only; set [dns] upstreams")

    async def answer(self, packet: bytes, client: str) -> dns.message.Message | None:
        """The answer; None for what deserves none (not DNS, not a query, not an instance of ours) or must wait."""
        allowed = self._admit(client)
        return None if allowed is None else await self._answer(packet, client, allowed)

    def _admit(self, client: str) -> bool | None:
        """Whether it may ask now. None for what is not even read: not from an instance of ours, or too much of one.

        Who asks more than it may is told so a few times a second; reading the rest would cost as much as answering it.
        """
        if not self._is_instance(client):
            return None
        if self._buckets.take(client, self._clock()):
            return True
        return False if self._refusals.take(client, self._clock()) else None

    async def _answer(self, packet: bytes, client: str, allowed: bool) -> dns.message.Message | None:
        try:
            query = dns.message.from_wire(packet)
        except (dns.exception.DNSException, ValueError):
            return None
        if query.flags & dns.flags.QR or not query.question:
            return None
        if not allowed:
            return refuse(query, dns.rcode.REFUSED)
        try:
            ours = self._policy.decide(query, client)
        except NotYet:
            return None
        if ours is not None:
            return ours
        try:
            found = await self._upstreams.ask(query, client)
        except NoUpstream:
            return refuse(query, dns.rcode.SERVFAIL)
        return await self._pass_on(query, self._policy.admit(query, found), client)

    async def _pass_on(
        self, query: dns.message.Message, found: dns.message.Message, client: str
    ) -> dns.message.Message:
        response = respond(query)
        response.set_rcode(found.rcode())
        response.answer = found.answer
        response.authority = found.authority
        question = query.question[0]
        if question.rdtype == dns.rdatatype.A:
            addresses, lifetime_s = addresses_of(found)
            if addresses:
                name = question.name.to_text(omit_final_dot=True).lower()
                await self._learn(client, name, addresses, lifetime_s)
        return response

    async def serve_udp(self, sock: trio.socket.SocketType) -> None:
        """Many packets at a look, and no task for what is not even read: others' look-ups stand behind a flood."""
        queue = socket.socket(fileno=os.dup(sock.fileno()))
        with queue:
            queue.setblocking(False)
            async with trio.open_nursery() as nursery:
                while True:
                    await trio.lowlevel.wait_readable(queue)
                    for packet, peer in _waiting(queue):
                        allowed = self._admit(peer[0])
                        if allowed is not None:
                            nursery.start_soon(self._answer_udp, sock, packet, peer, allowed)

    async def _answer_udp(
        self, sock: trio.socket.SocketType, packet: bytes, peer: tuple[str, int], allowed: bool
    ) -> None:
        wire = await self._wire(self._answer(packet, peer[0], allowed), peer[0], self._cut)
        if wire is None:
            return
        try:
            await sock.sendto(wire, peer)
        except OSError:
            return

    async def _wire(
        self,
        answering: Awaitable[dns.message.Message | None],
        client: str,
        to_wire: Callable[[dns.message.Message], bytes],
    ) -> bytes | None:
        """The answer's bytes. What nobody thought of ends here, in silence: no look-up is worth the daemon."""
        try:
            response = await answering
            return None if response is None else to_wire(response)
        except Exception:  # noqa: BLE001 - the boundary between look-ups
            if self._failures.take(self._clock()):
                structlog.get_logger().exception("a look-up was not answered", client=client)
            return None

    def _cut(self, response: dns.message.Message) -> bytes:
        """Within what client and configuration allow; what does not fit goes, with the flag that says ask by TCP."""
        limit = min(max(response.request_payload, 512), self._config.udp_answer_limit_bytes)
        try:
            return response.to_wire(max_size=limit)
        except dns.exception.TooBig:
            response.flags |= dns.flags.TC
            return _emptied(response).to_wire(max_size=limit)

    async def serve_tcp(self, listener: trio.SocketListener) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    stream = await listener.accept()
                except OSError:  # the process has as many files as it may; trio passes over the rest
                    await trio.sleep(_ACCEPT_AGAIN_S)
                    continue
                nursery.start_soon(self._serve_stream, stream)

    async def _serve_stream(self, stream: trio.SocketStream) -> None:
        client = _client_of(stream)
        if client is None:
            await trio.aclose_forcefully(stream)
            return
        with self._connections.place(client) as free:
            if not free:
                await trio.aclose_forcefully(stream)
                return
            with contextlib.suppress(trio.BrokenResourceError, trio.TooSlowError, OSError):
                async with stream:
                    while (packet := await self._read_message(stream)) is not None:
                        wire = await self._wire(self.answer(packet, client), client, _whole)
                        if wire is None:
                            return
                        with trio.fail_after(_TCP_IDLE_S):
                            await stream.send_all(struct.pack("!H", len(wire)) + wire)

    async def _read_message(self, stream: trio.SocketStream) -> bytes | None:
        """One message; None at the end, when it is too long, or when the client dawdles."""
        with trio.move_on_after(_TCP_IDLE_S):
            head = await _read_exactly(stream, 2)
            if head is None:
                return None
            (size,) = struct.unpack("!H", head)
            return await _read_exactly(stream, size) if size <= self._config.tcp_message_limit_bytes else None
        return None


def _waiting(queue: socket.socket) -> Iterator[tuple[bytes, tuple[str, int]]]:
    """What waits, so many packets at most that the loop gets on; none that is longer than a query may be."""
    for _ in range(_PACKETS_AT_A_LOOK):
        try:
            packet, said, flags, peer = queue.recvmsg(_UDP_QUERY_LIMIT_BYTES, socket.CMSG_SPACE(4))
        except BlockingIOError:
            return
        except OSError:
            continue  # an ICMP error about an earlier answer; the socket is as good as before
        if not flags & socket.MSG_TRUNC:
            for datagram in _datagrams(packet, said):
                yield datagram, peer


def _datagrams(packet: bytes, said: list[tuple[int, int, bytes]]) -> Iterator[bytes]:
    """Those that one packet was made of, no more than an honest client sends in a row."""
    sizes = [int.from_bytes(data, sys.byteorder) for level, kind, data in said if (level, kind) == (_SOL_UDP, _UDP_GRO)]
    size = sizes[0] if sizes else max(1, len(packet))
    for start in range(0, min(len(packet), size * _LOOK_UPS_OF_A_PACKET), size):
        yield packet[start : start + size]


def _whole(response: dns.message.Message) -> bytes:
    """For TCP. An upstream that compressed more than we do may give more than one message holds."""
    try:
        return response.to_wire(max_size=65535)
    except dns.exception.TooBig:
        response.set_rcode(dns.rcode.SERVFAIL)
        return _emptied(response).to_wire()


def _emptied(response: dns.message.Message) -> dns.message.Message:
    response.answer, response.authority, response.additional = [], [], []
    return response


def _client_of(stream: trio.SocketStream) -> str | None:
    """Its address; None when it is gone already."""
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return None


async def _read_exactly(stream: trio.SocketStream, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        chunk = await stream.receive_some(size - len(data))
        if not chunk:
            return None
        data += chunk
    return bytes(data)


@asynccontextmanager
async def open_resolver(
    config: DnsConfig,
    *,
    lookup: Lookup,
    is_instance: Callable[[str], bool],
    holder_of: Callable[[str], str],
    learn: Learn,
    clock: Callable[[], float],
    packets_per_s: int,
    address: str = LINK_ADDRESS,
    port: int = 0,
) -> AsyncIterator[Resolver]:
    """Listen on `address` (UDP and TCP) until left; on `port` if it is free. Raises ConfigError for bad upstreams.

    `lookup` answers names below apps.internal; `is_instance` tells whether an address is one of this node's instances;
    `holder_of` who has it ("" for nobody known), of whom all instances share a part; `learn` is told every address that
    an instance was answered, before it can use it. The kernel lets `packets_per_s` of one instance through.
    """
    resolver = Resolver(config, lookup=lookup, is_instance=is_instance, holder_of=holder_of, learn=learn, clock=clock)
    queue_bytes = min(packets_per_s * _QUEUED_PACKET_BYTES * _QUEUED_SENDERS, _QUEUE_LIMIT_BYTES)
    datagrams, listener = await _bind(address, port, queue_bytes)
    resolver.port = datagrams.getsockname()[1]
    with datagrams:
        async with listener, trio.open_nursery() as nursery:
            nursery.start_soon(partial(resolver.serve_udp, datagrams))
            nursery.start_soon(partial(resolver.serve_tcp, listener))
            yield resolver
            nursery.cancel_scope.cancel()


async def _bind(address: str, wanted: int, queue_bytes: int) -> tuple[trio.socket.SocketType, trio.SocketListener]:
    """One port number for both protocols: the kernel picks it for TCP, and UDP may find it taken."""
    for attempt in range(16):
        stream = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        datagrams = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            # The address comes to be with the first instance, so it may not exist yet.
            for sock in (stream, datagrams):
                sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Instances ask again while a daemon restarts, and the kernel sends what belongs together to the old port.
            await stream.bind((address, wanted if attempt == 0 else 0))
            stream.listen(128)
            with contextlib.suppress(PermissionError):  # A node in somebody's tests has the usual one.
                # The kernel gives twice as many as it is told.
                datagrams.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, queue_bytes // 2)
            # Else a packet that stands for many datagrams takes as many places in the queue.
            datagrams.setsockopt(_SOL_UDP, _UDP_GRO, 1)
            await datagrams.bind((address, stream.getsockname()[1]))
        except OSError:
            stream.close()
            datagrams.close()
            if attempt == 15:
                raise
            continue
        return datagrams, trio.SocketListener(stream)
    raise AssertionError("unreachable")
