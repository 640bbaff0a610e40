"""The resolver over real sockets on loopback: what it answers, asks for, and refuses."""

import socket
import time
from random import Random

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
import trio

from paasd.config import DnsConfig
from paasd.dns import Resolver
from paasd.errors import ConfigError

from .upstream import Upstream, open_upstream
from .world import World, ask, texts


@pytest.mark.parametrize("tcp", [False, True])
async def test_public_names_are_answered_by_the_upstream(resolver: Resolver, world: World, tcp: bool):
    answer = await ask(resolver, "www.example.org", tcp=tcp)
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.flags & dns.flags.RA
    assert texts(answer) == {"198.51.100.7", "198.51.100.8"}
    assert texts(await ask(resolver, "www.example.org", "AAAA", tcp=tcp)) == {"2606:2800::1"}
    assert texts(await ask(resolver, "mail.example.org", "MX", tcp=tcp)) == {"10 www.example.org."}
    assert (await ask(resolver, "nothing.example.org", tcp=tcp)).rcode() == dns.rcode.NXDOMAIN
    assert world.learned == [("127.0.0.1", "www.example.org", {"198.51.100.7", "198.51.100.8"}, 300)]


async def test_internal_names_are_answered_here(resolver: Resolver, upstream: Upstream):
    assert texts(await ask(resolver, "Shop.Apps.Internal")) == {"10.254.0.9"}
    other_kind = await ask(resolver, "shop.apps.internal", "AAAA")
    assert (other_kind.rcode(), texts(other_kind)) == (dns.rcode.NOERROR, set())
    assert (await ask(resolver, "absent.apps.internal")).rcode() == dns.rcode.NXDOMAIN
    assert texts(await ask(resolver, "localhost")) == {"127.0.0.1"}
    assert texts(await ask(resolver, "localhost", "AAAA")) == {"::1"}
    assert upstream.asked == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("host.internal", "A"),
        ("printer.local", "A"),
        ("intranet", "A"),
        ("router.lan", "A"),
        ("1.0.0.10.in-addr.arpa", "PTR"),
        ("10.in-addr.arpa", "PTR"),
        ("x.10.in-addr.arpa", "PTR"),
        ("1.0.0.0.ip6.arpa", "PTR"),
        (".", "NS"),
    ],
)
async def test_private_names_are_not_even_asked_for(resolver: Resolver, upstream: Upstream, name: str, kind: str):
    assert (await ask(resolver, name, kind)).rcode() == dns.rcode.NXDOMAIN
    assert upstream.asked == []
    public = await ask(resolver, "7.100.51.198.in-addr.arpa", "PTR")
    assert texts(public) == {"www.example.org."}


async def test_public_names_do_not_lead_into_private_networks(resolver: Resolver, world: World):
    assert texts(await ask(resolver, "rebind.example.org")) == {"198.51.100.9"}
    assert texts(await ask(resolver, "metadata.example.org")) == set()
    assert texts(await ask(resolver, "mapped.example.org", "AAAA")) == set()
    assert {name for _, name, _, _ in world.learned} == {"rebind.example.org"}
    assert texts(await ask(resolver, "db.corp.example")) == set()


async def test_a_configured_private_zone_is_resolved(world: World, upstream: Upstream):
    config = DnsConfig(upstreams=(upstream.server,), private_zones=("corp.example", "internal"))
    async with world.open(config) as resolver:
        assert texts(await ask(resolver, "db.corp.example")) == {"10.9.9.9"}
        assert texts(await ask(resolver, "host.internal")) == {"10.9.9.10"}
        assert texts(await ask(resolver, "shop.apps.internal")) == {"10.254.0.9"}
        assert texts(await ask(resolver, "rebind.example.org")) == {"198.51.100.9"}


async def test_strangers_get_no_answer(resolver: Resolver, world: World, upstream: Upstream):
    assert texts(await ask(resolver, "www.example.org"))
    asked = len(upstream.asked)
    world.instances.clear()
    query = dns.message.make_query("www.example.org", "A")
    with pytest.raises(dns.exception.Timeout):
        await dns.asyncquery.udp(query, "127.0.0.1", port=resolver.port, timeout=0.3)
    with pytest.raises((EOFError, trio.BrokenResourceError)):
        await dns.asyncquery.tcp(query, "127.0.0.1", port=resolver.port, timeout=1)
    assert len(upstream.asked) == asked


