"""The resolver behind a real instance network: port 53 of the link address, and host names opened as they are asked."""

import secrets
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import dns.message
import dns.query
import pytest
import trio

from paasd.config import DnsConfig, NetworkConfig
from paasd.dns import open_resolver
from paasd.sandbox.network import EgressRule, Network, links, open_network

from .upstream import open_upstream

pytestmark = pytest.mark.root


@pytest.fixture
def run_dir() -> Iterator[Path]:
    directory = Path(f"/run/paasd-test-{secrets.token_hex(4)}")
    directory.mkdir(mode=0o700)
    yield directory
    (directory / "addresses.json").unlink(missing_ok=True)
    (directory / "netns").rmdir()
    directory.rmdir()


def resolver_for(network: Network, upstream: str):
    return open_resolver(
        DnsConfig(upstreams=(upstream,), timeout_s=0.5),
        lookup=lambda client, name: ["10.254.255.1"] if name == "shop.apps.internal" else None,
        is_instance=lambda address: network.by_address(address) is not None,
        holder_of=lambda address: "",
        learn=network.learn,
        clock=time.monotonic,
        packets_per_s=NetworkConfig().resolver_packets_per_s,
        port=network.resolver_port,
    )


def ask(name: str, *, tcp: bool) -> set[str]:
    how = dns.query.tcp if tcp else dns.query.udp
    answer = how(dns.message.make_query(name, "A"), "169.254.1.1", timeout=2)
    return {rdata.to_text() for rrset in answer.answer for rdata in rrset}


async def test_instances_of_two_nodes_each_ask_their_own_resolver(run_dir: Path):
    config = NetworkConfig()
    async with open_upstream() as upstream:
        one = open_network(config, prefix="t" + secrets.token_hex(2), run_dir=run_dir, clock=time.monotonic)
        two = open_network(config, prefix="t" + secrets.token_hex(2), run_dir=run_dir / "two", clock=time.monotonic)
        (run_dir / "two").mkdir()
        async with one as first, two as second:
            async with resolver_for(first, upstream.server) as resolver, resolver_for(second, upstream.server) as other:
                await first.set_resolver(resolver.port)
                await second.set_resolver(other.port)
                for network in (first, second):
                    app = await network.attach(1, ())
                    for tcp in (False, True):
                        for name, expected in (
                            ("shop.apps.internal", {"10.254.255.1"}),
                            ("www.example.org", {"198.51.100.7", "198.51.100.8"}),
                        ):
                            work = partial(links.in_namespace, partial(ask, name, tcp=tcp), app.netns_path)
                            assert await trio.to_thread.run_sync(work) == expected
            for network in (first, second):
                await network.sweep(())
    for path in ((run_dir / "two/addresses.json"), (run_dir / "two/netns"), (run_dir / "two")):
        path.unlink() if path.is_file() else path.rmdir()


async def test_a_look_up_during_a_restart_is_answered_by_the_next_daemon(run_dir: Path):
    """The stub resolvers of C libraries ask again on the same socket after silence, and give up on an error."""
    prefix = "t" + secrets.token_hex(2)
    query = dns.message.make_query("shop.apps.internal", "A").to_wire()
    async with open_upstream() as upstream:
        async with open_network(NetworkConfig(), prefix=prefix, run_dir=run_dir, clock=time.monotonic) as network:
            app = await network.attach(1, ())
            async with resolver_for(network, upstream.server) as resolver:
                await network.set_resolver(resolver.port)

        def stub() -> socket.socket:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.settimeout(0.5)
            sock.connect(("169.254.1.1", 53))
            sock.send(query)
            return sock

        with await trio.to_thread.run_sync(partial(links.in_namespace, stub, app.netns_path)) as sock:
            with pytest.raises(TimeoutError):
                await trio.to_thread.run_sync(sock.recv, 4096)
            async with open_network(NetworkConfig(), prefix=prefix, run_dir=run_dir, clock=time.monotonic) as network:
                assert network.resolver_port == resolver.port
                async with resolver_for(network, upstream.server) as successor:
                    assert successor.port == resolver.port
                    sock.send(query)
                    answer = dns.message.from_wire(await trio.to_thread.run_sync(sock.recv, 4096))
                await network.sweep(())
    assert [rdata.to_text() for rrset in answer.answer for rdata in rrset] == ["10.254.255.1"]


async def test_asking_for_a_name_opens_it_before_the_answer_is_there(run_dir: Path):
    """Without a server at the end: what was opened shows in the kernel's refusal or silence."""
    async with open_upstream() as upstream:
        prefix = "t" + secrets.token_hex(2)
        async with open_network(NetworkConfig(), prefix=prefix, run_dir=run_dir, clock=time.monotonic) as network:
            async with resolver_for(network, upstream.server) as resolver:
                await network.set_resolver(resolver.port)
                app = await network.attach(1, (EgressRule("www.example.org", "tcp", ((443, 443),)),))

                def refused(address: str) -> bool:
                    with socket.socket() as sock:
                        sock.settimeout(0.3)
                        try:
                            sock.connect((address, 443))
                        except TimeoutError:
                            return False
                        except OSError:
                            return True
                    return False

                async def inside(work):
                    return await trio.to_thread.run_sync(partial(links.in_namespace, work, app.netns_path))

                assert await inside(partial(refused, "198.51.100.7"))
                await inside(partial(ask, "www.example.org", tcp=False))
                known = {str(e["elem"]["val"]) for e in network._nft.elements(f"paasd_{prefix}", "h1_0")}
                assert known == {"198.51.100.7", "198.51.100.8"}
                assert not await inside(partial(refused, "198.51.100.7"))
                assert await inside(partial(refused, "198.51.100.9"))
            await network.sweep(())
