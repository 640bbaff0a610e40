"""Attachments as kernel objects: what an instance finds, what a restart finds, what a sweep removes."""

import socket
import statistics
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import trio

from paasd.config import NetworkConfig
from paasd.errors import ConfigError
from paasd.sandbox import mounts
from paasd.sandbox.network import PUBLIC_EGRESS, EgressRule, Network, connections, links, open_network

from .world import Outside, connects, datagrams, inside, inventory, listening, out_there

pytestmark = pytest.mark.root


async def test_an_app_on_the_ipv6_wildcard_is_reached_over_ipv4(network: Network):
    app = await network.attach(1, PUBLIC_EGRESS)
    sock = await inside(app, partial(listening, "::", 0, socket.AF_INET6))
    with sock:
        port = sock.getsockname()[1]
        with socket.create_connection((app.address, port), 5):
            accepted, peer = sock.accept()
            accepted.close()
            assert peer[0] == "::ffff:169.254.1.1"
        assert await inside(app, partial(connects, "::1", port)), "loopback has IPv6"
        assert await inside(app, partial(connects, "127.0.0.1", port))


async def test_ipv6_ends_at_loopback(network: Network):
    app = await network.attach(1, PUBLIC_EGRESS)

    def found() -> list[tuple[int, str]]:
        with links.netlink() as ip:
            return [(a["index"], a.get_attr("IFA_ADDRESS")) for a in ip.get_addr(family=socket.AF_INET6)]

    assert await inside(app, found) == [(1, "::1")]
    disabled = trio.Path(f"/proc/sys/net/ipv6/conf/{app.interface}/disable_ipv6")
    assert await disabled.read_text() == "1\n"


async def test_an_address_rests_before_it_is_used_again(config: NetworkConfig, prefix: str, run_dir: Path):
    now = 1000.0
    small = NetworkConfig(uplinks=config.uplinks, pool_prefix_length=28)

    async def addresses(count: int) -> set[str]:
        found = {(await network.attach(slot, ())).address for slot in range(count)}
        await network.sweep(())
        return found

    async with open_network(small, prefix=prefix, run_dir=run_dir, clock=lambda: now) as network:
        first = await addresses(7)
        assert not first & await addresses(7)
    # The next daemon goes on counting.
    async with open_network(small, prefix=prefix, run_dir=run_dir, clock=lambda: now + 59) as network:
        with pytest.raises(Exception, match="rest after use"):
            await addresses(1)
    async with open_network(small, prefix=prefix, run_dir=run_dir, clock=lambda: now + 61) as network:
        assert await addresses(7) <= {str(a) for a in network.pool}


async def test_the_next_owner_of_an_address_gets_nothing_that_was_for_the_former_one(
    config: NetworkConfig, prefix: str, run_dir: Path, outside: Outside
):
    small = NetworkConfig(uplinks=config.uplinks, pool_prefix_length=28, quarantine_s=0)
    async with open_network(small, prefix=prefix, run_dir=run_dir, clock=time.monotonic) as network:
        former = await network.attach(0, PUBLIC_EGRESS)
        with await out_there(outside, partial(datagrams, "0.0.0.0")) as far:
            with await inside(former, partial(datagrams, "0.0.0.0", 8125)) as near:
                near.sendto(b"question", (outside.public, far.getsockname()[1]))
                _, source = far.recvfrom(100)
                far.sendto(b"answer", source)
                assert near.recv(100) == b"answer"
            await network.detach(0)
            for slot in range(1, 15):
                later = await network.attach(slot, PUBLIC_EGRESS)
                far.sendto(b"so that it stays alive", source)
            assert later.address == former.address, "a round through the small pool"
            with await inside(later, partial(datagrams, "0.0.0.0", 8125)) as inbox, datagrams("0.0.0.0") as host:
                far.sendto(b"from a stranger", source)
                host.sendto(b"from the host", (later.address, 8125))
                assert inbox.recv(100) == b"from the host"
                inbox.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    inbox.recv(100)
        await network.sweep(())


async def test_connections_that_the_kernel_does_not_forget_keep_nothing_from_going(network: Network, monkeypatch):
    def refuse(address: object) -> None:
        raise PermissionError(1, "not here")

    await network.attach(1, PUBLIC_EGRESS)
    monkeypatch.setattr(connections, "forget", refuse)
    await network.detach(1)
    assert await network.leftovers() == set()


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


CRASHING = """
import os, sys, time, trio
from pathlib import Path
from paasd.config import NetworkConfig
from paasd.sandbox.network import PUBLIC_EGRESS, open_network

async def main():
    config = NetworkConfig(uplinks=(sys.argv[3],))
    async with open_network(config, prefix=sys.argv[1], run_dir=Path(sys.argv[2]), clock=time.monotonic) as network:
        for slot in (3, 5):
            print((await network.attach(slot, PUBLIC_EGRESS)).address, flush=True)
        os.kill(os.getpid(), 9)

trio.run(main)
"""


