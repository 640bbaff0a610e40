"""Shared rules: as text, and with real packets. A change reaches what runs; some things are never opened."""

import socket
import time
from functools import partial
from ipaddress import IPv4Address

import pytest

from paasd.config import NetworkConfig
from paasd.errors import Unprocessable
from paasd.sandbox.network import Call, EgressRule, GroupRule, Network, Policies, open_network, policies

from .test_egress import internet, reaches
from .world import Outside, connects, host_addresses, inside, listening, out_there, server

__all__ = ["internet"]
EVERYWHERE = (IPv4Address("0.0.0.0"), IPv4Address("255.255.255.255"))
ALL = (GroupRule(protocol="all", destinations=(EVERYWHERE,)),)


def at(address: str, *ports: tuple[int, int], protocol="tcp", **more) -> GroupRule:
    where = IPv4Address(address)
    return GroupRule(protocol=protocol, destinations=((where, where),), ports=ports, **more)


def test_rules_become_statements() -> None:
    def text(rule: GroupRule) -> list[str]:
        return policies.statements(rule, "paasd x")

    assert text(ALL[0]) == ["meta nfproto ipv4 accept"]
    assert text(at("10.0.0.5", (5432, 5432))) == ["ip daddr { 10.0.0.5/32 } tcp dport { 5432 } accept"]
    assert text(at("10.0.0.5", (1, 9), (5, 12), (13, 13), (20, 20), protocol="udp")) == [
        "ip daddr { 10.0.0.5/32 } udp dport { 1-13, 20 } accept"
    ]
    assert text(at("10.0.0.5", protocol="icmp", icmp_type=8)) == [
        "ip daddr { 10.0.0.5/32 } meta l4proto icmp icmp type 8 accept"
    ]
    assert text(at("10.0.0.5", (80, 80), log=True)) == [
        'ip daddr { 10.0.0.5/32 } tcp dport { 80 } ct state new limit rate 10/second log prefix "paasd x "',
        "ip daddr { 10.0.0.5/32 } tcp dport { 80 } accept",
    ]
    ranges = ((IPv4Address("10.0.0.0"), IPv4Address("10.0.0.7")), (IPv4Address("10.0.0.6"), IPv4Address("10.0.0.8")))
    assert text(GroupRule(protocol="all", destinations=ranges)) == ["ip daddr { 10.0.0.0-10.0.0.8 } accept"]


@pytest.mark.parametrize("name", ["", "a b", "x;", "-a", "{", "a" * 65])
def test_names_cannot_break_out_of_the_text(name: str) -> None:
    with pytest.raises(Unprocessable):
        policies.group("t", name, ())
    with pytest.raises(Unprocessable):
        policies.caller("t", name, ())


@pytest.mark.root
async def test_a_group_opens_one_private_port_to_instances_that_run_already(
    network: Network, outside: Outside, internet: int
):
    member = await network.attach(1, (), Policies(group="space-1"))
    other = await network.attach(2, (), Policies(group="space-2"))
    assert not await reaches(member, outside.private, internet), "closed as long as nobody opened it"
    await network.shared.set_group("space-1", (at(outside.private, (internet, internet)),))
    assert await reaches(member, outside.private, internet)
    assert not await reaches(member, outside.public, internet)
    assert not await reaches(other, outside.private, internet)
    await network.shared.set_group("space-1", (at(outside.private, (internet + 1, internet + 1)),))
    assert not await reaches(member, outside.private, internet)


@pytest.mark.root
@pytest.mark.parametrize("own", [(), (EgressRule("192.0.2.1/32"),)], ids=["an app", "a build"])
async def test_a_connection_ends_with_the_rule_that_allowed_it(network: Network, outside: Outside, own):
    member = await network.attach(1, own, Policies(group="s"))
    await network.shared.set_group("s", ALL)
    with await out_there(outside, partial(listening, "0.0.0.0")) as far:
        port = far.getsockname()[1]
        stream = await inside(member, lambda: socket.create_connection((outside.public, port), 2))
        with stream, far.accept()[0] as peer:
            stream.sendall(b"one")
            assert peer.recv(10) == b"one"
            await network.shared.set_group("s", ())
            peer.settimeout(0.3)
            stream.sendall(b"two")
            with pytest.raises(TimeoutError):
                peer.recv(10)
            await network.shared.set_group("s", ALL)
            peer.settimeout(10)
            assert peer.recv(10) == b"two", "what is opened again goes on"


@pytest.mark.root
async def test_no_group_opens_metadata_the_host_or_another_instance(network: Network, outside: Outside, internet: int):
    greedy = tuple(
        at(address, (1, 65535))
        for address in (outside.metadata, "127.0.0.1", "169.254.1.1", outside.host_side, str(network.pool[1]))
    )
    member = await network.attach(1, (), Policies(group="s"))
    neighbour = await network.attach(2, ())
    await network.shared.set_group("s", (*ALL, *greedy, at(neighbour.address, (1, 65535))))
    assert await reaches(member, outside.public, internet)
    assert connects(outside.metadata, internet), "the host itself reaches it"
    assert not await reaches(member, outside.metadata, internet)
    with server(partial(listening, "0.0.0.0")) as port:
        for address in ("169.254.1.1", outside.host_side, *host_addresses()):
            assert connects(address, port), f"the host reaches itself at {address}"
            assert not await reaches(member, address, port), address
    sock = await inside(neighbour, partial(listening, "0.0.0.0"))
    with sock:
        port = sock.getsockname()[1]
        assert connects(neighbour.address, port)
        assert not await reaches(member, neighbour.address, port)


