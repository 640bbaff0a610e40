"""What a tenant, its names' servers or the upstreams may do: the resolver goes on, and others get their part of it."""

import resource
import socket
import struct

import dns.asyncquery
import dns.edns
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest
import trio

from paasd.config import DnsConfig
from paasd.dns import Resolver

from .upstream import ZONE, Upstream
from .world import World, ask, texts

_SOL_UDP, _UDP_SEGMENT = 17, 103
CONNECTION_ENDS = (EOFError, OSError, trio.BrokenResourceError)


def lines_of_message(size: int, name: str) -> list[str]:
    """TXT records so many that header, question and they make `size` bytes."""
    left = size - 12 - len(name) - 1 - 4
    full, rest = divmod(left, 12 + 256)
    return [f'"{number:03d}{"x" * 252}"' for number in range(full)] + [f'"{"y" * (rest - 13)}"']


async def test_an_answer_that_would_be_padded_beyond_a_message_is_answered(
    monkeypatch: pytest.MonkeyPatch,
    resolver: Resolver,
):
    monkeypatch.setitem(ZONE, ("huge.example.org.", "TXT"), lines_of_message(65_510, "huge.example.org."))
    query = dns.message.make_query("huge.example.org", "TXT")
    query.use_edns(0, options=[dns.edns.GenericOption(dns.edns.OptionType.PADDING, b"")])
    answer = await dns.asyncquery.tcp(query, "127.0.0.1", port=resolver.port, timeout=2)
    assert len(texts(answer)) == 245
    assert texts(await ask(resolver, "www.example.org"))


def compressed_targets(packet: bytes) -> bytes:
    """280 SRV records whose target is the name asked for, as a pointer of two bytes."""
    question = packet[12 : packet.index(b"\0", 12) + 5]
    records = [b"\xc0\x0c" + struct.pack("!HHIHHHH", 33, 1, 60, 8, 0, 0, port) + b"\xc0\x0c" for port in range(280)]
    return packet[:2] + struct.pack("!HHHHH", 0x8180, 1, len(records), 0, 0) + question + b"".join(records)


async def test_an_answer_that_is_too_large_uncompressed_is_refused(resolver: Resolver, upstream: Upstream):
    upstream.raw = compressed_targets
    name = ".".join(["x" * 63] * 3 + ["y" * 40, "example.org"])
    assert (await ask(resolver, name, "SRV", tcp=True)).rcode() == dns.rcode.SERVFAIL
    upstream.raw = None
    assert texts(await ask(resolver, "www.example.org", tcp=True))


@pytest.mark.parametrize("tcp", [False, True])
async def test_an_upstream_that_resets_its_connections_is_one_that_does_not_answer(
    resolver: Resolver,
    upstream: Upstream,
    tcp: bool,
):
    upstream.resets = True
    assert (await ask(resolver, "large.example.org", "TXT", tcp=tcp)).rcode() == dns.rcode.SERVFAIL
    upstream.resets = False
    assert texts(await ask(resolver, "large.example.org", "TXT", tcp=True))


async def test_a_look_up_that_fails_as_nobody_thought_of_ends_alone(
    world: World,
    upstream: Upstream,
):
    async def learn(client: str, name: str, addresses: set[str], lifetime_s: float) -> None:
        raise RuntimeError("not thought of")

    world.learn = learn  # type: ignore[method-assign]
    async with world.open(DnsConfig(upstreams=(upstream.server,), timeout_s=0.3)) as resolver:
        query = dns.message.make_query("www.example.org", "A")
        with pytest.raises(dns.exception.Timeout):
            await dns.asyncquery.udp(query, "127.0.0.1", port=resolver.port, timeout=0.5)
        with pytest.raises(CONNECTION_ENDS):
            await dns.asyncquery.tcp(query, "127.0.0.1", port=resolver.port, timeout=2)
        assert texts(await ask(resolver, "www.example.org", "AAAA"))
        assert texts(await ask(resolver, "www.example.org", "AAAA", tcp=True))


async def test_connections_wait_while_the_process_has_no_files_left(resolver: Resolver):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    query = dns.message.make_query("shop.apps.internal", "A").to_wire()
    assert texts(await ask(resolver, "shop.apps.internal", tcp=True))
    with trio.socket.socket() as sock:
        try:
            # Below all that are open, so that one which is closed meanwhile makes no room.
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            await sock.connect(("127.0.0.1", resolver.port))
            await sock.send(struct.pack("!H", len(query)) + query)
            with trio.move_on_after(0.3) as waited:
                await sock.recv(1)
            assert waited.cancelled_caught
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        with trio.fail_after(5):
            assert await sock.recv(2)


