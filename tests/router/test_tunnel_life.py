"""Zones, sessions, and what changes while tunnels are in use: opening them, certificates, the daemon."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import h11
import msgspec
import pytest
import trio
import wsproto
from wsproto.events import AcceptConnection, Message, Request, TextMessage

from paasd.router import Certificates, Links, NodeDoor, RouteEntry, Router, RouteTable, open_router

from .conftest import CONFIG, DOMAINS
from .members import Authority, Member, members, remote
from .test_tunnel_failures import HOST, meet, route
from .upstream import App, Load, apps, exchange, fetch


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def trio_of(tmp_path: Path, certificates: Certificates, authority: Authority) -> AsyncIterator[list[Member]]:
    async with members(tmp_path, certificates, authority, "edge", "near", "far") as found:
        yield found


@pytest.fixture
async def pair(tmp_path: Path, certificates: Certificates, authority: Authority) -> AsyncIterator[list[Member]]:
    async with members(tmp_path, certificates, authority, "edge", "owner") as found:
        yield found


async def asked(member: Member, count: int = 12, *headers: tuple[str, str]) -> set[str]:
    seen = [await fetch(member.router.http_port, HOST, headers=headers) for _ in range(count)]
    assert {answer.status for answer in seen} == {200}
    return {answer.seen["instance"] for answer in seen}


async def test_the_own_zone_is_asked_first_and_left_at_once_when_its_instances_are_gone(
    trio_of: list[Member],
) -> None:
    edge, near, far = trio_of
    async with apps("local", "beside", "distant") as (local, beside, distant):
        await meet(edge, near, beside_1=beside)
        await meet(edge, far, distant_1=distant)
        await edge.link(near, far)
        here, next_door = local.endpoint(), remote(beside, near)
        away = remote(distant, far, distance=1)
        await edge.serve(route(away, next_door, here))
        assert await asked(edge, 20) == {"local", "beside"}
        await edge.serve(route(away, next_door))
        assert await asked(edge) == {"beside"}
        await edge.serve(route(away))
        assert await asked(edge) == {"distant"}
        # The zone's only instance is gone and the table does not know it yet.
        await near.link(edge)
        await edge.serve(route(away, next_door))
        assert await asked(edge) == {"distant"}


async def test_a_session_goes_to_its_instance_wherever_that_is(trio_of: list[Member]) -> None:
    edge, near, far = trio_of
    async with apps("local", "beside", "distant") as (local, beside, distant):
        await meet(edge, near, beside_1=beside)
        await meet(edge, far, distant_1=distant)
        await edge.link(near, far)
        for options in ({}, {"loadbalancing": "least-connection"}):
            places = local.endpoint(), remote(beside, near, distance=1), remote(distant, far, distance=2)
            await edge.serve(route(*places, options=options))
            assert await asked(edge) == {"local"}
            for name in ("local", "beside", "distant"):
                assert await asked(edge, 6, ("cookie", f"JSESSIONID=abc; __VCAP_ID__={name}")) == {name}
        await edge.serve(route(remote(distant, far, distance=2)))
        started = await fetch(edge.router.http_port, HOST, "/session")
        assert started.all("set-cookie")[1].startswith("__VCAP_ID__=distant;")
        await edge.serve(route(local.endpoint()))
        assert await asked(edge, 6, ("cookie", "JSESSIONID=abc; __VCAP_ID__=distant")) == {"local"}


async def test_a_split_between_apps_holds_over_nodes(pair: list[Member]) -> None:
    edge, owner = pair
    async with apps("stable", "canary") as (stable, canary):
        await meet(edge, owner, canary_1=canary)
        nine = msgspec.structs.replace(stable.endpoint(), weight=9, app_guid="app-stable")
        one = remote(canary, owner, weight=1, app_guid="app-canary", distance=1)
        await edge.serve(route(nine, one))
        async with await trio.open_tcp_stream("127.0.0.1", edge.router.http_port) as stream:
            seen = [(await exchange(stream, HOST)).seen["instance"] for _ in range(200)]
        assert 12 <= seen.count("canary") <= 28


async def test_a_websocket_goes_through_a_tunnel_and_outlives_changes_of_everything_else(
    pair: list[Member], authority: Authority
) -> None:
    edge, owner = pair
    async with apps("there", "other") as (there, other):
        await meet(edge, owner, there_1=there)
        await edge.serve(route(remote(there, owner)))
        async with await trio.open_tcp_stream("127.0.0.1", edge.router.http_port) as stream:
            socket = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
            await stream.send_all(socket.send(Request(host=HOST, target="/ws")))

            async def event() -> object:
                while True:
                    for found in socket.events():
                        return found
                    socket.receive_data(bytes(await stream.receive_some(4096)))

            async def talks(text: str) -> None:
                await stream.send_all(socket.send(TextMessage(data=text)))
                message = await event()
                assert isinstance(message, Message) and message.data == text.upper()

            with trio.fail_after(10):
                assert isinstance(await event(), AcceptConnection)
                await talks("first")
                await owner.link(edge, there_1=there, other_1=other)
                await edge.serve(route(remote(there, owner)), route(other.endpoint(), host="new.apps.localhost"))
                await talks("routes and targets moved")
                for member in pair:
                    member.router.renew_identity(authority.identity(member.guid))
                    await member.settled()
                await talks("certificates were renewed")
                await trio.sleep(1.2)  # longer than the request timeout of these tests, and than the pings take
                await edge.serve()
                await owner.link(edge)
                await talks("even without its route and its target")


async def test_certificates_and_authorities_are_replaced_under_load_without_a_failure(
    pair: list[Member], authority: Authority
) -> None:
    edge, owner = pair
    successor = Authority()
    both = authority.pair.certificate + successor.pair.certificate
    async with apps("there") as (there,):
        await meet(edge, owner, there_1=there)
        await edge.serve(route(remote(there, owner)))
        load = Load(edge.router.http_port, HOST)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run)
            await load.progress(50)
            for signer, trusted in ((authority, both), (successor, both), (successor, successor.pair.certificate)):
                for member in (owner, edge):
                    member.router.renew_identity(signer.identity(member.guid, trusted))
                    await member.settled()
                await load.progress(50)
                # Another connection, and so another handshake.
                await owner.link(there_1=there)
                await owner.link(edge, there_1=there)
                await load.progress(50)
            nursery.cancel_scope.cancel()
        assert load.failures == []
        assert edge.router.engine.restarts == owner.router.engine.restarts == 0


async def test_tunnels_open_on_a_running_router_without_a_failed_request(
    tmp_path: Path, certificates: Certificates, authority: Authority, pair: list[Member]
) -> None:
    owner = pair[1]
    async with (
        apps("here", "there") as (here, there),
        open_router(CONFIG, tmp_path / "alone", certificates, outlive=False) as router,
    ):
        others = [route(here.endpoint(), host=f"other-{number}.apps.localhost") for number in range(200)]
        router.publish(RouteTable(routes=(route(here.endpoint()), *others), domains=DOMAINS))
        with trio.fail_after(5):
            await router.settled()
        load = Load(router.http_port, HOST)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run)
            await load.progress(50)
            pid = router.engine.pid
            port = router.open_tunnels(authority.identity("late"), "127.0.0.1", 0)
            with trio.fail_after(5):
                await router.settled()
            await load.progress(50)
            late = Member("late", router, port, pair[0].journal)
            await owner.link(late, there_1=there)
            await late.link(owner)
            await late.serve(route(here.endpoint(), remote(there, owner)))
            with trio.fail_after(5):
                while there.requests < 20:
                    await load.progress(10)
            nursery.cancel_scope.cancel()
        assert load.failures == []
        assert (router.engine.pid, router.engine.restarts, router.refused) == (pid, 0, 0)


async def test_a_restarted_daemon_finds_its_tunnels_open_and_changes_nothing(
    tmp_path: Path, certificates: Certificates, authority: Authority, pair: list[Member]
) -> None:
    edge = pair[0]
    identity = authority.identity("again")

    def start(router: Router, app: App, port: int) -> int:
        claimed = router.open_tunnels(identity, "127.0.0.1", port)
        targets = {"there.1": ("127.0.0.1", app.port)}
        router.publish_links(Links(nodes={"edge": edge.door}, targets=targets))
        router.publish(RouteTable(routes=(), domains=DOMAINS))
        return claimed

    async with apps("there") as (there,), trio.open_nursery() as nursery:
        async with open_router(CONFIG, tmp_path / "again", certificates) as first:
            port = start(first, there, 0)
            again = Member("again", first, port, edge.journal)
            await again.settled()
            await edge.link(again)
            edge_route: RouteEntry = route(remote(there, again))
            await edge.serve(edge_route)
            with trio.fail_after(5):
                while (await fetch(edge.router.http_port, HOST)).status != 200:
                    pass
            load = Load(edge.router.http_port, HOST)
            nursery.start_soon(load.run)
            await load.progress(50)
        await load.progress(50)
        async with open_router(CONFIG, tmp_path / "again", certificates, outlive=False) as second:
            assert second.engine.adopted
            assert start(second, there, 0) == port
            with trio.fail_after(5):
                await second.settled()
            assert second.sent_count == 0
            await load.progress(50)
            nursery.cancel_scope.cancel()
    assert load.failures == []


async def test_a_node_may_be_known_by_name(pair: list[Member]) -> None:
    edge, owner = pair
    async with apps("there") as (there,):
        await owner.link(edge, there_1=there)
        edge.router.publish_links(Links(nodes={"owner": NodeDoor(address="localhost", port=owner.port)}))
        await edge.serve(route(remote(there, owner)))
        with trio.fail_after(5):
            while (await fetch(edge.router.http_port, HOST)).status != 200:
                await trio.sleep(0.02)


async def test_a_router_that_crashed_is_back_with_its_tunnels_on_either_side(pair: list[Member]) -> None:
    edge, owner = pair
    async with apps("there") as (there,):
        await meet(edge, owner, there_1=there)
        await edge.serve(route(remote(there, owner)))
        for crashed in (owner, edge):
            os.kill(crashed.router.engine.pid or 0, signal.SIGKILL)
            with trio.fail_after(5):
                while crashed.router.engine.restarts == 0:
                    await trio.sleep(0.01)
                await crashed.settled()
                while await outcome(edge) != 200:
                    await trio.sleep(0.02)


async def outcome(member: Member) -> int:
    """The status, 0 while nothing listens."""
    try:
        return (await fetch(member.router.http_port, HOST)).status
    except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError):
        return 0