async def test_attachments_outlive_a_killed_daemon_and_are_read_back(
    config: NetworkConfig, prefix: str, run_dir: Path, outside: Outside
):
    command = [sys.executable, "-c", CRASHING, prefix, str(run_dir), outside.interface]
    died = await trio.run_process(command, capture_stdout=True, check=False)
    assert died.returncode == -9
    addresses = [line for line in died.stdout.decode().splitlines() if line.startswith("10.254.")]
    async with open_network(config, prefix=prefix, run_dir=run_dir, clock=time.monotonic) as network:
        known = network.list()
        assert [known[3].address, known[5].address] == addresses
        sock = await inside(known[3], partial(listening, "0.0.0.0"))
        with sock:
            assert connects(known[3].address, sock.getsockname()[1])
        assert (await network.attach(7, ())).address not in addresses
        assert await network.sweep({3}) == {5, 7}
        assert set(network.list()) == {3}
        await network.detach(3)
    assert inventory(prefix) == {"tables": [], "interfaces": [], "namespaces": []}


async def test_a_sweep_removes_what_was_left_half_made(network: Network, prefix: str, run_dir: Path):
    kept = await network.attach(1, PUBLIC_EGRESS)
    await trio.to_thread.run_sync(half_made, network, prefix, run_dir)
    assert await network.leftovers() == {1, 11, 12, 13, 14}
    assert await network.sweep({1}) == {11, 12, 13, 14}
    assert await network.leftovers() == {1}
    assert kept.netns_path.exists()
    assert [path.name for path in (run_dir / "netns").iterdir()] == ["1"]


def half_made(network: Network, prefix: str, run_dir: Path) -> None:
    """A bare file, a bound namespace, an interface, rules: what a crash at each step leaves."""
    (run_dir / "netns/11").touch()
    links.in_namespace(lambda: mounts.bind_file("/proc/thread-self/ns/net", run_dir / "netns/12"))
    with links.netlink() as ip:
        ip.link("add", kind="veth", ifname=f"pd{prefix}-13", peer=f"pd{prefix}p")
    network._nft.run(
        f"add chain inet paasd_{prefix} e14\nadd chain inet paasd_{prefix} d14\n"
        f'add element inet paasd_{prefix} egress {{ "pd{prefix}-14" : jump e14 }}\n'
        f'add element inet paasd_{prefix} sources {{ "pd{prefix}-14" . {network.pool[9]} : accept }}\n'
        f"add set inet paasd_{prefix} h14_0 {{ type ipv4_addr; flags timeout; }}"
    )


async def test_sixty_instances_come_and_go_twice_without_a_trace(network: Network, prefix: str):
    descriptors = open_descriptors()
    before = inventory(prefix)
    up, down = [], []
    for _ in range(2):
        for slot in range(60):
            start = time.perf_counter()
            await network.attach(slot, (*PUBLIC_EGRESS, EgressRule("mirror.example.org", "tcp", ((443, 443),))))
            up.append(time.perf_counter() - start)
        assert len(inventory(prefix)["interfaces"]) == 60
        for slot in range(60):
            start = time.perf_counter()
            await network.detach(slot)
            down.append(time.perf_counter() - start)
    print(f"attach p50 {statistics.median(up) * 1000:.1f} ms, detach p50 {statistics.median(down) * 1000:.1f} ms")
    assert await network.leftovers() == set()
    assert inventory(prefix) == before
    assert open_descriptors() == descriptors
    rules = await trio.run_process(["nft", "list", "table", "inet", f"paasd_{prefix}"], capture_stdout=True)
    assert f"pd{prefix}-0".encode() not in rules.stdout
    assert b"h0_" not in rules.stdout


async def test_the_last_node_restores_forwarding_and_takes_its_routes(
    config: NetworkConfig, prefix: str, run_dir: Path, outside: Outside
):
    assert not links.forwarding(outside.interface)
    async with open_network(config, prefix=prefix, run_dir=run_dir, clock=time.monotonic) as network:
        assert links.forwarding(outside.interface)
        assert network.pool in links.held_pools()
        pool = network.pool
    assert pool not in links.held_pools()
    assert inventory(prefix)["tables"] == []


async def test_names_that_do_not_fit_are_refused(config: NetworkConfig, prefix: str, run_dir: Path):
    for wrong in ("", "Upper", "toolong", "a-b"):
        with pytest.raises(ConfigError, match="node prefix"):
            async with open_network(config, prefix=wrong, run_dir=run_dir, clock=time.monotonic):
                pass
    absent = NetworkConfig(uplinks=("absent0",))
    with pytest.raises(ConfigError, match="absent0, which this host does not have"):
        async with open_network(absent, prefix=prefix, run_dir=run_dir, clock=time.monotonic):
            pass
    async with open_network(config, prefix=prefix, run_dir=run_dir, clock=time.monotonic):
        pass
    assert inventory(prefix)["tables"] == []