async def test_one_instance_asks_so_often_and_no_more(world: World, upstream: Upstream):
    config = DnsConfig(upstreams=(upstream.server,), queries_per_s=10, queries_burst=5)
    async with world.open(config) as resolver:
        codes = [(await ask(resolver, "shop.apps.internal")).rcode() for _ in range(7)]
        assert codes == [dns.rcode.NOERROR] * 5 + [dns.rcode.REFUSED] * 2
        world.now += 0.25
        codes = [(await ask(resolver, "shop.apps.internal")).rcode() for _ in range(3)]
        assert codes == [dns.rcode.NOERROR] * 2 + [dns.rcode.REFUSED]


async def test_who_asks_far_too_much_is_not_even_read(world: World, upstream: Upstream):
    query = dns.message.make_query("shop.apps.internal", "A").to_wire()
    async with world.open(DnsConfig(upstreams=(upstream.server,), queries_per_s=10, queries_burst=5)) as resolver:
        answers = [await resolver.answer(query, "127.0.0.1") for _ in range(100)]
    codes = [None if answer is None else answer.rcode() for answer in answers]
    assert codes == [dns.rcode.NOERROR] * 5 + [dns.rcode.REFUSED] * 10 + [None] * 85


@pytest.mark.root
@pytest.mark.parametrize("packets_per_s", [1000, 10_000])
async def test_what_one_sends_at_once_drops_no_look_up_of_another(world: World, upstream: Upstream, packets_per_s: int):
    world.instances.add("127.0.0.2")
    world.packets_per_s = packets_per_s
    async with world.open(DnsConfig(upstreams=(upstream.server,))) as resolver:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flooder:
            flooder.bind(("127.0.0.2", 0))
            flooder.connect(("127.0.0.1", resolver.port))
            for _ in range(packets_per_s):
                flooder.send(b"x" * 30)
        assert texts(await ask(resolver, "localhost")) == {"127.0.0.1"}


async def test_a_long_answer_is_cut_over_udp_and_whole_over_tcp(resolver: Resolver):
    cut = await ask(resolver, "large.example.org", "TXT", payload=4096)
    assert cut.flags & dns.flags.TC
    assert len(cut.to_wire()) <= 1232
    assert len(texts(await ask(resolver, "large.example.org", "TXT", tcp=True))) == 20


async def test_a_question_that_was_lost_is_asked_again_also_of_an_only_server(world: World, upstream: Upstream):
    async with world.open(DnsConfig(upstreams=(upstream.server,), timeout_s=1.0)) as resolver:
        upstream.lost = 1
        began = time.monotonic()
        assert (await ask(resolver, "www.example.org")).rcode() == dns.rcode.NOERROR
        assert 0.25 <= time.monotonic() - began < 1, "the first wait is a quarter of the whole"
        upstream.lost = 2
        assert (await ask(resolver, "www.example.org")).rcode() == dns.rcode.SERVFAIL


async def test_a_silent_upstream_is_passed_over(world: World, upstream: Upstream):
    async with open_upstream() as second:
        upstream.silent = True
        config = DnsConfig(upstreams=(upstream.server, second.server), timeout_s=0.2)
        async with world.open(config) as resolver:
            assert texts(await ask(resolver, "www.example.org"))
            second.silent = True
            assert (await ask(resolver, "www.example.org")).rcode() == dns.rcode.SERVFAIL
            assert texts(await ask(resolver, "shop.apps.internal"))


async def test_too_many_waiting_look_ups_are_refused_at_once(world: World, upstream: Upstream):
    upstream.silent = True
    config = DnsConfig(upstreams=(upstream.server,), timeout_s=1.0, concurrent_limit=16)
    codes: list[tuple[int, float]] = []

    async def one(number: int) -> None:
        answer = await ask(resolver, f"n{number}.example.org")
        codes.append((answer.rcode(), time.monotonic() - start))

    async with world.open(config) as resolver:
        start = time.monotonic()
        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(one, number)
    assert [code for code, _ in codes] == [dns.rcode.SERVFAIL] * 5
    assert sorted(after < 0.5 for _, after in codes) == [False, False, True, True, True]


