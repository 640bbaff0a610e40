"""What instances reach and what not, with real packets: every refusal stands beside something that works."""

import socket
import time
from functools import partial

import pytest
import trio

from paasd.config import NetworkConfig
from paasd.errors import Unprocessable
from paasd.sandbox.network import (
    PUBLIC_EGRESS,
    Attachment,
    EgressRule,
    Network,
    links,
    open_network,
    rules,
)

from .world import Outside, connects, datagrams, host_addresses, inside, listening, out_there, server

pytestmark = pytest.mark.root
EVERYTHING = (EgressRule("0.0.0.0/0"),)
_UDP_SEGMENT, _RCVBUFFORCE = 103, 33


async def reaches(attachment: Attachment, address: str, port: int) -> bool:
    return await inside(attachment, partial(connects, address, port))


@pytest.fixture
async def internet(outside: Outside):
    """The port of a server on all addresses of the outside machine."""
    sock = await out_there(outside, partial(listening, "0.0.0.0"))
    with sock:
        yield sock.getsockname()[1]


async def test_public_addresses_are_reached_and_private_ones_are_not(network: Network, outside: Outside, internet: int):
    app = await network.attach(1, PUBLIC_EGRESS)
    assert await reaches(app, outside.public, internet)
    assert not await reaches(app, outside.private, internet)


async def test_a_private_address_is_reached_where_a_rule_names_it(network: Network, outside: Outside, internet: int):
    app = await network.attach(1, (EgressRule(f"{outside.private}/32"),))
    assert await reaches(app, outside.private, internet)
    assert not await reaches(app, outside.public, internet)


async def test_without_rules_nothing_is_reached(network: Network, outside: Outside, internet: int):
    closed = await network.attach(1, ())
    opened = await network.attach(2, PUBLIC_EGRESS)
    assert not await reaches(closed, outside.public, internet)
    assert await reaches(opened, outside.public, internet)


async def test_the_metadata_service_is_out_of_reach_whatever_the_rules_say(
    network: Network, outside: Outside, internet: int
):
    app = await network.attach(1, (*EVERYTHING, EgressRule("169.254.169.254/32")))
    assert connects(outside.metadata, internet), "the host itself reaches it"
    assert await reaches(app, outside.public, internet)
    assert not await reaches(app, outside.metadata, internet)


async def test_ports_of_the_host_are_out_of_reach_on_all_its_addresses(
    network: Network, outside: Outside, internet: int
):
    app = await network.attach(1, EVERYTHING)
    addresses = ("169.254.1.1", outside.host_side, *(str(a) for a in host_addresses()))
    with server(partial(listening, "0.0.0.0")) as port:
        for address in addresses:
            assert connects(address, port), f"the host reaches itself at {address}"
            assert not await reaches(app, address, port), address
    assert await reaches(app, outside.public, internet)


async def test_instances_reach_each_other_only_through_the_host(network: Network):
    one, two = await network.attach(1, EVERYTHING), await network.attach(2, EVERYTHING)
    sock = await inside(two, partial(listening, "0.0.0.0"))
    with sock:
        port = sock.getsockname()[1]
        assert connects(two.address, port), "the host, where the router runs, reaches it"
        assert not await reaches(one, two.address, port)


async def test_a_node_next_door_is_out_of_reach_and_has_other_addresses(
    network: Network, config: NetworkConfig, run_dir
):
    async with open_network(config, prefix="tnext", run_dir=run_dir / "next", clock=time.monotonic) as next_door:
        assert not network.pool.overlaps(next_door.pool)
        assert {network.pool, next_door.pool} <= links.held_pools(), "neither takes the other's for a dead one's"
        here, there = await network.attach(1, EVERYTHING), await next_door.attach(1, EVERYTHING)
        sock = await inside(there, partial(listening, "0.0.0.0"))
        with sock:
            port = sock.getsockname()[1]
            assert connects(there.address, port)
            assert not await reaches(here, there.address, port)
            await network.detach(1)
            assert connects(there.address, port), "the other node's changes do not touch it"
        await next_door.detach(1)


async def test_a_forged_source_address_gets_nowhere(network: Network, outside: Outside):
    app, other = await network.attach(1, EVERYTHING), await network.attach(2, EVERYTHING)

    def receiver() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("0.0.0.0", 0))
        sock.settimeout(5.0)
        return sock

    def send(source: str) -> None:
        with links.netlink() as ip:
            if source != app.address:
                ip.addr("add", index=1, address=source, prefixlen=32)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((source, 0))
            sock.sendto(source.encode(), (outside.public, port))

    with await out_there(outside, receiver) as inbox:
        port = inbox.getsockname()[1]
        # The true address goes first too: a forged one would leave the way to the gateway unresolved for a second.
        await inside(app, partial(send, app.address))
        assert await trio.to_thread.run_sync(inbox.recv, 100)
        for forged in (other.address, "198.51.100.250", outside.host_side):
            await inside(app, partial(send, forged))
        await inside(app, partial(send, app.address))
        received, source = await trio.to_thread.run_sync(inbox.recvfrom, 100)
        assert received == app.address.encode(), "only the true address came through"
        assert source[0] == outside.host_side, "and it is hidden behind the host's"
        inbox.settimeout(0.2)
        with pytest.raises(TimeoutError):
            await trio.to_thread.run_sync(inbox.recvfrom, 100)


