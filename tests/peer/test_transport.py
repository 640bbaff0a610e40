"""Calls and streams over TLS: they arrive, they fail in words, and a silent peer is noticed."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from paasd.errors import NotFound, OutcomeUnknown, Unavailable, Unprocessable
from paasd.peer import Peer, PeerRefused, PeerStream, PeerUnreachable, TlsPeers
from paasd.peer.identity import stranger_context
from paasd.peer.interface import MESSAGE_LIMIT_BYTES
from paasd.peer.peers import greet, open_connection
from paasd.peer.wire import Answer, Ask, Failure
from paasd.state import Duplicate
from tests.peer.hands import CLUSTER, QUICK, Town, guid_of


async def echo(peer: Peer, body: bytes) -> bytes:
    return f"{peer.role} {peer.guid}: ".encode() + body


async def double(peer: Peer, body: bytes, stream: PeerStream) -> None:
    while (message := await stream.receive()) is not None:
        await stream.send(message * 2)


@asynccontextmanager
async def two(tmp_path: Path) -> AsyncIterator[tuple[Town, TlsPeers, TlsPeers]]:
    town = Town(tmp_path)
    async with town.node(1) as one, town.node(2, "worker") as other:
        for node in (one, other):
            node.serve("echo", echo)
            node.serve("secret", echo, roles=("control",))
            node.serve_stream("double", double)
        yield town, one, other


async def test_a_call_says_who_asks_and_brings_the_answer(tmp_path: Path) -> None:
    async with two(tmp_path) as (_, one, other):
        assert await one.call(other.guid, "echo", b"hello") == f"control {one.guid}: hello".encode()
        assert (
            await other.call(one.guid, "echo", b"x" * 1_000_000) == f"worker {other.guid}: ".encode() + b"x" * 1_000_000
        )
        assert await one.call(one.guid, "echo", b"me") == f"control {one.guid}: me".encode()


async def test_calls_use_a_connection_again(tmp_path: Path) -> None:
    async with two(tmp_path) as (_, one, other):
        for _ in range(3):
            await one.call(other.guid, "echo")
        assert len(one._idle[other.guid]) == 1
        began = time.perf_counter()
        for _ in range(50):
            await one.call(other.guid, "echo")
        assert time.perf_counter() - began < 2


async def test_a_role_may_ask_what_is_meant_for_it_alone(tmp_path: Path) -> None:
    async with two(tmp_path) as (_, one, other):
        assert await one.call(other.guid, "secret")
        with pytest.raises(PeerRefused, match="a worker may not ask 'secret'"):
            await other.call(one.guid, "secret")
        with pytest.raises(PeerRefused, match="does not answer 'nonsense'"):
            await one.call(other.guid, "nonsense")
        with pytest.raises(PeerRefused):
            async with one.stream(other.guid, "nonsense"):
                pass


@pytest.mark.parametrize(
    ("raised", "arrives"),
    [
        (NotFound("App"), NotFound("App")),
        (OutcomeUnknown("later", "id-1"), OutcomeUnknown("later", "id-1")),
        (Unavailable("not now"), Unavailable("not now")),
        (Duplicate("apps", ("name",)), Unprocessable("apps: name is taken")),
    ],
)
async def test_what_a_handler_raises_reaches_the_caller(tmp_path: Path, raised: Exception, arrives: Exception) -> None:
    async def refuse(peer: Peer, body: bytes) -> bytes:
        raise raised

    async with two(tmp_path) as (_, one, other):
        other.serve("refuse", refuse)
        with pytest.raises(type(arrives)) as caught:
            await one.call(other.guid, "refuse")
        assert type(caught.value) is type(arrives)
        assert vars(caught.value) == vars(arrives)
        assert await one.call(other.guid, "echo")


async def test_a_stream_carries_messages_both_ways_and_ends(tmp_path: Path) -> None:
    async with two(tmp_path) as (_, one, other), one.stream(other.guid, "double") as stream:
        for message in (b"a", b"bc", b"x" * 3_000_000):
            await stream.send(message)
            assert await stream.receive() == message * 2
        await stream.finish()
        assert await stream.receive() is None
        assert await stream.receive() is None


async def test_a_stream_that_rests_stays_open(tmp_path: Path) -> None:
    async with two(tmp_path) as (_, one, other), one.stream(other.guid, "double") as stream:
        with trio.move_on_after(QUICK.silence_s * 3) as waited:
            await stream.receive()
        assert waited.cancelled_caught
        await stream.send(b"still here")
        assert await stream.receive() == b"still herestill here"


async def test_a_failure_in_a_stream_arrives_in_its_place(tmp_path: Path) -> None:
    async def fail(peer: Peer, body: bytes, stream: PeerStream) -> None:
        await stream.send(b"first")
        raise NotFound("Blob")

    async with two(tmp_path) as (_, one, other):
        other.serve_stream("fail", fail)
        async with one.stream(other.guid, "fail") as stream:
            assert await stream.receive() == b"first"
            with pytest.raises(NotFound, match="Blob not found"):
                await stream.receive()


async def test_a_slow_handler_is_waited_for_and_a_silent_one_is_not(tmp_path: Path) -> None:
    async def slow(peer: Peer, body: bytes) -> bytes:
        await trio.sleep(QUICK.silence_s * 2)
        return b"done"

    async def block(peer: Peer, body: bytes) -> bytes:
        time.sleep(QUICK.silence_s * 2)  # noqa: ASYNC251 - a whole node that hangs
        return b"done"

    async with two(tmp_path) as (_, one, other):
        other.serve("slow", slow)
        other.serve("block", block)
        assert await one.call(other.guid, "slow") == b"done"
        with pytest.raises(PeerUnreachable, match=r"within 0\.9 s"):
            await one.call(other.guid, "slow", timeout_s=0.9)
        assert await one.call(other.guid, "echo")
        with pytest.raises(PeerUnreachable, match=r"silent|did not answer|broke"):
            await one.call(other.guid, "block", timeout_s=0.9)


async def test_a_peer_that_went_away_and_came_back_is_reached_again(tmp_path: Path) -> None:
    town = Town(tmp_path)
    async with town.node(1) as one:
        async with town.node(2) as other:
            other.serve("echo", echo)
            assert await one.call(other.guid, "echo")
        with pytest.raises(PeerUnreachable):
            await one.call(guid_of(2), "echo")
        async with town.node(2) as other:
            other.serve("echo", echo)
            assert await one.call(other.guid, "echo")


async def test_who_answers_must_be_who_was_called(tmp_path: Path) -> None:
    async with two(tmp_path) as (town, one, other):
        town.addresses[guid_of(9)] = town.addresses[other.guid]
        with pytest.raises(PeerUnreachable, match="is not node"):
            await one.call(guid_of(9), "echo")
        assert await one.call(other.guid, "echo")


async def test_a_certificate_of_another_authority_or_cluster_is_refused(tmp_path: Path) -> None:
    async with two(tmp_path) as (town, one, other):
        for strange in (Town(tmp_path / "other"), Town(tmp_path / "third", cluster_id=guid_of(77))):
            if strange.cluster_id != CLUSTER:
                strange.authority = town.authority
            strange.addresses = town.addresses
            async with strange.node(5) as intruder:
                with pytest.raises((PeerUnreachable, PeerRefused)):
                    await intruder.call(one.guid, "echo")
                with pytest.raises((PeerUnreachable, PeerRefused)):
                    await one.call(intruder.guid, "echo")
        assert await one.call(other.guid, "echo")


async def test_a_removed_node_is_cut_off_at_once_also_on_open_connections(tmp_path: Path) -> None:
    async with two(tmp_path) as (town, one, other):
        assert await other.call(one.guid, "echo")
        town.removed.add(other.guid)
        with pytest.raises((PeerRefused, PeerUnreachable)):
            await one.call(other.guid, "echo")
        connection = other._idle[one.guid].pop()
        await connection.send(Ask("echo", b""))
        answer = await connection.receive()
        assert isinstance(answer, Failure) and "not a member" in answer.detail
        connection.close()


async def test_certificates_are_replaced_while_it_runs(tmp_path: Path) -> None:
    async with two(tmp_path) as (town, one, other):
        assert await one.call(other.guid, "echo")
        one.identify(town.identity(one.guid))
        other.identify(town.identity(other.guid, "worker"))
        one.close_idle()
        assert await one.call(other.guid, "echo")


async def test_clocks_are_compared(tmp_path: Path) -> None:
    town = Town(tmp_path)
    async with town.node(1) as one, town.node(2, clock=lambda: time.time() + 7) as other:
        other.serve("echo", echo)
        await one.call(other.guid, "echo")
        assert one.clock_offsets()[other.guid] == pytest.approx(7, abs=0.3)


async def test_a_stranger_may_ask_what_is_for_strangers_and_nothing_else(tmp_path: Path) -> None:
    async def door(address: str, body: bytes) -> bytes:
        return f"{address} {body.decode()}".encode()

    async with two(tmp_path) as (town, one, _):
        one.serve_strangers("join.hello", door)

        async def ask(kind: str) -> object:
            connection = await open_connection(town.addresses[one.guid], stranger_context(), QUICK, "it")
            try:
                await greet(connection, "", time.time)
                await connection.send(Ask(kind, b"hi"))
                return await connection.receive()
            finally:
                connection.close()

        assert await ask("join.hello") == Answer(b"127.0.0.1 hi")
        refused = await ask("echo")
        assert isinstance(refused, Failure) and refused.detail == "who has no certificate may only join"
        for _ in range(3):
            await ask("join.hello")
        limited = await ask("join.hello")
        assert isinstance(limited, Failure) and "too many attempts" in limited.detail


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, b"\x00\x00\x00\x03abc", b""])
async def test_garbage_harms_nobody(tmp_path: Path, garbage: bytes) -> None:
    async with two(tmp_path) as (town, one, other):
        plain = await trio.open_tcp_stream(*town.addresses[one.guid])
        await plain.send_all(garbage)
        connection = await open_connection(town.addresses[one.guid], other._contexts_now[1], QUICK, "it")
        await connection.stream.send_all(garbage)
        late = await open_connection(town.addresses[one.guid], other._contexts_now[1], QUICK, "it")
        await greet(late, CLUSTER, time.time)
        await late.stream.send_all(garbage)
        assert await other.call(one.guid, "echo")
        with trio.fail_after(5):
            while garbage and await late.stream.receive_some(100):
                pass
        for open_one in (connection, late):
            open_one.close()
        await plain.aclose()


async def test_a_message_above_the_limit_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async with two(tmp_path) as (_, one, other), one.stream(other.guid, "double") as stream:
        with pytest.raises(ValueError, match="limit"):
            await stream.send(bytes(MESSAGE_LIMIT_BYTES + 1))
