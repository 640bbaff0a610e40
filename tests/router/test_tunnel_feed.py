"""Two nodes' routers fed from the same rows, each with the facts that gossip would have brought it."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio

from paasd.model.records import Node
from paasd.observed import InstanceFact, Observed
from paasd.peer import MemoryNetwork
from paasd.router import Certificates, RouteFeed, leave_routers, open_route_feed, reach_routers, serve_confirming
from paasd.state import Database, InlineRunner, open_database

from .members import Authority, Member, members
from .test_feed import BASE, RECORDS, instance, put, running
from .upstream import Load, apps, exchange, fetch

RECORDS["Node"] = Node


class Side:
    """One of the nodes: what it observes and whom it cannot reach."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.observed = Observed()
        self.unreachable: frozenset[str] = frozenset()
        self.feed: RouteFeed

    def lose(self, *guids: str) -> None:
        self.unreachable = frozenset(guids)
        for watch in self.observed._watches:
            watch.wake()

    async def outcome(self, host: str = "shop.apps.localhost", target: str = "/") -> str:
        await self.member.settled()
        answer = await fetch(self.member.router.http_port, host, target)
        return str(answer.seen["instance"]) if answer.status == 200 else str(answer.status)

    async def until(self, wanted: str, host: str = "shop.apps.localhost") -> None:
        seen = ""
        with trio.move_on_after(10):
            while (seen := await self.outcome(host)) != wanted:
                await trio.sleep(0.01)
        assert seen == wanted