@pytest.mark.root
async def test_of_other_nodes_only_the_web_ports_can_be_opened(network: Network, outside: Outside):
    member = await network.attach(1, (), Policies(group="s"))
    await network.shared.set_group("s", ALL)

    def ports() -> list[socket.socket]:
        return [listening(outside.private, port) for port in (80, 443, 7400, 7402)]

    held = await out_there(outside, ports)
    try:
        assert [await reaches(member, outside.private, port) for port in (80, 443, 7400, 7402)] == [True] * 4
        await network.shared.set_nodes([outside.private])
        assert [await reaches(member, outside.private, port) for port in (80, 443, 7400, 7402)] == [
            True,
            True,
            False,
            False,
        ]
        await network.shared.set_nodes([])
        assert await reaches(member, outside.private, 7400)
    finally:
        for sock in held:
            sock.close()


@pytest.mark.root
async def test_shared_rules_hold_while_no_daemon_runs_and_go_with_the_last_who_follows(
    outside: Outside, internet: int, config: NetworkConfig, prefix: str, run_dir
):
    def opened():
        return open_network(config, prefix=prefix, run_dir=run_dir, clock=time.monotonic)

    async with opened() as network:
        member = await network.attach(1, (), Policies(group="s", caller="app"))
        await network.shared.set_group("s", ALL)
        await network.shared.set_caller("app", ())
    assert await reaches(member, outside.public, internet)
    async with opened() as network:
        assert await reaches(member, outside.public, internet)
        await network.shared.keep_only((), ())
        assert await reaches(member, outside.public, internet), "the kernel keeps what is followed"
        await network.sweep(())
        await network.shared.keep_only((), ())
        chains = network._nft.names(f"paasd_{prefix}", "chain")
        assert {name for name in chains if name[:2] in ("g-", "c-", "i-")} == set()


@pytest.mark.root
async def test_calls_reach_the_doorway_at_their_addresses_and_ports_alone(network: Network):
    caller = await network.attach(1, (), Policies(caller="front"))
    stranger = await network.attach(2, (), Policies(caller="other"))
    with server(partial(listening, "169.254.1.1")) as doorway:
        await network.shared.set_doorway(doorway)
        await network.shared.set_caller("front", [Call("169.254.128.1", 8080, 8081), Call("169.254.128.1", 8081, 8083)])
        assert await reaches(caller, "169.254.128.1", 8080)
        assert await reaches(caller, "169.254.128.1", 8083)
        assert not await reaches(caller, "169.254.128.1", 8084)
        assert not await reaches(caller, "169.254.128.2", 8080)
        assert not await reaches(caller, "169.254.1.1", doorway), "not by its own name"
        assert not await reaches(stranger, "169.254.128.1", 8080)
        await network.shared.set_caller("front", ())
        assert not await reaches(caller, "169.254.128.1", 8080)


@pytest.mark.root
async def test_a_call_under_way_ends_with_its_permission(network: Network):
    caller = await network.attach(1, (), Policies(caller="front"))
    with listening("169.254.1.1") as doorway:
        await network.shared.set_doorway(doorway.getsockname()[1])
        await network.shared.set_caller("front", [Call("169.254.128.1", 8080, 8080)])
        stream = await inside(caller, lambda: socket.create_connection(("169.254.128.1", 8080), 2))
        with stream, doorway.accept()[0]:
            stream.settimeout(2)
            stream.sendall(b"one")
            await network.shared.set_caller("front", ())
            with pytest.raises(ConnectionResetError):
                stream.sendall(b"two")
                stream.recv(10)


@pytest.mark.root
async def test_one_instance_cannot_take_all_calls(outside: Outside, prefix: str, run_dir):
    config = NetworkConfig(uplinks=(outside.interface,), calls_limit=16)

    def connect_many() -> int:
        held = []
        for _ in range(20):
            sock = socket.socket()
            sock.settimeout(1)
            held.append(sock)
            if sock.connect_ex(("169.254.128.1", 8080)):
                break
        for sock in held:
            sock.close()
        return len(held) - 1

    async with open_network(config, prefix=prefix, run_dir=run_dir, clock=time.monotonic) as network:
        greedy = await network.attach(1, (), Policies(caller="front"))
        modest = await network.attach(2, (), Policies(caller="front"))
        with server(partial(listening, "169.254.1.1")) as doorway:
            await network.shared.set_doorway(doorway)
            await network.shared.set_caller("front", [Call("169.254.128.1", 8080, 8080)])
            assert await inside(greedy, connect_many) == 16
            assert await reaches(modest, "169.254.128.1", 8080)
        await network.sweep(())
