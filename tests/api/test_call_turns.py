"""Whoever has many calls in progress waits for themselves, and what takes long runs beside the loop."""

import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import trio.testing

from paasd.actions import audit
from paasd.actions.stats import stats_of
from paasd.api.payer import payer_of
from paasd.api.turns import CallTurns
from paasd.api.v3.events import EVENTS
from paasd.auth import GLOBAL_AUDITOR, Caller
from paasd.model import App
from paasd.model.apps import SetDroplet, set_current_droplet
from paasd.model.arguments import SYSTEM, Arguments
from paasd.model.events import record_app_event
from paasd.model.processes import ScaleProcess, Sizes, find_process, scale_process
from paasd.model.roles import CreateRole, create_role
from paasd.state import Tx, operation
from paasd.turns import WAITING
from tests.api.serving import Served, serve, with_api
from tests.api.tenants import PutDroplet, Tenant, make_tenant, put_droplet

PATIENCE_S = 30


class Held:
    """Calls whose bodies end when the test says so: until then their handlers wait."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._end = trio.Event()
        self.answers: list[int] = []

    async def begin(self, tenant: Tenant, kind: str) -> None:
        """Send one that its handler has begun to read."""
        begun = trio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            yield b'{"name":'
            begun.set()
            await self._end.wait()
            yield b"7}"

        async def call() -> None:
            async with tenant.client(kind) as http:
                self.answers.append((await http.post("/v3/apps", content=pieces())).status_code)

        self._nursery.start_soon(call)
        await begun.wait()

    def end(self) -> None:
        """The bodies end."""
        self._end.set()


async def asked(http: httpx.AsyncClient, answers: list[str], name: str) -> None:
    answer = await http.post("/v3/apps", json={"name": 7})
    assert answer.status_code == 422, answer.text
    answers.append(name)


async def test_who_has_many_calls_in_progress_waits_and_others_do_not(tmp_path: Path) -> None:
    answers: list[str] = []
    async with serve(tmp_path, with_api(calls_at_once=2)) as served:
        mine, other = await make_tenant(served, "one", "developer", "manager"), await make_tenant(served, "two")
        with trio.fail_after(PATIENCE_S):
            async with (
                mine.client("developer") as http,
                other.client("developer") as others,
                trio.open_nursery() as all_,
            ):
                held = Held(all_)
                for _ in range(2):
                    await held.begin(mine, "developer")
                await asked(others, answers, "other")
                all_.start_soon(asked, http, answers, "mine")
                async with mine.client("manager") as colleague:
                    for _ in range(3):
                        await asked(others, answers, "other")
                        await asked(colleague, answers, "colleague")
                        assert (await http.get("/v3/apps")).status_code == 200
                assert "mine" not in answers
                held.end()
    assert answers[-1] == "mine"
    assert held.answers == [422, 422]


async def test_what_members_send_slowly_makes_nobody_else_of_their_organization_wait(tmp_path: Path) -> None:
    answers: list[str] = []
    async with serve(tmp_path, with_api(calls_at_once=1)) as served:
        mine = await make_tenant(served, "one", "developer", "auditor", "manager", "supporter")
        with trio.fail_after(PATIENCE_S):
            async with mine.client("developer") as http, trio.open_nursery() as all_:
                held = Held(all_)
                for kind in ("auditor", "manager", "supporter"):
                    await held.begin(mine, kind)
                await asked(http, answers, "mine")
                assert held.answers == []
                held.end()
    assert held.answers == [422, 422, 422]


class Turning:
    """Callers that have a turn for as long as the test says, or wait for one."""

    def __init__(self, served: Served, nursery: trio.Nursery) -> None:
        self._served = served
        self._turns = CallTurns(served.context.config.api)
        self._nursery = nursery
        self._end = trio.Event()
        self.have: list[str] = []

    async def _take(self, name: str, caller: Caller) -> None:
        async with self._turns.turn(payer_of(self._served.context.database, caller), "change"):
            self.have.append(name)
            await self._end.wait()

    async def begin(self, *names: str, scopes: tuple[str, ...] = ()) -> None:
        """Have them begin, and wait until all of them have a turn or wait."""
        for name in names:
            user = self._served.auth.find_user(name)
            assert user is not None
            caller = Caller(user_guid=user.guid, username=name, scopes=scopes, admin=name == "admin")
            self._nursery.start_soon(self._take, name, caller)
        await trio.testing.wait_all_tasks_blocked(0.01)

    async def end(self) -> None:
        """All give their turns back."""
        self._end.set()
        await trio.testing.wait_all_tasks_blocked(0.01)


@asynccontextmanager
async def turning(directory: Path) -> AsyncIterator[tuple[Served, Turning]]:
    """Of two organizations, in which one call of a person goes on at once."""
    async with serve(directory, with_api(calls_at_once=1)) as served:
        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                made = Turning(served, nursery)
                yield served, made
                await made.end()


async def test_an_organization_has_twice_the_turns_of_a_person(tmp_path: Path) -> None:
    async with turning(tmp_path) as (served, turns):
        await make_tenant(served, "one", "developer")
        await make_tenant(served, "two", "developer")
        first = ["developer@one", "manager@one", "developer@two", "admin"]
        await turns.begin(*first)
        await turns.begin("auditor@one")
        assert sorted(turns.have) == sorted(first)
        await turns.end()
        assert turns.have[-1] == "auditor@one"


async def test_many_that_wait_in_an_organization_have_nobody_refused(tmp_path: Path) -> None:
    async with turning(tmp_path) as (served, turns):
        tenant = await make_tenant(served, "one", "developer")
        people = [f"person-{number}" for number in range(WAITING + 4)]
        for name in people:
            role = {"type": "organization_user", "organization_guid": tenant.organization}
            made = CreateRole(user_guid=await served.make_user(name), actor=SYSTEM, **role)
            await served.context.database.write(create_role, made)
        await turns.begin(*people, "developer@one")
        assert len(turns.have) == 2
        await turns.end()
        assert sorted(turns.have) == sorted([*people, "developer@one"])


async def test_whoever_is_given_a_role_waits_for_nobody_of_that_organization(tmp_path: Path) -> None:
    """Nobody is asked before; a platform's auditor, who usually has no role at all, could be given one."""
    async with turning(tmp_path) as (served, turns):
        one = await make_tenant(served, "one", "developer")
        await make_tenant(served, "two", "developer")
        await served.make_user("reader")
        for name in ("auditor@two", "reader"):
            user = served.auth.find_user(name)
            assert user is not None
            role = CreateRole(
                type="organization_user", user_guid=user.guid, organization_guid=one.organization, actor=SYSTEM
            )
            await served.context.database.write(create_role, role)
        await turns.begin("developer@one", "manager@one", "supporter@one")
        assert len(turns.have) == 2
        await turns.begin("auditor@two")
        await turns.begin("reader", scopes=(GLOBAL_AUDITOR,))
        assert turns.have[2:] == ["auditor@two", "reader"]


