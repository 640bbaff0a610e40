"""Calls between apps: at which instance a connection ends, here and on other nodes. The kernel's part is elsewhere."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio

from paasd.model.arguments import SYSTEM
from paasd.model.network_policies import ChangePolicies, PolicySpec, add_policies, remove_policies
from paasd.router import Certificates, Links, RouteTable
from paasd.router.router import Router
from paasd.state import InlineRunner, open_database

from .members import Authority, Member, members, remote
from .test_feed import BASE, put, running
from .test_tunnel_feed import node_row, on, sides, tell
from .upstream import App, apps

HOST = "127.0.0.1"
NOTHING = RouteTable(domains=("apps.localhost",))
ASK = b"GET /called HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def pair(tmp_path: Path, certificates: Certificates, authority: Authority) -> AsyncIterator[list[Member]]:
    async with members(tmp_path, certificates, authority, "caller", "owner") as found:
        yield found


async def called(port: int) -> str:
    """The instance at the end of a connection to the doorway, "" if it is closed without a word."""
    with trio.fail_after(10):
        try:
            async with await trio.open_tcp_stream(HOST, port) as stream:
                await stream.send_all(ASK)
                said = b""
                while not said.endswith(b"}") and (chunk := await stream.receive_some(4096)):
                    said += chunk
        except (OSError, trio.BrokenResourceError):
            return ""
    return said.decode().partition('"instance": "')[2].partition('"')[0]


async def opened(router: Router, *endpoints: object) -> int:
    """The port of the doorway, which without a redirect is what stands for the app."""
    port = router.open_doorway(HOST)
    await lead(router, port, *endpoints)
    return port


async def lead(router: Router, port: int, *endpoints: object) -> None:
    router.publish_doors({(HOST, port): endpoints} if endpoints else {})  # type: ignore[dict-item]
    with trio.fail_after(5):
        await router.settled()


async def test_a_call_ends_at_an_instance_and_no_longer_than_there_is_a_door(router: Router, app: App):
    router.publish(NOTHING)
    port = await opened(router, app.endpoint())
    assert await called(port) == app.name
    await lead(router, port)
    assert await called(port) == ""
    await lead(router, port, app.endpoint())
    assert await called(port) == app.name


async def test_another_instance_is_tried_when_one_does_not_take_the_connection(router: Router, app: App):
    router.publish(NOTHING)
    async with apps("gone") as (gone,):
        lost = gone.endpoint()
    port = await opened(router, lost, app.endpoint())
    assert [await called(port) for _ in range(6)] == [app.name] * 6


async def test_a_call_reaches_an_instance_of_another_node_by_tunnel(pair: list[Member], app: App):
    caller, owner = pair
    await owner.link(caller, **{f"instance__1_1_{app.port}": app})
    await caller.link(owner)
    far = remote(app, owner, target=f"instance-1.1.{app.port}")
    port = await opened(caller.router, far)
    assert await called(port) == app.name
    await owner.link(caller)
    assert await called(port) == "", "the owner lets nobody through any more"


async def test_instances_of_this_node_are_asked_first(pair: list[Member], app: App):
    caller, owner = pair
    async with apps("here") as (here,):
        await owner.link(caller, **{f"instance__1_1_{app.port}": app})
        await caller.link(owner)
        far = remote(app, owner, target=f"instance-1.1.{app.port}", distance=1)
        port = await opened(caller.router, far, here.endpoint())
        assert [await called(port) for _ in range(4)] == ["here"] * 4
        await lead(caller.router, port, far)
        assert await called(port) == app.name


async def test_a_node_that_is_removed_is_not_called(pair: list[Member], app: App):
    caller, owner = pair
    await owner.link(caller, **{f"instance__1_1_{app.port}": app})
    await caller.link(owner)
    port = await opened(caller.router, remote(app, owner, target=f"instance-1.1.{app.port}"))
    assert await called(port) == app.name
    owner.router.publish_links(Links())
    await owner.settled()
    assert await called(port) == ""


async def _far(stream: trio.SocketStream) -> None:
    await stream.receive_some(4096)
    await stream.send_all(b'{"instance": "far"}')


async def test_rows_and_facts_alone_lead_a_call_to_another_node_while_a_policy_stands(
    tmp_path: Path, pair: list[Member], app: App
):
    """A door's port is that of the instance too, so the instance has it at another address of loopback."""
    caller, owner = pair
    (tmp_path / "state").mkdir()
    async with open_database(tmp_path / "state", runner=InlineRunner(), sync=False) as database:
        rows = [node_row(caller, "a"), node_row(owner, "a"), on("owner", "one")]
        await database.write(put, {"put": [*BASE, *rows]})
        async with sides(database, caller, owner) as (near, far), trio.open_nursery() as nursery:
            port = near.member.router.open_doorway(HOST)
            await nursery.start(partial(trio.serve_tcp, _far, port, host="127.0.0.2"))
            fact = msgspec.structs.replace(running(app, "one", node_guid="owner"), address="127.0.0.2")
            tell(fact, near, far)
            near.feed.lead({(HOST, port): ("app", "web")})

            async def until(wanted: str) -> None:
                with trio.fail_after(5):
                    while await called(port) != wanted:
                        await trio.sleep(0.01)

            assert await called(port) == "", "the owner knows of no policy"
            opened_to = PolicySpec(
                source_guid="idle", destination_guid="app", protocol="tcp", start_port=port, end_port=port
            )
            change = ChangePolicies(policies=[opened_to], actor=SYSTEM)
            await database.write(add_policies, change)
            await until("far")
            await database.write(remove_policies, change)
            await until("")
            await database.write(add_policies, change)
            await until("far")
            near.feed.lead({})
            await until("")
            nursery.cancel_scope.cancel()


ENDS = {
    # Far more than a stream's window and all buffers on the way.
    "the server ends first": (b"", 8_000_000, False),
    "the client ends first": (b"x" * 8_000_000, 0, True),
    "the client ends, then the server speaks": (b"x" * 1000, 8_000_000, True),
}


@pytest.mark.parametrize("far", [False, True], ids=["here", "by tunnel"])
@pytest.mark.parametrize("end", ENDS)
async def test_the_end_of_a_connection_arrives_as_an_end_with_all_that_came_before(
    pair: list[Member], end: str, far: bool
):
    caller, owner = pair
    sent, answered, client_first = ENDS[end]
    heard = b""

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal heard
        if client_first:
            async for chunk in stream:
                heard += chunk
        await stream.send_all(b"y" * answered)

    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, serve, 0, host=HOST))
        place = App("instance-1", listener.socket.getsockname()[1])
        await owner.link(caller, **{f"instance__1_1_{place.port}": place})
        await caller.link(owner)
        there = remote(place, owner, target=f"instance-1.1.{place.port}") if far else place.endpoint()
        port = await opened(caller.router, there)
        with trio.fail_after(10):
            async with await trio.open_tcp_stream(HOST, port) as stream:
                await stream.send_all(sent)
                if client_first:
                    await stream.send_eof()
                said = b"".join([chunk async for chunk in stream])
        assert (len(heard), len(said)) == (len(sent), answered)
        nursery.cancel_scope.cancel()