def node_row(member: Member, zone: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    known = {"guid": member.guid, "name": member.guid, "zone": zone, "memory_mb": 1, "disk_mb": 1, "cpus": 1, **fields}
    return "Node", {"address": "127.0.0.1", "tunnel_port": member.port, **known}


@asynccontextmanager
async def sides(
    database: Database, *found: Member, doors: dict[str, dict[str, tuple[str, int] | None]] | None = None
) -> AsyncIterator[list[Side]]:
    async with trio.open_nursery() as nursery:
        made = [Side(member) for member in found]

        async def run(side: Side, *, task_status: trio.TaskStatus[None]) -> None:
            names = (doors or {}).get(side.member.guid, {})
            async with open_route_feed(
                side.member.router,
                database,
                side.observed,
                names,
                node_guid=side.member.guid,
                unreachable=lambda: side.unreachable,
            ) as side.feed:
                task_status.started()
                await trio.sleep_forever()

        for side in made:
            await nursery.start(run, side)
        yield made
        nursery.cancel_scope.cancel()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    (tmp_path / "state").mkdir()
    async with open_database(tmp_path / "state", runner=InlineRunner(), sync=False) as opened:
        await opened.write(put, {"put": BASE})
        yield opened


@pytest.fixture
async def pair(tmp_path: Path, certificates: Certificates) -> AsyncIterator[list[Member]]:
    async with members(tmp_path, certificates, Authority(), "edge", "owner") as found:
        yield found


def on(node: str, guid: str, index: int = 0) -> tuple[str, dict[str, Any]]:
    return "Instance", instance(guid, index, node=node)


def tell(fact: InstanceFact, *told: Side) -> None:
    for side in told:
        side.observed.put(fact)


async def test_a_node_serves_what_runs_on_another_by_rows_and_facts_alone(
    database: Database, pair: list[Member]
) -> None:
    await database.write(put, {"put": [node_row(pair[0], "a"), node_row(pair[1], "b"), on("owner", "one")]})
    async with apps("one", "two") as (one, two), sides(database, *pair) as (edge, owner):
        fact = running(one, "one", node_guid="owner", state="STARTING", routable=False)
        tell(fact, owner)
        tell(running(one, "one", node_guid="owner"), owner, edge)
        await edge.until("one")
        await owner.until("one")
        await database.write(put, {"put": [], "delete": [("Instance", "one")]})
        await edge.until("503")
        await owner.until("503")
        await database.write(put, {"put": [("Instance", instance("one", 0, epoch=2, node="owner"))]})
        assert await edge.outcome() == "503", "the row speaks of a later run than the fact"
        tell(running(two, "one", node_guid="owner", epoch=2), edge, owner)
        await edge.until("two")
        await database.write(put, {"put": [("Instance", instance("one", 0, epoch=2, node="edge"))]})
        await edge.until("503")


async def test_an_instance_on_an_unreachable_node_is_passed_over_unless_there_is_no_other(
    database: Database, pair: list[Member]
) -> None:
    placed = [on("owner", "one"), on("edge", "two", index=1)]
    await database.write(put, {"put": [node_row(pair[0], "a"), node_row(pair[1], "a"), *placed]})
    async with apps("one", "two") as (one, two), sides(database, *pair) as (edge, owner):
        tell(running(one, "one", node_guid="owner"), owner, edge)
        tell(running(two, "two", node_guid="edge", index=1), owner, edge)
        await edge.until("one")
        await edge.until("two")
        edge.lose("owner")
        await edge.until("two")
        assert {await edge.outcome() for _ in range(6)} == {"two"}
        edge.observed.drop("two")
        await edge.until("one")
        edge.lose()
        await edge.until("one")


API = "api.system.localhost"


async def api_answer(side: Side, certificates: Certificates) -> str:
    """Who answers the API's host over HTTPS at a node: the instance, or the status."""
    await side.member.settled()
    context = ssl.create_default_context(cafile=str(certificates.authority_path))
    raw = await trio.open_tcp_stream("127.0.0.1", side.member.router.https_port)
    async with trio.SSLStream(raw, context, server_hostname=API, https_compatible=True) as stream:
        answer = await exchange(stream, API, "/v3")
    return str(answer.seen["instance"]) if answer.status == 200 else str(answer.status)


async def test_a_worker_passes_the_platforms_hosts_to_a_control_node(
    database: Database, pair: list[Member], certificates: Certificates
) -> None:
    worker, control = pair
    await database.write(put, {"put": [node_row(worker, "a", role="worker"), node_row(control, "b")]})
    async with apps("daemon") as (daemon,):
        doors = {"edge": {API: None}, "owner": {API: ("127.0.0.1", daemon.port)}}
        async with sides(database, *pair, doors=doors) as (edge, owner):
            assert await api_answer(owner, certificates) == "daemon"
            with trio.fail_after(3):  # the two have only just heard of each other
                while await api_answer(edge, certificates) != "daemon":
                    pass


async def test_a_control_node_answers_for_itself_and_asks_another_when_its_daemon_is_down(
    database: Database, pair: list[Member], certificates: Certificates
) -> None:
    await database.write(put, {"put": [node_row(pair[0], "a"), node_row(pair[1], "a")]})
    async with apps("first", "second") as (first, second):
        with trio.socket.socket() as down:
            await down.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
            places = {"up": first.port, "down": down.getsockname()[1]}
            for state, expected in (("up", "first"), ("down", "second")):
                doors = {"edge": {API: ("127.0.0.1", places[state])}, "owner": {API: ("127.0.0.1", second.port)}}
                async with sides(database, *pair, doors=doors) as (edge, owner):
                    with trio.fail_after(3):
                        while await api_answer(edge, certificates) != expected:
                            pass
                    assert {await api_answer(edge, certificates) for _ in range(6)} == {expected}
                    assert await api_answer(owner, certificates) == "second"


async def test_a_stopping_instance_hears_when_every_router_has_let_go_of_it(
    database: Database, pair: list[Member]
) -> None:
    placed = [on("owner", "one"), on("owner", "two", index=1)]
    await database.write(put, {"put": [node_row(pair[0], "a"), node_row(pair[1], "a"), *placed]})
    network = MemoryNetwork(Random(1))
    async with apps("one", "two") as (one, two), sides(database, *pair) as (edge, owner):
        for side in (edge, owner):
            serve_confirming(network.add(side.member.guid), side.feed)
        peers = network.peers["owner"]
        tell(running(one, "one", node_guid="owner"), owner, edge)
        tell(running(two, "two", node_guid="owner", index=1), owner, edge)
        await edge.until("one")
        await edge.until("two")
        early = await leave_routers(peers, ["edge", "owner", "away"], "one", 1, timeout_s=0.2)
        assert early == {"edge", "owner", "away"}, "its row is still there"
        load = Load(edge.member.router.http_port, "shop.apps.localhost")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run)
            await load.progress(50)
            await database.write(put, {"put": [], "delete": [("Instance", "one")]})
            assert await leave_routers(peers, ["edge", "owner"], "one", 1, timeout_s=5) == frozenset()
            await load.progress(20)  # what was on its way
            served = one.requests
            await load.progress(50)
            nursery.cancel_scope.cancel()
        assert one.requests == served
        assert load.failures == []


async def test_a_push_hears_when_every_router_serves_what_runs_now(database: Database, pair: list[Member]) -> None:
    await database.write(put, {"put": [node_row(pair[0], "a"), node_row(pair[1], "a"), on("owner", "one")]})
    network = MemoryNetwork(Random(1))
    async with apps("one") as (one,), sides(database, *pair) as (edge, owner):
        for side in (edge, owner):
            serve_confirming(network.add(side.member.guid), side.feed)
        peers = network.peers["owner"]
        tell(running(one, "one", node_guid="owner"), owner)
        ask = partial(reach_routers, peers, ["edge"], "app", database.index)
        assert await ask({"one": 1}, timeout_s=0.2) == {"edge"}, "it has not heard that it runs"
        tell(running(one, "one", node_guid="owner"), edge)
        assert await ask({"one": 2}, timeout_s=0.2) == {"edge"}, "nor of a later run"
        assert await ask({"one": 1}, timeout_s=5) == frozenset()
        await owner.until("one")  # which was not asked, and whose tunnel is about to be used
        answer = await fetch(edge.member.router.http_port, "shop.apps.localhost")
        assert answer.seen["instance"] == "one"
        late = partial(reach_routers, peers, ["edge", "away"], "app", database.index + 1, {"one": 1})
        assert await late(timeout_s=0.2) == {"edge", "away"}, "an entry is missing, and a node"
