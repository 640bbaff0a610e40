"""Who wants to do harm: floods, dawdlers, oversized frames, removed nodes, and certificates that have ended."""

import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from paasd.errors import PaasdError
from paasd.peer import NoMember, Peer, PeerRefused, PeerStream, PeerUnreachable, TlsPeers
from paasd.peer.arrivals import Handshakes, Strangers
from paasd.peer.connection import Connection
from paasd.peer.identity import stranger_context
from paasd.peer.peers import greet, open_connection
from paasd.peer.wire import FRAME_LIMIT_BYTES, STRANGER_FRAME_LIMIT_BYTES, Answer, Ask, Failure, Hello, Welcome
from paasd.sources import source_of
from tests.peer.hands import CLUSTER, QUICK, Town, guid_of

FEW = msgspec.structs.replace(QUICK, handshakes_limit=8, connections_per_node=8, strangers_per_minute=50)


async def echo(peer: Peer, body: bytes) -> bytes:
    return body


async def count(peer: Peer, body: bytes, stream: PeerStream) -> None:
    while True:
        await stream.send(b"x")
        await trio.sleep(0.01)


async def hello(address: str, body: bytes) -> bytes:
    return b"hello"


@asynccontextmanager
async def two(tmp_path: Path) -> AsyncIterator[tuple[Town, TlsPeers, TlsPeers]]:
    """A control node that serves, and a worker."""
    town = Town(tmp_path)
    async with town.node(1, config=FEW) as one, town.node(2, "worker", config=FEW) as other:
        for node in (one, other):
            node.serve("echo", echo)
            node.serve_stream("count", count)
            node.serve_strangers("hello", hello)
        yield town, one, other


async def stranger(town: Town, peers: TlsPeers, context: ssl.SSLContext | None = None) -> Connection:
    return await open_connection(town.addresses[peers.guid], context or stranger_context(), FEW, "it")


async def closed_within(connection: Connection, limit_s: float) -> float:
    """How long the other side took to close."""
    began = time.monotonic()
    with trio.fail_after(limit_s):
        try:
            while await connection.stream.receive_some(1000):
                pass
        except (trio.BrokenResourceError, OSError):
            pass
    connection.close()
    return time.monotonic() - began


async def test_a_flood_of_half_open_connections_keeps_no_member_out(tmp_path: Path) -> None:
    async with two(tmp_path) as (town, one, other), AsyncExitStack() as stack:
        for _ in range(FEW.handshakes_limit * 3):
            stream = await trio.open_tcp_stream(*town.addresses[one.guid])
            stack.push_async_callback(stream.aclose)
        with trio.fail_after(FEW.connect_timeout_s):
            assert await other.call(one.guid, "echo", b"through") == b"through"


async def test_the_oldest_handshake_goes_when_there_are_too_many() -> None:
    handshakes, ended = Handshakes(2), list[int]()

    async def shake(number: int, *, task_status: trio.TaskStatus[None]) -> None:
        with handshakes.one_more(60):
            task_status.started()
            await trio.sleep_forever()
        ended.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(4):
            await nursery.start(shake, number)
        await trio.testing.wait_all_tasks_blocked()
        assert ended == [0, 1]
        nursery.cancel_scope.cancel()


async def test_who_dawdles_over_a_greeting_is_dropped(tmp_path: Path) -> None:
    async with two(tmp_path) as (town, one, _):
        connection = await stranger(town, one)

        async def drip() -> None:
            try:
                while True:
                    await connection.stream.send_all(b"\0")
                    await trio.sleep(FEW.connect_timeout_s / 10)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drip)
            assert await closed_within(connection, FEW.connect_timeout_s * 3) < FEW.connect_timeout_s * 2
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("length", [STRANGER_FRAME_LIMIT_BYTES + 1, FRAME_LIMIT_BYTES, 2**32 - 1])
async def test_a_stranger_cannot_make_a_node_hold_large_frames(tmp_path: Path, length: int) -> None:
    async with two(tmp_path) as (town, one, _):
        connection = await stranger(town, one)
        await connection.stream.send_all(length.to_bytes(4, "big"))
        assert await closed_within(connection, 2) < 0.5
        fine = await stranger(town, one)
        await greet(fine, "", time.time)
        await fine.send(Ask("hello", bytes(STRANGER_FRAME_LIMIT_BYTES - 100)))
        assert await fine.receive() == Answer(b"hello")
        fine.close()


NO_UTF8, TOO_DEEP = b"\x92\xa5hel\xff\xfe\x01", b"\x91" * 60_000
"""What msgspec refuses by errors that are not its own."""


@pytest.mark.parametrize("body", [NO_UTF8, TOO_DEEP, b"\xc1", b""])
async def test_bytes_that_are_no_message_end_their_connection_and_nothing_else(tmp_path: Path, body: bytes) -> None:
    async with two(tmp_path) as (town, one, other):
        connection = await stranger(town, one)
        await connection.stream.send_all(len(body).to_bytes(4, "big") + body)
        await closed_within(connection, 5)
        assert await other.call(one.guid, "echo", b"well") == b"well"


