import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from paasd.config import TunnelsConfig
from paasd.router import Certificates, RouteEntry

from .http2app import http2_app
from .members import Authority, Member, members, remote
from .upstream import App, Load, apps, fetch

HOST = "shop.apps.localhost"
BUDGET_S = 1.0


@pytest.fixture
async def pair(tmp_path: Path, certificates: Certificates) -> AsyncIterator[list[Member]]:
    # As between nodes that have passed requests on before.
    tunnels = TunnelsConfig(idle_check_interval_s=TunnelsConfig().check_interval_s)
    async with members(tmp_path, certificates, Authority(), "edge", "owner", tunnels=tunnels) as found:
        yield found


def route(*endpoints: object, host: str = HOST, **fields: object) -> RouteEntry:
    return RouteEntry(host=host, endpoints=endpoints, route_guid="r", app_guid="app-1", **fields)  # type: ignore[arg-type]


async def meet(edge: Member, owner: Member, **targets: App) -> None:
    """Introduce the two, and wait until the edge has found that the owner answers."""
    await owner.link(edge, probe_1=App("probe", 1), **targets)
    await edge.link(owner)
    async with apps("probe") as (probe,):
        await owner.link(edge, probe_1=probe, **targets)
        await edge.serve(route(remote(probe, owner), host="probe.apps.localhost"))
        with trio.fail_after(5):
            while (await fetch(edge.router.http_port, "probe.apps.localhost")).status != 200:
                pass
    await owner.link(edge, **targets)


def end(member: Member, number: signal.Signals) -> None:
    """What befalls the router of a node that is lost: nobody starts it again."""
    member.router.engine.stopping = number is signal.SIGKILL
    os.kill(member.router.engine.pid or 0, number)


async def test_a_stale_table_costs_no_request_of_any_method_while_there_is_another_instance(
    pair: list[Member],
) -> None:
    edge, owner = pair
    async with apps("here", "there") as (here, there):
        await meet(edge, owner, there_2=there, refusing_1=App("refusing", 1))
        superseded = remote(there, owner, epoch=1)
        never_was = remote(App("never", 9), owner)
        refusing = remote(App("refusing", 1), owner)
        await edge.serve(route(superseded, never_was, refusing, here.endpoint()))
        for method in ("GET", "POST"):
            seen = [await fetch(edge.router.http_port, HOST, method=method) for _ in range(12)]
            assert [answer.status for answer in seen] == [200] * 12
            assert {answer.seen["instance"] for answer in seen} == {"here"}
        assert there.requests == 0
        for alone in (superseded, never_was, refusing):
            await edge.serve(route(alone))
            answer = await fetch(edge.router.http_port, HOST, f"/{alone.target}")
            assert (answer.status, answer.header("x-cf-routererror")) == (502, "endpoint_failure")
            assert answer.body == b"502 Bad Gateway: Registered endpoint failed to handle the request.\n"
            assert not [name for name, _ in answer.headers if name.startswith("x-paasd")]
            entry = await edge.journal.of(f"/{alone.target}")
            assert (entry.error, entry.instance_guid, entry.node_guid) == (
                "endpoint_failure",
                alone.instance_guid,
                "owner",
            )
        await edge.serve(route(remote(there, owner, epoch=2)))
        assert (await fetch(edge.router.http_port, HOST)).seen["instance"] == "there"


async def test_a_refusal_is_understood_by_apps_that_speak_http2(pair: list[Member]) -> None:
    edge, owner = pair
    async with http2_app("modern") as modern:
        await meet(edge, owner, modern_1=modern)
        await edge.serve(route(remote(modern, owner), http2=True))
        assert (await fetch(edge.router.http_port, HOST)).body == b"modern"
        await edge.serve(route(remote(App("stale", 1), owner), remote(modern, owner), http2=True))
        seen = [(await fetch(edge.router.http_port, HOST, method="POST")).body for _ in range(12)]
        assert seen == [b"modern"] * 12


async def test_an_app_that_hangs_up_elsewhere_is_asked_once(pair: list[Member]) -> None:
    edge, owner = pair
    async with apps("one", "two") as (one, two):
        await meet(edge, owner, one_1=one, two_1=two)
        await edge.serve(route(remote(one, owner), remote(two, owner)))
        answer = await fetch(edge.router.http_port, HOST, "/die")
        assert (answer.status, answer.header("x-cf-routererror")) == (502, "endpoint_failure")
        assert one.requests + two.requests == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_node_that_is_lost_costs_no_request_after_a_second(pair: list[Member], number: signal.Signals) -> None:
    """SIGSTOP is a node that falls silent: its kernel still accepts connections, and nothing answers on them."""
    edge, owner = pair
    async with apps("here", "there") as (here, there):
        await meet(edge, owner, there_1=there)
        await edge.serve(route(here.endpoint(), remote(there, owner)))
        load = Load(edge.router.http_port, HOST)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run)
            await load.progress(100)
            assert load.failures == [] and there.requests > 10
            lost_at = trio.current_time()
            end(owner, number)
            while trio.current_time() < lost_at + BUDGET_S:
                await load.progress(20)
            first = there.requests
            await load.progress(300)
            nursery.cancel_scope.cancel()
        assert there.requests == first
        assert all(at <= lost_at + BUDGET_S for at, _ in load.failures), load.failures
        last = max((at for at, _ in load.failures), default=lost_at) - lost_at
        print(f"{number.name}: {len(load.failures)} requests failed, the last asked after {last:.3f} s")
        if number is signal.SIGSTOP:
            os.kill(owner.router.engine.pid or 0, signal.SIGCONT)
            with trio.fail_after(5):
                while there.requests == first:
                    assert (await fetch(edge.router.http_port, HOST)).status == 200


async def test_changes_of_routes_instances_and_nodes_under_load_fail_no_request(
    pair: list[Member],
) -> None:
    edge, owner = pair
    async with apps("here", "one", "two") as (here, one, two):
        await meet(edge, owner, one_1=one, two_1=two)
        await edge.serve(route(remote(one, owner)))
        load = Load(edge.router.http_port, HOST)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run)
            for number in range(20):
                current = remote(two if number % 2 else one, owner)
                extra = [here.endpoint()] if number % 3 else []
                await edge.serve(route(current, *extra), route(here.endpoint(), host=f"new-{number}.apps.localhost"))
                left = {"two_1": two} if number % 2 else {"one_1": one}
                await load.progress(5)
                await owner.link(edge, **left, **{f"new{number}_1": here})
                await load.progress(5)
                await owner.link(edge, one_1=one, two_1=two)
            nursery.cancel_scope.cancel()
        assert load.failures == []


async def test_a_stale_route_never_reaches_who_has_the_address_now(pair: list[Member]) -> None:
    edge, owner = pair
    async with apps("stranger") as (stranger,):
        await meet(edge, owner, tenant_2=stranger, stranger_1=stranger)
        gone = remote(App("tenant", stranger.port), owner)
        await edge.serve(route(gone), route(remote(stranger, owner), host="new.apps.localhost"))
        seen = [await fetch(edge.router.http_port, HOST) for _ in range(5)]
        assert [answer.status for answer in seen] == [502] * 5
        assert stranger.requests == 0
        assert (await fetch(edge.router.http_port, "new.apps.localhost")).seen["instance"] == "stranger"
