"""How many connections and look-ups one instance may begin, and how long the host remembers those that are over."""

import contextlib
import socket
import time
from functools import partial
from ipaddress import IPv4Address

import pytest
import trio

from paasd.config import NetworkConfig
from paasd.sandbox.network import EgressRule, Network, connections, open_network

from .world import Outside, connects, datagrams, inside, listening, out_there

pytestmark = pytest.mark.root
EVERYTHING = (EgressRule("0.0.0.0/0"),)


async def test_connections_that_have_ended_are_soon_forgotten(network: Network, outside: Outside):
    """Nobody's limit counts them, and the host's table is shared."""
    app = await network.attach(1, EVERYTHING)

    def come_and_go(far: socket.socket, address: tuple[str, int]) -> None:
        for _ in range(50):
            with socket.create_connection(address, 5) as near:
                far.accept()[0].close()
                assert near.recv(1) == b""

    def count() -> int:
        address = IPv4Address(app.address)
        return sum(len(connections.tracked(address, side)) for side in (connections.SOURCE, connections.DESTINATION))

    with await out_there(outside, partial(listening, "0.0.0.0")) as far:
        await inside(app, partial(come_and_go, far, (outside.public, far.getsockname()[1])))
    with await inside(app, partial(listening, "0.0.0.0")) as own:
        await trio.to_thread.run_sync(come_and_go, own, (app.address, own.getsockname()[1]))
    assert count() >= 90
    # Those to the outside stay for a minute, as far ends keep their ports.
    with trio.fail_after(40):
        while count() > 55:
            await trio.sleep(0.5)


async def test_an_instance_opens_so_many_connections_a_second(outside: Outside, prefix: str, run_dir):
    config = NetworkConfig(uplinks=(outside.interface,), connections_per_s=10, flows_limit=20)

    def opened(far: socket.socket, address: tuple[str, int]) -> int:
        count = 0
        for _ in range(60):
            with contextlib.suppress(OSError), socket.create_connection(address, 5):
                far.accept()[0].close()
                count += 1
        return count

    async with open_network(config, prefix=prefix, run_dir=run_dir, clock=time.monotonic) as network:
        app, other = await network.attach(1, EVERYTHING), await network.attach(2, EVERYTHING)
        with await out_there(outside, partial(listening, "0.0.0.0")) as far:
            address, began = (outside.public, far.getsockname()[1]), time.monotonic()
            count = await inside(app, partial(opened, far, address))
            assert 20 <= count <= 21 + 10 * (time.monotonic() - began) < 60
            assert await inside(other, partial(connects, *address)), "a neighbour has its own"
        await network.sweep(())


async def test_a_look_up_counts_for_five_seconds(outside: Outside, prefix: str, run_dir):
    config = NetworkConfig(uplinks=(outside.interface,), resolver_flows_limit=8)

    def asked(count: int) -> int:
        sent = 0
        for _ in range(count):
            with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect(("169.254.1.1", 53))
                sock.send(b"q")
                sock.settimeout(0.02)
                with contextlib.suppress(TimeoutError):
                    sock.recv(10)
                sent += 1
        return sent

    async with open_network(config, prefix=prefix, run_dir=run_dir, clock=time.monotonic) as network:
        app = await network.attach(1, ())
        with datagrams("0.0.0.0") as inbox:
            await network.set_resolver(inbox.getsockname()[1])
            assert await inside(app, partial(asked, 20)) <= 8
            await trio.sleep(7)
            assert await inside(app, partial(asked, 7)) == 7
        await network.sweep(())