async def test_rubbish_changes_nothing(resolver: Resolver):
    query = dns.message.make_query("www.example.org", "A").to_wire()
    response = dns.message.make_response(dns.message.from_wire(query)).to_wire()
    bad = [b"", b"\0", b"x" * 12, query[:-3], response, query[:4] + b"\xff\xff" + query[6:], b"\xff" * 4096]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for packet in bad:
            sock.sendto(packet, ("127.0.0.1", resolver.port))
    for packet in (b"\xff\xff", b"\0\0", b"\0\x10abc", b"\0\x05hello"):
        stream = await trio.open_tcp_stream("127.0.0.1", resolver.port)
        await stream.send_all(packet)
        await stream.aclose()
    status = dns.message.make_query("www.example.org", "A")
    status.set_opcode(2)
    answer = await dns.asyncquery.udp(status, "127.0.0.1", port=resolver.port, timeout=1)
    assert answer.rcode() == dns.rcode.NOTIMP
    assert (await ask(resolver, "www.example.org", "ANY")).rcode() == dns.rcode.REFUSED
    assert texts(await ask(resolver, "www.example.org"))


async def test_no_packet_from_an_instance_is_more_than_a_bad_question(world: World, upstream: Upstream):
    """Well-formed messages with bytes changed, as a tenant may send them; the seed is fixed."""
    random = Random(7)
    seeds = [
        dns.message.make_query(name, kind, use_edns=0, payload=4096).to_wire()
        for name in ("shop.apps.internal", "localhost", "a.b.local", "1.0.0.10.in-addr.arpa")
        for kind in ("A", "AAAA", "TXT", "OPT", "TSIG", "AXFR")
    ]
    async with world.open(
        DnsConfig(upstreams=(upstream.server,), timeout_s=0.05, queries_per_s=10**9, queries_burst=10**9)
    ) as resolver:
        answered = 0
        for _ in range(4000):
            packet = bytearray(random.choice(seeds))
            for _ in range(random.randint(0, 3)):
                packet[random.randrange(len(packet))] = random.choice(
                    (0, 1, 0x0C, 0x3F, 0x40, 0xC0, 0xFF, random.randrange(256))
                )
            response = await resolver.answer(
                bytes(packet[: random.choice((len(packet), len(packet), random.randrange(len(packet))))]), "127.0.0.1"
            )
            if response is not None:
                response.to_wire(max_size=65535)
                answered += 1
        assert answered > 500


async def test_no_answer_of_an_upstream_does_harm(world: World, upstream: Upstream):
    random = Random(11)
    upstream.mangle = lambda wire: mangled(wire, random)
    async with world.open(DnsConfig(upstreams=(upstream.server,), timeout_s=0.02)) as resolver:
        codes = {}
        for _ in range(150):
            for name, kind in (("www.example.org", "A"), ("large.example.org", "TXT")):
                query = dns.message.make_query(name, kind).to_wire()
                response = await resolver.answer(query, "127.0.0.1")
                assert response is not None
                response.to_wire(max_size=65535)
                codes[response.rcode()] = codes.get(response.rcode(), 0) + 1
                world.now += 1
        assert codes[dns.rcode.SERVFAIL] > 10
        upstream.mangle = None
        assert texts(await ask(resolver, "www.example.org"))


def mangled(wire: bytes, random: Random) -> bytes:
    changed = bytearray(wire)
    for _ in range(random.randint(1, 4)):
        changed[random.randrange(2, len(changed))] = random.choice((0, 0x0C, 0xC0, 0xFF, random.randrange(256)))
    return bytes(changed)


async def test_connections_are_bounded(world: World, upstream: Upstream):
    config = DnsConfig(upstreams=(upstream.server,), tcp_connections_limit=16)
    async with world.open(config) as resolver:
        held = [await trio.open_tcp_stream("127.0.0.1", resolver.port) for _ in range(2)]
        with pytest.raises((EOFError, OSError, trio.BrokenResourceError)):
            await ask(resolver, "www.example.org", tcp=True)
        for stream in held:
            await stream.aclose()
        with trio.fail_after(10):
            while True:
                try:
                    assert texts(await ask(resolver, "www.example.org", tcp=True))
                    break
                except (EOFError, OSError, trio.BrokenResourceError):
                    continue


@pytest.mark.parametrize("wrong", ["nameserver", "1.2.3.4:0", "1.2.3.4:99999", "1.2.3", "::1:x:53z"])
async def test_a_wrong_upstream_is_named(world: World, wrong: str):
    with pytest.raises(ConfigError, match="upstreams"):
        async with world.open(DnsConfig(upstreams=(wrong,))):
            pass
