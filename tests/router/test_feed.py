from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import h11
import pytest
import trio

from paasd.model.records import App as AppRecord
from paasd.model.records import Destination, Domain, Instance, Organization, Route, Space
from paasd.observed import InstanceFact, Observed
from paasd.router import Certificates, Router, open_route_feed, open_router
from paasd.state import Database, InlineRunner, Tx, open_database, operation

from .conftest import CONFIG
from .test_ports import free_port
from .upstream import App, apps, fetch

RECORDS: dict[str, Any] = {
    one.__name__: one for one in (Organization, Space, Domain, Route, Destination, AppRecord, Instance)
}


@operation("test.router.put", version=1)
def put(tx: Tx, args: dict[str, Any]) -> None:
    for name, fields in args["put"]:
        record = RECORDS[name]
        known = tx.get(record, fields["guid"])
        if known is None:
            tx.insert(record(**fields))
        else:
            tx.update(known, **{key: value for key, value in fields.items() if key != "guid"})
    for name, guid in args.get("delete", ()):
        tx.delete(tx.need(RECORDS[name], guid))


def instance(guid: str, index: int, epoch: int = 1, node: str = "n") -> dict[str, Any]:
    return {
        "guid": guid,
        "app_guid": "app",
        "process_guid": "p",
        "process_type": "web",
        "index": index,
        "app_version": 1,
        "droplet_guid": "d",
        "node_guid": node,
        "epoch": epoch,
        "memory_mb": 1,
        "disk_mb": 1,
    }


BASE = [
    ("Organization", {"guid": "org", "name": "org"}),
    ("Space", {"guid": "space", "name": "space", "organization_guid": "org"}),
    ("Domain", {"guid": "domain", "name": "apps.localhost"}),
    ("Domain", {"guid": "inside", "name": "apps.internal", "internal": True}),
    ("App", {"guid": "app", "name": "app", "space_guid": "space", "state": "STARTED"}),
    ("App", {"guid": "idle", "name": "idle", "space_guid": "space", "state": "STOPPED"}),
    ("Route", {"guid": "route", "domain_guid": "domain", "space_guid": "space", "host": "shop"}),
    ("Destination", {"guid": "dest", "route_guid": "route", "app_guid": "app"}),
    *[("Instance", instance(guid, index)) for index, guid in enumerate(("one", "two"))],
]


def running(app: App, guid: str, index: int = 0, **fields: Any) -> InstanceFact:
    usual = {"app_guid": "app", "process_type": "web", "epoch": 1, "node_guid": "n"}
    known: dict[str, Any] = {"state": "RUNNING", "routable": True, **usual, **fields}
    return InstanceFact(
        instance_guid=guid,
        process_guid="p",
        index=index,
        since=0.0,
        address="127.0.0.1",
        port=app.port,
        **known,
    )


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    (tmp_path / "state").mkdir()
    async with open_database(tmp_path / "state", runner=InlineRunner(), sync=False) as opened:
        await opened.write(put, {"put": BASE})
        yield opened


@pytest.fixture
async def router(tmp_path: Path, certificates: Certificates) -> AsyncIterator[Router]:
    async with open_router(CONFIG, tmp_path, certificates, outlive=False) as opened:
        yield opened
        assert opened.refused == 0


async def outcome(router: Router, host: str, target: str = "/") -> str:
    """The instance that answers, or the status."""
    with trio.fail_after(5):
        await router.settled()
    answer = await fetch(router.http_port, f"{host}.apps.localhost", target)
    return str(answer.seen["instance"]) if answer.status == 200 else str(answer.status)


async def until(router: Router, wanted: str, host: str, target: str = "/") -> None:
    """Wait until the wakes that a change set off led to `wanted`."""
    seen = ""
    with trio.move_on_after(3):
        while (seen := await outcome(router, host, target)) != wanted:
            pass
    assert seen == wanted


async def test_rows_and_instances_become_routes_and_follow_every_change(database: Database, router: Router) -> None:
    observed = Observed()
    async with apps("one", "two") as (one, two), open_route_feed(router, database, observed, {}, node_guid="n"):
        assert await outcome(router, "shop") == "503"  # the app is meant to run, and nothing runs
        observed.put(running(one, "one", state="STARTING", routable=False))
        assert await outcome(router, "shop") == "503"
        observed.put(running(one, "one"))
        await until(router, "one", "shop")
        observed.put(running(two, "two", index=1))
        await until(router, "two", "shop")
        observed.put(running(one, "one", routable=False))
        await until(router, "two", "shop")
        assert {await outcome(router, "shop") for _ in range(6)} == {"two"}
        observed.drop("two")
        await until(router, "503", "shop")
        observed.put(running(one, "one"))
        await until(router, "one", "shop")


async def test_what_is_true_of_an_app_is_served_once_it_is_settled(database: Database, router: Router) -> None:
    observed = Observed()
    async with apps("one") as (one,), open_route_feed(router, database, observed, {}, node_guid="n") as feed:
        assert await outcome(router, "shop") == "503"
        observed.put(running(one, "one"))
        with trio.fail_after(5):
            await feed.settle("app")
        assert (await fetch(router.http_port, "shop.apps.localhost")).seen["instance"] == "one"
        new = {"guid": "new", "domain_guid": "domain", "space_guid": "space", "host": "new"}
        leading = {"guid": "d2", "route_guid": "new", "app_guid": "app"}
        await database.write(put, {"put": [("Route", new), ("Destination", leading)]})
        with trio.fail_after(5):
            await feed.settle("app")
        assert (await fetch(router.http_port, "new.apps.localhost")).seen["instance"] == "one"


