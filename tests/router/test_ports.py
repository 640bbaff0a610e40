"""Routes with a port: what is connected to it reaches the instances behind the route, while there is one."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio

from paasd.router import Certificates, Endpoint, RouteEntry, Router, RouteTable, open_router, rtr_line

from .conftest import CONFIG, DOMAINS, Journal
from .members import Authority, members, remote


class Echo:
    """Says its name, then whatever it is told."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        try:
            await stream.send_all(f"{self.name}\n".encode())
            async for data in stream:
                await stream.send_all(data)
            await stream.aclose()
        except trio.BrokenResourceError:
            return

    def endpoint(self, index: int = 0, weight: int = 1) -> Endpoint:
        return Endpoint(
            instance_guid=self.name, index=index, address="127.0.0.1", port=self.port, app_guid="app-1", weight=weight
        )


@asynccontextmanager
async def echoes(*names: str) -> AsyncIterator[list[Echo]]:
    async with trio.open_nursery() as nursery:
        running = [Echo(name) for name in names]
        for one in running:
            listeners = await nursery.start(partial(trio.serve_tcp, one.serve, 0, host="127.0.0.1"))
            one.port = listeners[0].socket.getsockname()[1]
        yield running
        nursery.cancel_scope.cancel()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def route(port: int, *running: Echo, **fields: object) -> RouteEntry:
    endpoints = tuple(one.endpoint(index) for index, one in enumerate(running))
    known = {"route_guid": f"route {port}", "app_guid": "app-1", "endpoints": endpoints, **fields}
    return RouteEntry(host="tcp.localhost", port=port, **known)  # type: ignore[arg-type]


async def publish(router: Router, *entries: RouteEntry) -> None:
    """Exactly these ports."""
    router.publish(RouteTable(domains=DOMAINS, ports={one.port: one for one in entries if one.port}))
    with trio.fail_after(5):
        await router.settled()


async def said(port: int, text: bytes = b"hello") -> tuple[str, bytes]:
    """Who answers, nobody if the connection is closed, and what comes back; an OSError when nobody listens."""
    with trio.fail_after(5):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            try:
                await stream.send_all(text)
                await stream.send_eof()
                got = b"".join([bytes(data) async for data in stream])
            except trio.BrokenResourceError:
                got = b""
            name, _, rest = got.partition(b"\n")
            return name.decode(), rest


async def until_refused(port: int) -> None:
    """A listener that Envoy took off closes its socket on every worker, a moment after it says so."""
    with trio.fail_after(5):
        while True:
            try:
                await said(port)
            except OSError:
                return


async def test_a_port_answers_while_its_route_is_there_and_no_longer(router: Router) -> None:
    first, second = free_port(), free_port()
    async with echoes("a", "b") as (a, b):
        await publish(router, route(first, a), route(second, b))
        assert await said(first) == ("a", b"hello")
        assert await said(second, b"x" * 300_000) == ("b", b"x" * 300_000)
        router.publish_ports({first: None})
        await router.settled()
        await until_refused(first)
        assert await said(second) == ("b", b"hello")
        router.publish_ports({first: route(first, b)})
        with trio.fail_after(5):
            while first in router.taken_ports:
                await trio.sleep(0.05)
        await router.settled()
        assert await said(first) == ("b", b"hello")


async def test_connections_are_spread_by_weight_and_go_on_when_the_route_ends(router: Router) -> None:
    port = free_port()
    async with echoes("a", "b") as (a, b):
        await publish(router, route(port, endpoints=(a.endpoint(0, 3), b.endpoint(1, 1))))
        names = [(await said(port))[0] for _ in range(16)]
        assert (names.count("a"), names.count("b")) == (12, 4)
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            assert (await stream.receive_some(2)) in (b"a\n", b"b\n")
            router.publish_ports({port: None})
            await router.settled()
            await until_refused(port)
            await stream.send_all(b"still here")
            assert await stream.receive_some(10) == b"still here"


async def test_an_instance_that_does_not_answer_is_passed_over(router: Router) -> None:
    port = free_port()
    async with echoes("a") as (a,):
        gone = Echo("gone")
        gone.port = free_port()
        await publish(router, route(port, a, gone))
        assert {(await said(port))[0] for _ in range(6)} == {"a"}
        await publish(router, route(port))
        assert await said(port) == ("", b"")  # an app that is meant to run, without an instance


async def test_a_connection_is_told_of_once_it_has_ended(router: Router, journal: Journal) -> None:
    port = free_port()
    async with echoes("a") as (a,):
        await publish(router, route(port, a))
        await said(port, b"12345")
        with trio.fail_after(5):
            while not journal.entries:
                await trio.sleep(0.02)
    (entry,) = journal.entries
    assert (entry.route_guid, entry.app_guid, entry.instance_guid, entry.instance_index) == (
        f"route {port}",
        "app-1",
        "a",
        0,
    )
    assert (entry.bytes_in, entry.bytes_out) == (5, 7)
    line = rtr_line(entry)
    assert line.startswith(f"tcp.localhost:{port} - [")
    assert '] "TCP" 5 7 "127.0.0.1:' in line
    assert 'app_index:"0" instance_id:"a"' in line