async def test_a_defect_in_an_answer_is_told_and_logged_and_ends_nobody(tmp_path: Path) -> None:
    async def broken(peer: Peer, body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError("secret of the node")

    async def broken_stream(peer: Peer, body: bytes, stream: PeerStream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(broken, peer, body)

    async with two(tmp_path) as (_, one, other):
        one.serve("broken", broken)
        one.serve_stream("broken.stream", broken_stream)
        with pytest.raises(PaasdError, match=r"broken failed on the other node \(ZeroDivisionError\)") as told:
            await other.call(one.guid, "broken")
        assert "secret" not in told.value.detail
        with pytest.raises(PaasdError, match=r"broken\.stream failed on the other node"):
            async with other.stream(one.guid, "broken.stream") as stream:
                await stream.receive()
        assert await other.call(one.guid, "echo", b"well") == b"well"


async def test_a_member_cannot_send_a_frame_above_the_limit(tmp_path: Path) -> None:
    async with two(tmp_path) as (town, one, other):
        connection = await stranger(town, one, other._contexts_now[1])
        await greet(connection, CLUSTER, time.time)
        await connection.stream.send_all((FRAME_LIMIT_BYTES + 1).to_bytes(4, "big"))
        assert await closed_within(connection, 2) < 0.5
        assert await other.call(one.guid, "echo", bytes(5_000_000)) == bytes(5_000_000)


async def test_one_node_cannot_take_all_connections(tmp_path: Path) -> None:
    async with two(tmp_path) as (_, one, other), AsyncExitStack() as stack:
        for _ in range(FEW.connections_per_node):
            await stack.enter_async_context(other.stream(one.guid, "count"))
        with pytest.raises(Exception, match="too many connections from this node"):
            await other.call(one.guid, "echo")
        await stack.aclose()
        with trio.fail_after(10):
            while True:
                try:
                    assert await other.call(one.guid, "echo", b"again") == b"again"
                    break
                except Exception:  # noqa: BLE001 (the streams' ends have not all arrived)
                    await trio.sleep(0.01)


def test_strangers_are_counted_by_source() -> None:
    now = 1000.0
    config = msgspec.structs.replace(QUICK, strangers_limit=5, strangers_per_source=2, strangers_per_minute=3)
    strangers = Strangers(config, lambda: now)
    with strangers.admitted("a") as one, strangers.admitted("a") as two, strangers.admitted("a") as three:
        assert (one, two, three) == (True, True, False), "at once from one source"
        with strangers.admitted("b") as four, strangers.admitted("c") as five, strangers.admitted("d") as six:
            assert (four, five) == (True, True)
            assert six
            with strangers.admitted("e") as seven:
                assert not seven, "at once from everywhere"
    with strangers.admitted("a") as again:
        assert again
    with strangers.admitted("a") as often:
        assert not often, "three in a minute"
    now += 61
    with strangers.admitted("a") as later:
        assert later


def test_an_ipv6_network_is_one_source() -> None:
    assert source_of("2001:db8::1") == source_of("2001:db8::ffff:2") != source_of("2001:db8:0:1::1")
    assert source_of("192.0.2.1") == source_of("::ffff:192.0.2.1") != source_of("192.0.2.2")
    assert source_of("fe80::1%eth0") == source_of("fe80::2")
    assert source_of("nonsense") == "nonsense"


async def test_the_open_streams_of_a_removed_node_are_cut(tmp_path: Path) -> None:
    async with two(tmp_path) as (town, one, other):
        async with other.stream(one.guid, "count") as kept:
            with trio.move_on_after(FEW.ping_s * 4):
                while True:
                    assert await kept.receive() == b"x", "an ordinary stream goes on"
        town.removed.clear()
        began = time.monotonic()
        with pytest.raises((PeerUnreachable, PeerRefused)):
            async with other.stream(one.guid, "count") as stream:
                town.removed.add(other.guid)
                with trio.fail_after(5):
                    while True:
                        await stream.receive()
        assert time.monotonic() - began < FEW.ping_s * 4


async def test_a_removed_node_is_told_by_control_nodes_and_believes_no_worker(tmp_path: Path) -> None:
    town = Town(tmp_path)
    told: list[str] = []
    removed = guid_of(3)
    async with town.node(1) as control, town.node(2, "worker") as worker, town.node(3) as node:
        node._allowed = lambda guid: True
        node.on_removed = told.append
        for one in (control, worker):
            one.serve("echo", echo)
            assert await node.call(one.guid, "echo", b"a member") == b"a member"
        town.removed.add(removed)
        for one in (worker, control):
            with pytest.raises((NoMember, PeerUnreachable)):
                await node.call(one.guid, "echo")
            node.close_idle()
            with pytest.raises(NoMember):
                await node.call(one.guid, "echo")
        assert set(told) == {control.guid}


async def test_a_connection_ends_with_the_certificate_that_opened_it(tmp_path: Path) -> None:
    town = Town(tmp_path)
    ahead_s = [0.0]
    async with town.node(1, clock=lambda: time.time() + ahead_s[0]) as one, town.node(2) as other:
        one.serve_stream("count", count)
        with pytest.raises(PeerUnreachable):
            async with other.stream(one.guid, "count") as stream:
                assert await stream.receive() == b"x"
                ahead_s[0] = 86_400.0 * 2
                with trio.fail_after(5):
                    while True:
                        await stream.receive()


@pytest.mark.parametrize(("version", "oldest", "fits"), [(1, 1, True), (9, 1, True), (0, 0, False), (9, 8, False)])
async def test_releases_that_have_no_version_in_common_say_so(
    tmp_path: Path, version: int, oldest: int, fits: bool
) -> None:
    async with two(tmp_path) as (town, one, other):
        connection = await stranger(town, one, other._contexts_now[1])
        await connection.send(Hello(version, oldest, CLUSTER, time.time()))
        answer = await connection.receive_late(2)
        if fits:
            assert isinstance(answer, Welcome) and answer.version == 1
        else:
            assert isinstance(answer, Failure)
            assert answer.detail.startswith(f"this node speaks versions 1 to 1, not {oldest} to {version}; upgrade")
        connection.close()