class ManyEvents(Arguments):
    """Arguments of `many_events`."""

    app_guid: str


@operation("test.many_events", version=1)
def many_events(tx: Tx, args: ManyEvents) -> None:
    """As many as fit into one write."""
    app = tx.need(App, args.app_guid)
    for number in range(100):
        record_app_event(tx, "audit.app.update", SYSTEM, app, {"number": number})


async def with_events(served: Served) -> Tenant:
    """A tenant with 2,000 events."""
    tenant = await make_tenant(served, "one", "auditor")
    app = await tenant.started_app(served, "one")
    for _ in range(20):
        await served.context.database.write(many_events, ManyEvents(app_guid=app))
    return tenant


async def test_a_chain_is_checked_beside_the_loop(served: Served) -> None:
    tenant = await with_events(served)
    loop, whole = time.thread_time(), time.process_time()
    found = await audit.check(served.context, audit.Scope(tenant.organization, "one"))
    loop, whole = time.thread_time() - loop, time.process_time() - whole
    assert found.problem is None
    assert found.events > 2000
    assert loop < whole / 2, f"{loop:.3f} s of {whole:.3f} s were the loop's"


async def export(served: Served, tenant: Tenant, reader: str) -> int:
    """How many lines it has."""
    scope = audit.Scope(tenant.organization, "one")
    exported = audit.export(served.context, scope, None, None, lambda: False, reader)
    return sum([piece.count(b"\n") async for piece in exported])


async def test_a_chain_is_exported_beside_the_loop(served: Served) -> None:
    tenant = await with_events(served)
    loop, whole = time.thread_time(), time.process_time()
    assert await export(served, tenant, "ann") > 2000
    loop, whole = time.thread_time() - loop, time.process_time() - whole
    assert loop < whole / 2, f"{loop:.3f} s of {whole:.3f} s were the loop's"