async def test_a_route_comes_moves_and_goes_with_its_rows(database: Database, router: Router) -> None:
    observed = Observed()
    async with apps("one", "two") as (one, two), open_route_feed(router, database, observed, {}, node_guid="n"):
        observed.put(running(one, "one"))
        observed.put(running(two, "two", app_guid="idle"))
        await until(router, "one", "shop")
        new = {"guid": "new", "domain_guid": "domain", "space_guid": "space", "host": "new"}
        await database.write(put, {"put": [("Route", new)]})
        await until(router, "404", "new")
        await database.write(put, {"put": [("Destination", {"guid": "d2", "route_guid": "new", "app_guid": "app"})]})
        await until(router, "one", "new")
        await database.write(put, {"put": [("Route", {**new, "guid": "n2", "path": "/in"})]})
        await database.write(put, {"put": [("Destination", {"guid": "d3", "route_guid": "n2", "app_guid": "idle"})]})
        await until(router, "one", "new", "/in")  # its app is stopped, so the route without path answers
        await database.write(put, {"put": [("App", {"guid": "idle", "state": "STARTED"})]})
        await until(router, "two", "new", "/in")
        await database.write(put, {"put": [("App", {"guid": "app", "state": "STOPPED"})]})
        await until(router, "404", "shop")
        await until(router, "two", "new", "/in")
        await database.write(put, {"put": [], "delete": [("Destination", "d3"), ("Route", "n2")]})
        await until(router, "404", "new", "/in")


async def test_internal_domains_are_never_served_and_new_domains_are(database: Database, router: Router) -> None:
    observed = Observed()
    async with apps("one") as (one,), open_route_feed(router, database, observed, {}, node_guid="n"):
        observed.put(running(one, "one"))
        inside = {"guid": "in", "domain_guid": "inside", "space_guid": "space", "host": "shop"}
        await database.write(put, {"put": [("Route", inside)]})
        await database.write(put, {"put": [("Destination", {"guid": "d4", "route_guid": "in", "app_guid": "app"})]})
        await database.write(put, {"put": [("Domain", {"guid": "d", "name": "late.test", "organization_guid": "org"})]})
        late = {"guid": "late", "domain_guid": "d", "space_guid": "space", "host": ""}
        await database.write(put, {"put": [("Route", late)]})
        await database.write(put, {"put": [("Destination", {"guid": "d5", "route_guid": "late", "app_guid": "app"})]})
        await until(router, "one", "shop")
        with trio.fail_after(5):
            while (await fetch(router.http_port, "late.test")).status != 200:
                await router.settled()
        assert (await fetch(router.http_port, "shop.apps.internal")).status == 404


async def test_the_first_table_after_a_restart_is_whole(
    database: Database, tmp_path: Path, certificates: Certificates
) -> None:
    observed = Observed()
    async with apps("one") as (one,):
        observed.put(running(one, "one"))
        system = {"api.system.localhost": ("127.0.0.1", one.port)}
        async with (
            open_router(CONFIG, tmp_path, certificates) as first,
            open_route_feed(first, database, observed, system, node_guid="n"),
        ):
            assert await outcome(first, "shop") == "one"
        async with open_router(CONFIG, tmp_path, certificates, outlive=False) as second:
            assert (await fetch(second.http_port, "shop.apps.localhost")).status == 200
            async with open_route_feed(second, database, observed, system, node_guid="n"):
                assert await outcome(second, "shop") == "one"
                assert second.sent_count == 0
                assert (await fetch(second.http_port, "api.system.localhost")).status == 308, "the way to HTTPS"


async def test_a_route_with_a_port_is_served_while_it_leads_to_an_app_that_runs(
    database: Database, router: Router
) -> None:
    observed, port = Observed(), free_port()
    group = ("Domain", {"guid": "tcp", "name": "tcp.localhost", "router_group_guid": "g"})
    made = {"guid": "ported", "domain_guid": "tcp", "space_guid": "space", "port": port, "protocol": "tcp"}
    leading = ("Destination", {"guid": "d3", "route_guid": "ported", "app_guid": "app", "protocol": "tcp"})

    async def answers(wanted: str) -> None:
        seen = ""
        with trio.move_on_after(3):
            while seen != wanted:
                await router.settled()
                try:
                    seen = str((await fetch(port, "any")).seen["instance"])
                except OSError:
                    seen = "nobody listens"
                except (h11.RemoteProtocolError, trio.BrokenResourceError):
                    seen = "closed"
        assert seen == wanted

    async with apps("one", "two") as (one, two), open_route_feed(router, database, observed, {}, node_guid="n"):
        await database.write(put, {"put": [group, ("Route", made)]})
        await answers("nobody listens")
        await database.write(put, {"put": [leading]})
        await answers("closed")
        observed.put(running(one, "one"))
        await answers("one")
        assert await outcome(router, "shop") == "one"
        observed.put(running(one, "one", routable=False))
        observed.put(running(two, "two", index=1))
        await answers("two")
        await database.write(put, {"put": [("App", {"guid": "app", "state": "STOPPED"})]})
        await answers("nobody listens")
        await database.write(put, {"put": [("App", {"guid": "app", "state": "STARTED"})]})
        await answers("two")
        await database.write(put, {"put": [], "delete": [("Destination", "d3")]})
        await answers("nobody listens")
        assert (await fetch(router.http_port, "tcp.localhost")).status == 404
