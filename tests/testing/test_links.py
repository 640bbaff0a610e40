"""The network of embedded nodes: it passes everything on, until it is cut; then there is silence, not an end."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from paasd.sandbox.nest import Ports
from paasd.testing.links import Links, Place, open_links

ONE, OTHER = "127.92.0.1", "127.92.0.2"
SOON_S, DEADLINE_S = 0.1, 5.0


@asynccontextmanager
async def two() -> AsyncIterator[tuple[Links, Place, Place]]:
    ports = Ports()
    places = [Place(own, own.replace(".92.", ".93."), port := ports.take(), (port,)) for own in (ONE, OTHER)]
    async with open_links(places) as links:
        yield links, places[0], places[1]
    ports.close()


@asynccontextmanager
async def echoing(place: Place) -> AsyncIterator[None]:
    async def echo(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data)

    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_tcp, echo, place.peer_port, host=place.own))
        yield
        nursery.cancel_scope.cancel()


async def answer(stream: trio.SocketStream, text: bytes) -> bytes:
    await stream.send_all(text)
    return bytes(await stream.receive_some())


async def silent(stream: trio.SocketStream) -> bool:
    with trio.move_on_after(SOON_S):
        await stream.receive_some()
        return False
    return True


async def connect(to: Place, source: str = ONE) -> trio.SocketStream:
    return await trio.open_tcp_stream(to.shown, to.peer_port, local_address=source)


async def test_a_connection_is_silent_while_it_is_cut_and_goes_on_when_it_heals() -> None:
    with trio.fail_after(DEADLINE_S):
        async with two() as (links, _one, other), echoing(other), await connect(other) as stream:
            assert await answer(stream, b"a") == b"a"
            links.cut([(ONE, OTHER)])
            await stream.send_all(b"b")
            assert await silent(stream)
            links.heal()
            assert bytes(await stream.receive_some()) == b"b"


async def test_a_cut_of_one_way_holds_answers_only() -> None:
    with trio.fail_after(DEADLINE_S):
        async with two() as (links, _one, other), echoing(other), await connect(other) as stream:
            assert await answer(stream, b"a") == b"a"
            links.cut([(OTHER, ONE)])
            assert links.passes(ONE, OTHER)
            assert not links.joined(ONE, OTHER)
            await stream.send_all(b"b")
            assert await silent(stream)
            links.heal()
            assert bytes(await stream.receive_some()) == b"b"


async def test_a_new_connection_to_a_node_that_is_down_is_neither_refused_nor_answered() -> None:
    with trio.fail_after(DEADLINE_S):
        async with two() as (links, _one, other), echoing(other):
            links.set_down(OTHER, True)
            async with await connect(other) as stream:
                await stream.send_all(b"a")
                assert await silent(stream)
                links.set_down(OTHER, False)
                assert bytes(await stream.receive_some()) == b"a"


async def test_the_end_of_a_node_that_is_down_is_not_told_before_it_is_up() -> None:
    with trio.fail_after(DEADLINE_S):
        async with two() as (links, _one, other):
            async with echoing(other):
                stream = await connect(other)
                assert await answer(stream, b"a") == b"a"
                links.set_down(OTHER, True)
            async with stream:
                assert await silent(stream)
                links.set_down(OTHER, False)
                with pytest.raises(trio.BrokenResourceError):
                    if await stream.receive_some() == b"":
                        raise trio.BrokenResourceError


async def test_datagrams_come_from_the_shown_address_and_are_lost_in_a_cut() -> None:
    with trio.fail_after(DEADLINE_S):
        async with two() as (links, one, other):
            sockets = []
            for place in (one, other):
                sockets.append(trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                await sockets[-1].bind((place.own, place.peer_port))
            sender, receiver = sockets
            links.cut([(ONE, OTHER)])
            await sender.sendto(b"lost", (other.shown, other.peer_port))
            await trio.sleep(SOON_S)
            links.heal()
            await sender.sendto(b"arrives", (other.shown, other.peer_port))
            data, address = await receiver.recvfrom(100)
            assert (data, address) == (b"arrives", (one.shown, one.peer_port))
            await receiver.sendto(b"answer", address)
            assert (await sender.recvfrom(100))[0] == b"answer"
            with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                await stranger.sendto(b"who?", (other.shown, other.peer_port))
                data, address = await receiver.recvfrom(100)
                await receiver.sendto(b"me", address)
                assert await stranger.recvfrom(100) == (b"me", (other.shown, other.peer_port))
            for used in sockets:
                used.close()