async def test_strangers_cannot_route_to_an_instance(network: Network, outside: Outside):
    app = await network.attach(1, EVERYTHING)
    sock = await inside(app, partial(listening, "0.0.0.0"))
    with sock:
        port = sock.getsockname()[1]
        assert connects(app.address, port)
        assert not await out_there(outside, partial(connects, app.address, port, 1.5))


async def test_the_host_does_not_route_for_strangers_because_of_us(network: Network, outside: Outside, run_dir, config):
    second = Outside(run_dir)
    second.start()
    try:
        links.set_forwarding(second.interface, True)
        sock = await out_there(second, partial(listening, "0.0.0.0"))
        with sock:
            port = sock.getsockname()[1]
            assert connects(second.public, port)
            assert not await out_there(outside, partial(connects, second.public, port, 1.5))
            app = await network.attach(1, EVERYTHING)
            assert await reaches(app, outside.public, port) is False
            # For this machine alone: the guard is that of all nodes of the host.
            network._nft.run(f"delete element inet paasd_host forwarding {{ {outside.interface} }}")
            assert await out_there(outside, partial(connects, second.public, port)), "the guard alone stopped it"
    finally:
        second.stop()


async def test_rules_hold_protocol_and_ports(network: Network, outside: Outside, internet: int):
    allowed = await network.attach(1, (EgressRule(f"{outside.public}/32", "tcp", ((internet, internet), (1, 2))),))
    wrong_port = await network.attach(2, (EgressRule(f"{outside.public}/32", "tcp", ((1, internet - 1),)),))
    wrong_protocol = await network.attach(3, (EgressRule(f"{outside.public}/32", "udp"),))
    assert await reaches(allowed, outside.public, internet)
    assert not await reaches(wrong_port, outside.public, internet)
    assert not await reaches(wrong_protocol, outside.public, internet)


async def test_a_host_name_opens_what_the_resolver_answered_to_this_instance(
    network: Network, outside: Outside, internet: int, config: NetworkConfig, prefix: str, run_dir
):
    rules = (EgressRule("mirror.example.org", "tcp"), EgressRule("*.cdn.example", "tcp"))
    app, other = await network.attach(1, rules), await network.attach(2, rules)
    assert not await reaches(app, outside.public, internet)
    await network.learn(app.address, "evil.example.org", {outside.public}, 60)
    assert not await reaches(app, outside.public, internet)
    await network.learn(app.address, "Mirror.Example.org", {outside.public}, 60)
    await network.learn(app.address, "mirror.example.org", {outside.public}, 60)
    assert await reaches(app, outside.public, internet)
    assert not await reaches(other, outside.public, internet), "what one asked for does not open it to others"
    async with open_network(config, prefix=prefix, run_dir=run_dir, clock=time.monotonic) as restarted:
        await restarted.learn(other.address, "a.cdn.example", {outside.public}, 60)
    assert await reaches(other, outside.public, internet), "a new daemon knows the names again"


async def test_one_instance_cannot_take_all_connections(outside: Outside, internet: int, prefix: str, run_dir):
    config = NetworkConfig(uplinks=(outside.interface,), flows_limit=16)

    def connect_many() -> tuple[int, bool]:
        held = []
        for _ in range(20):
            sock = socket.socket()
            sock.settimeout(1)
            held.append(sock)
            if sock.connect_ex((outside.public, internet)):
                break
        refused = len(held) < 20
        for sock in held:
            sock.close()
        return len(held) - 1, refused

    async with open_network(config, prefix=prefix, run_dir=run_dir, clock=time.monotonic) as network:
        greedy, modest = await network.attach(1, EVERYTHING), await network.attach(2, EVERYTHING)
        assert await inside(greedy, connect_many) == (16, True)
        assert await reaches(modest, outside.public, internet)
        await network.sweep(())


async def test_look_ups_reach_the_resolver_and_nothing_else_on_the_host(network: Network):
    app = await network.attach(1, ())
    with server(partial(listening, "0.0.0.0")) as port, server(partial(listening, "0.0.0.0")) as other:
        assert not await reaches(app, "169.254.1.1", 53), "no resolver yet"
        await network.set_resolver(port)
        assert await reaches(app, "169.254.1.1", 53)
        assert connects("169.254.1.1", other)
        assert not await reaches(app, "169.254.1.1", other)
        await network.set_resolver(other)
        assert await reaches(app, "169.254.1.1", 53), "a restarted daemon has another port"
        assert not await reaches(app, "169.254.1.1", port)