async def test_the_exports_of_one_reader_go_on_one_portion_at_a_time(served: Served) -> None:
    tenant = await with_events(served)
    ended: list[str] = []

    async def run(reader: str) -> None:
        await export(served, tenant, reader)
        ended.append(reader)

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery, served.context.apart.turn("ann"):
            nursery.start_soon(run, "ann")
            await run("bob")
    assert ended == ["bob", "ann"]


async def test_a_chain_is_checked_by_one_at_a_time(served: Served) -> None:
    tenant = await with_events(served)
    ended: list[str] = []

    async def check() -> None:
        await audit.check(served.context, audit.Scope(tenant.organization, "one"))
        ended.append("check")

    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery, served.context.apart.turn(tenant.organization):
            nursery.start_soon(check)
            await audit.check(served.context, audit.Scope("another"))
            ended.append("another")
    assert ended == ["another", "check"]


async def test_a_long_page_is_made_beside_the_loop_and_a_short_one_in_it(served: Served, monkeypatch: Any) -> None:
    tenant = await with_events(served)
    rows: dict[bool, int] = {}

    def present(view: Any, found: Any) -> Any:
        rows[threading.current_thread() is threading.main_thread()] = len(found)
        return original(view, found)

    original = EVENTS.present
    monkeypatch.setattr("paasd.api.v3.events.EVENTS", msgspec.structs.replace(EVENTS, present=present))
    async with tenant.client("auditor") as http:
        for per_page in (100, 1500):
            answer = await http.get(f"/v3/audit_events?per_page={per_page}")
            assert len(answer.json()["resources"]) == per_page
    assert rows == {True: 100, False: 1500}


async def test_very_many_instances_are_shown_beside_the_loop_and_not_without_end(
    served: Served, monkeypatch: Any
) -> None:
    tenant = await make_tenant(served, "one", "developer")
    app = await tenant.started_app(served, "dora")
    in_loop: list[bool] = []

    def seen(*arguments: Any) -> Any:
        in_loop.append(threading.current_thread() is threading.main_thread())
        return stats_of(*arguments)

    for module in ("v3.processes", "paasd_v1.apps"):
        monkeypatch.setattr(f"paasd.api.{module}.stats_of", seen)
    monkeypatch.setattr("paasd.api.v3.processes.EMBEDDED_LIMIT", 2_000)

    async def scale(instances: int) -> None:
        with served.context.database.read() as tx:
            web = find_process(tx, app, "web")
        wanted = ScaleProcess(process_guid=web.guid, instances=instances, sizes=Sizes(), actor=SYSTEM)
        await served.context.database.write(scale_process, wanted)

    async with tenant.client("developer") as http:

        async def shown(path: str) -> tuple[int, int | None]:
            body = (await http.get(path)).json()
            return len(body["resources"]), body.get("left_out")

        by_name = "/paasd/v1/spaces/one/dev/apps/dora/stats"
        assert await shown(by_name) == (1, None)
        await scale(1000)
        assert await shown(by_name) == (1000, None)
        assert await shown(f"/v3/apps/{app}/processes/web/stats") == (1000, None)
        assert await shown(f"/v3/apps/{app}/processes/web/process_instances") == (1000, None)
        [process] = (await http.get("/v3/processes?embed=process_instances")).json()["resources"]
        assert len(process["process_instances"]) == 1000
        assert in_loop == [True, False, False, False, False]

        more = PutDroplet(app_guid=app, process_types={"a": "x", "b": "x"})
        droplet = await served.context.database.write(put_droplet, more)
        chosen = SetDroplet(app_guid=app, droplet_guid=droplet.guid, sizes=Sizes(), actor=SYSTEM)
        await served.context.database.write(set_current_droplet, chosen)
        with served.context.database.read() as tx:
            guids = [find_process(tx, app, kind).guid for kind in "ab"]
        for guid, instances in zip(guids, (500, 700), strict=True):
            wanted = ScaleProcess(process_guid=guid, instances=instances, sizes=Sizes(), actor=SYSTEM)
            await served.context.database.write(scale_process, wanted)
        assert await shown(by_name) == (1000, 1200)
        refused = await http.get("/v3/processes?embed=process_instances")
        assert refused.status_code == 400 and "Embed would show 2200 instances" in refused.text, refused.text
        assert (await http.get("/v3/processes?embed=process_instances&per_page=2")).status_code == 200