@pytest.mark.parametrize("between", [True, False])
async def test_a_connection_is_told_to_whose_route_it_came_in_on_though_the_port_is_anothers_now(
    router: Router, journal: Journal, between: bool
) -> None:
    port = free_port()
    async with echoes("a", "b") as (a, b):
        await publish(router, route(port, a, route_guid="first"))
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            assert await stream.receive_some(2) == b"a\n"
            if between:
                router.publish_ports({port: None})
                await router.settled()
                await until_refused(port)
            await publish(router, route(port, b, route_guid="second", app_guid="app-2"))
            with trio.fail_after(5):
                while True:
                    with suppress(OSError):
                        if await said(port) == ("b", b"hello"):
                            break
                    await trio.sleep(0.02)
            await stream.send_all(b"on")
            assert await stream.receive_some(2) == b"on"
        with trio.fail_after(5):
            while {"first", "second"} - {one.route_guid for one in journal.entries}:
                await trio.sleep(0.02)
    assert {(one.route_guid, one.instance_guid) for one in journal.entries if one.instance_guid} == {
        ("first", "a"),
        ("second", "b"),
    }


async def test_a_port_of_another_program_is_left_out_until_it_is_let_go_of(router: Router) -> None:
    port, other = free_port(), free_port()
    async with echoes("a") as (a,):
        with socket.create_server(("127.0.0.1", port)):
            router.publish(RouteTable(domains=DOMAINS, ports={port: route(port, a), other: route(other, a)}))
            assert router.taken_ports == (port,)  # before Envoy is asked
            await router.settled()
            assert await said(other) == ("a", b"hello")
        with trio.fail_after(5):
            while router.taken_ports:
                await trio.sleep(0.05)
        await router.settled()
        assert await said(port) == ("a", b"hello")


async def test_what_envoy_cannot_listen_on_is_no_defect_and_harms_nobody_else(router: Router) -> None:
    port, other = free_port(), free_port()
    async with echoes("a") as (a,):
        await publish(router, route(other, a))
        with socket.create_server(("127.0.0.1", port)):
            router._ports._is_free = lambda _port: True  # somebody is faster than the look at the port
            router.publish_ports({port: route(port, a)})
            with trio.fail_after(5):
                while router.taken_ports != (port,):
                    await trio.sleep(0.02)
            assert await said(other) == ("a", b"hello")
            router._ports._is_free = router._is_free
        with trio.fail_after(5):
            while router.taken_ports:
                await trio.sleep(0.05)
        await router.settled()
        assert await said(port) == ("a", b"hello")
        assert router.refused == 0


async def test_more_connections_than_one_port_may_have_are_closed(tmp_path: Path, certificates: Certificates) -> None:
    port = free_port()
    config = msgspec.structs.replace(CONFIG, tcp_connections_limit=2)
    async with echoes("a") as (a,), open_router(config, tmp_path, certificates, outlive=False) as router:
        await publish(router, route(port, a))
        held = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(2)]
        for stream in held:
            assert await stream.receive_some(2) == b"a\n"
        assert await said(port) == ("", b"")
        await held[0].aclose()
        with trio.fail_after(5):
            while await said(port) != ("a", b"hello"):
                await trio.sleep(0.02)
        await held[1].aclose()


async def test_a_connection_on_which_nothing_moves_is_closed(tmp_path: Path, certificates: Certificates) -> None:
    port = free_port()
    config = msgspec.structs.replace(CONFIG, tcp_idle_timeout_s=0.2)
    async with echoes("a") as (a,), open_router(config, tmp_path, certificates, outlive=False) as router:
        await publish(router, route(port, a))
        with trio.fail_after(5):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                assert await stream.receive_some(2) == b"a\n"
                assert await stream.receive_some(1) == b""


async def test_any_node_listens_and_reaches_instances_of_another(tmp_path: Path, certificates: Certificates) -> None:
    port = free_port()
    async with echoes("a") as (a,), members(tmp_path, certificates, Authority(), "edge", "owner") as (edge, owner):
        await owner.link(edge, a_1=a)  # type: ignore[arg-type]
        await edge.link(owner)
        there = remote(a, owner)  # type: ignore[arg-type]
        await publish(edge.router, route(port, endpoints=(there,)))
        assert await said(port, b"x" * 100_000) == ("a", b"x" * 100_000)
        with trio.fail_after(5):
            while not edge.journal.entries:
                await trio.sleep(0.02)
        (entry,) = edge.journal.entries
        assert (entry.instance_guid, entry.node_guid, entry.bytes_in) == ("a", "owner", 100_000)
        outdated = remote(a, owner, epoch=2)  # type: ignore[arg-type]
        await publish(edge.router, route(port, endpoints=(outdated,)))
        assert await said(port) == ("", b"")


async def test_an_adopted_envoy_goes_on_listening(tmp_path: Path, certificates: Certificates) -> None:
    port = free_port()
    async with echoes("a") as (a,):
        async with open_router(CONFIG, tmp_path, certificates) as first:
            await publish(first, route(port, a))
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            assert await stream.receive_some(2) == b"a\n"
            async with open_router(CONFIG, tmp_path, certificates, outlive=False) as second:
                assert second.engine.adopted
                await publish(second, route(port, a))
                assert (second.taken_ports, second.sent_count) == ((), 0)
                await stream.send_all(b"on")
                assert await stream.receive_some(2) == b"on"