async def test_the_resolver_gets_so_many_look_ups_and_not_more_bytes_or_datagrams_in_them(
    outside: Outside, prefix: str, run_dir
):
    config = NetworkConfig(uplinks=(outside.interface,), resolver_packets_per_s=100)

    def flood() -> float:
        began = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("169.254.1.1", 53))
            sock.send(b"q" * 512)
            for _ in range(20):
                sock.send(b"x" * 60_000)
            sock.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, 8)
            for _ in range(90):
                sock.send(b"x" * 512)
        return time.monotonic() - began

    async with open_network(config, prefix=prefix, run_dir=run_dir, clock=time.monotonic) as network:
        app = await network.attach(1, ())
        with datagrams("0.0.0.0") as inbox:
            inbox.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, 1 << 26)
            await network.set_resolver(inbox.getsockname()[1])
            took_s = await inside(app, flood)
            assert inbox.recv(65536) == b"q" * 512
            lengths = []
            inbox.settimeout(0.2)
            with pytest.raises(TimeoutError):
                while True:
                    lengths.append(len(inbox.recv(65536)))
        assert set(lengths) == {8}
        assert len(lengths) < 200 + 100 * took_s
        await network.sweep(())


def test_a_flood_of_look_ups_meets_silence_before_refusals() -> None:
    lines = rules.instance("t", 1, "10.254.0.1", (), NetworkConfig()).splitlines()
    (silence,) = (i for i, line in enumerate(lines) if " d1 limit rate over" in line)
    (refusal,) = (i for i, line in enumerate(lines) if " d1 ct state new ct count over" in line)
    assert silence < refusal


async def test_a_look_up_to_the_port_of_a_daemon_that_is_gone_meets_silence(network: Network):
    app = await network.attach(1, ())
    with datagrams("0.0.0.0") as earlier, datagrams("0.0.0.0") as later:
        await network.set_resolver(earlier.getsockname()[1])
        with (
            await inside(app, partial(datagrams, "0.0.0.0")) as known,
            await inside(app, partial(datagrams, "0.0.0.0")) as fresh,
        ):
            known.connect(("169.254.1.1", 53))
            known.send(b"one")
            _, source = earlier.recvfrom(100)
            earlier.sendto(b"answer", source)
            assert known.recv(100) == b"answer"
            await network.set_resolver(later.getsockname()[1])
            known.send(b"two")
            known.settimeout(0.3)
            with pytest.raises(TimeoutError):
                known.recv(100)
            fresh.sendto(b"three", ("169.254.1.1", 53))
            assert later.recv(100) == b"three"


@pytest.mark.parametrize(
    "rule",
    [
        EgressRule("300.1.2.3/8"),
        EgressRule("10.0.0.1/8"),
        EgressRule("::/0"),
        EgressRule('x"; drop'),
        EgressRule("public", "all", ((1, 2),)),
        EgressRule("public", "icmp", ((1, 2),)),
        EgressRule("public", "tcp", ((9, 2),)),
        EgressRule("public", "tcp", ((1, 70000),)),
        EgressRule("public", "sctp"),  # type: ignore[arg-type]
    ],
)
async def test_a_rule_that_cannot_be_read_is_refused_and_leaves_nothing(network: Network, rule: EgressRule):
    with pytest.raises(Unprocessable):
        await network.attach(1, (rule,))
    assert await network.leftovers() == set()
    await network.attach(1, PUBLIC_EGRESS)


async def test_bandwidth_is_held_in_both_directions(outside: Outside, prefix: str, run_dir):
    config = NetworkConfig(uplinks=(outside.interface,), upload_mbit=8, download_mbit=8)
    async with open_network(config, prefix=prefix, run_dir=run_dir, clock=time.monotonic) as limited:
        assert await transferred_mbit(limited, outside, upload=True) < 16
        assert await transferred_mbit(limited, outside, upload=False) < 16
        await limited.sweep(())
    free = NetworkConfig(uplinks=(outside.interface,))
    async with open_network(free, prefix=prefix, run_dir=run_dir, clock=time.monotonic) as unlimited:
        assert await transferred_mbit(unlimited, outside, upload=True) > 100
        await unlimited.sweep(())


async def transferred_mbit(network: Network, outside: Outside, *, upload: bool) -> float:
    """Mbit/s over 0.6 s, counted where they arrive."""
    app = await network.attach(1, EVERYTHING)
    sink = await out_there(outside, partial(listening, outside.public))
    with sink:
        address = sink.getsockname()
        near = await inside(app, lambda: socket.create_connection(address, 2))
        far, _ = sink.accept()
    sender, receiver = (near, far) if upload else (far, near)

    def send() -> None:
        end = time.monotonic() + 0.6
        sender.settimeout(0.2)
        while time.monotonic() < end:
            try:
                sender.send(b"x" * 65536)
            except TimeoutError:
                continue

    def receive() -> float:
        total, start = 0, time.monotonic()
        receiver.settimeout(0.2)
        while (passed := time.monotonic() - start) < 0.8:
            try:
                total += len(receiver.recv(1 << 20))
            except TimeoutError:
                continue
        return total * 8 / 1e6 / passed

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, send)
        rate = await trio.to_thread.run_sync(receive)
    near.close()
    far.close()
    return rate