async def answers(sock: trio.socket.SocketType, within_s: float = 0.5) -> list[int]:
    """The ids of what arrives until nothing does."""
    found = []
    while True:
        with trio.move_on_after(within_s) as waited:
            found.append(int.from_bytes((await sock.recv(4096))[:2], "big"))
        if waited.cancelled_caught:
            return sorted(found)


async def test_look_ups_in_a_row_are_answered_and_of_a_train_few(resolver: Resolver):
    queries = [dns.message.make_query("shop.apps.internal", "A", id=number).to_wire() for number in range(60)]
    with trio.socket.socket(type=socket.SOCK_DGRAM) as sock:
        await sock.connect(("127.0.0.1", resolver.port))
        for query in queries[:20]:
            await sock.send(query)
        assert await answers(sock) == list(range(20))
        sock.setsockopt(_SOL_UDP, _UDP_SEGMENT, len(queries[0]))
        await sock.send(b"".join(queries[20:22]))
        assert await answers(sock) == [20, 21]
        await sock.send(b"".join(queries[20:60]))
        assert await answers(sock) == [20, 21, 22, 23]


@pytest.mark.root
async def test_trains_of_one_drop_no_look_up_of_another(world: World, upstream: Upstream):
    world.instances.add("127.0.0.2")
    async with world.open(DnsConfig(upstreams=(upstream.server,))) as resolver:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flooder:
            flooder.bind(("127.0.0.2", 0))
            flooder.connect(("127.0.0.1", resolver.port))
            flooder.setsockopt(_SOL_UDP, _UDP_SEGMENT, 1)
            for _ in range(world.packets_per_s):
                flooder.send(b"x" * 60)
        assert texts(await ask(resolver, "localhost")) == {"127.0.0.1"}


async def ask_from(address: str, name: str, port: int) -> dns.rcode.Rcode:
    query = dns.message.make_query(name, "A")
    answer = await dns.asyncquery.udp(query, "127.0.0.1", port=port, source=address, timeout=5)
    return answer.rcode()


async def test_the_instances_of_one_organization_hold_a_quarter_of_the_waiting_look_ups(
    world: World,
    upstream: Upstream,
):
    greedy = [f"127.0.0.{number}" for number in range(2, 8)]
    world.holders = dict.fromkeys(greedy, "greedy")
    world.instances |= {*greedy, "127.0.0.8"}
    upstream.silent = ".slow.example.org."
    codes: list[dns.rcode.Rcode] = []

    async def slow(address: str, number: int) -> None:
        codes.append(await ask_from(address, f"n{number}.slow.example.org", resolver.port))

    config = DnsConfig(upstreams=(upstream.server,), timeout_s=10.0, concurrent_limit=16)
    async with world.open(config) as resolver, trio.open_nursery() as nursery:
        for address in greedy:
            for number in range(4):
                nursery.start_soon(slow, address, number)
        with trio.fail_after(5):
            while len(codes) < 20:
                await trio.sleep(0.01)
        assert set(codes) == {dns.rcode.SERVFAIL}
        assert await ask_from("127.0.0.2", "www.example.org", resolver.port) == dns.rcode.SERVFAIL
        assert await ask_from("127.0.0.8", "www.example.org", resolver.port) == dns.rcode.NOERROR
        nursery.cancel_scope.cancel()


async def test_the_instances_of_one_organization_hold_a_quarter_of_the_connections(
    world: World,
    upstream: Upstream,
):
    greedy = [f"127.0.0.{number}" for number in range(2, 8)]
    world.holders = dict.fromkeys(greedy, "greedy")
    world.instances |= {*greedy, "127.0.0.8"}
    query = dns.message.make_query("shop.apps.internal", "A")

    async def served(address: str) -> bool:
        stream = await trio.open_tcp_stream("127.0.0.1", resolver.port, local_address=address)
        streams.append(stream)
        wire = query.to_wire()
        try:
            await stream.send_all(struct.pack("!H", len(wire)) + wire)
            return bool(await stream.receive_some(2))
        except trio.BrokenResourceError:
            return False

    streams: list[trio.SocketStream] = []
    config = DnsConfig(upstreams=(upstream.server,), tcp_connections_limit=16)
    async with world.open(config) as resolver:
        assert [await served(address) for address in greedy for _ in range(3)] == [True, True, False] * 2 + [False] * 12
        assert [await served("127.0.0.8") for _ in range(3)] == [True, True, False]
        for stream in streams:
            await stream.aclose()
