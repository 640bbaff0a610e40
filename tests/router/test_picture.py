"""A picture that reads what was touched is at every moment the one that reads everything, and never has to."""

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from paasd.model.records import App as AppRecord
from paasd.model.records import Destination, Domain, Instance, NetworkPolicy, Node, Organization, Route, Space
from paasd.observed import InstanceFact
from paasd.router.picture import TABLES, Picture
from paasd.router.records import RouteEntry
from paasd.router.routes import build_table
from paasd.router.table import by_host
from paasd.state import Database, InlineRunner, Tx, open_database, operation

RECORDS: dict[str, Any] = {
    one.__name__: one
    for one in (Organization, Space, Domain, Route, Destination, AppRecord, Instance, NetworkPolicy, Node)
}
Rows = list[tuple[str, dict[str, Any]]]


@operation("test.picture.change", version=1)
def change(tx: Tx, args: dict[str, Any]) -> None:
    for name, fields in args.get("put", ()):
        known = tx.get(RECORDS[name], fields["guid"])
        if known is None:
            tx.insert(RECORDS[name](**fields))
        else:
            tx.update(known, **{key: value for key, value in fields.items() if key != "guid"})
    for name, guid in args.get("delete", ()):
        if (row := tx.get(RECORDS[name], guid)) is not None:
            tx.delete(row)


def node(guid: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    usual = {"name": guid, "zone": "z/1", "memory_mb": 1, "disk_mb": 1, "cpus": 1, "tunnel_port": 7}
    return "Node", {"guid": guid, **usual, "address": f"10.0.0.{1 + ord(guid[0]) % 200}", **fields}


def domain(guid: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    return "Domain", {"guid": guid, "name": f"{guid}.example", **fields}


def route(guid: str, space: str, on: str, app: str) -> Rows:
    return [
        ("Route", {"guid": guid, "domain_guid": on, "space_guid": space, "host": guid}),
        ("Destination", {"guid": f"to-{guid}", "route_guid": guid, "app_guid": app}),
    ]


BASE: Rows = [
    ("Organization", {"guid": "org", "name": "org"}),
    ("Organization", {"guid": "other", "name": "other"}),
    ("Space", {"guid": "space", "name": "space", "organization_guid": "org"}),
    domain("apps"),
    node("here"),
    node("there", zone="z/2"),
    ("App", {"guid": "app", "name": "app", "space_guid": "space", "state": "STARTED"}),
    *[
        (
            "Instance",
            {
                "guid": guid,
                "app_guid": "app",
                "process_guid": "p",
                "process_type": "web",
                "index": index,
                "app_version": 1,
                "droplet_guid": "d",
                "node_guid": guid,
                "epoch": 1,
                "memory_mb": 1,
                "disk_mb": 1,
            },
        )
        for index, guid in enumerate(("here", "there"))
    ],
    *route("shop", "space", "apps", "app"),
]
FACTS = {
    guid: InstanceFact(
        instance_guid=guid,
        app_guid="app",
        process_guid="p",
        process_type="web",
        index=index,
        epoch=1,
        node_guid=guid,
        state="RUNNING",
        since=0.0,
        address="10.1.0.1",
        port=8080,
        routable=True,
    )
    for index, guid in enumerate(("here", "there"))
}


class Followed:
    """A picture that follows the database, with what was published of it, and how often it was read whole."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.picture = Picture("here", {})
        self.wholes = 0
        self.published: dict[str, tuple[RouteEntry, ...]] = {}
        self._read_whole()

    def _read_whole(self) -> None:
        self.wholes += 1
        with self.database.read() as tx:
            self.picture.load(tx)
        self.picture.observe(FACTS, frozenset())
        self.published = hosts_of(self.picture)

    async def make(self, put: Rows, delete: list[tuple[str, str]] | None = None) -> set[str]:
        """Make a change, follow it, and compare with a picture that is new; the hosts that were published."""
        async with self.database.watch(*TABLES) as changes:
            changes.take()
            await self.database.write(change, {"put": put, "delete": delete or []})
            with self.database.read() as tx:
                hosts = self.picture.reread(tx, {(table, str(key)) for table, key in changes.take()})
        if hosts is None:
            self._read_whole()
        for host in hosts or ():
            entries = self.picture.entries(host)
            self.published.pop(host, None)
            if entries:
                self.published[host] = entries
        fresh = Picture("here", {})
        with self.database.read() as tx:
            fresh.load(tx)
        fresh.observe(FACTS, frozenset())
        assert self.published == hosts_of(fresh)
        assert self.picture.public == fresh.public
        assert self.picture.links() == fresh.links()
        return hosts or set()


def hosts_of(picture: Picture) -> dict[str, tuple[RouteEntry, ...]]:
    return by_host(build_table(picture.routes.values(), picture, picture.public, {}).routes, {})


@pytest.fixture
async def followed(tmp_path: Path) -> AsyncIterator[Followed]:
    (tmp_path / "state").mkdir()
    async with open_database(tmp_path / "state", runner=InlineRunner(), sync=False) as database:
        await database.write(change, {"put": BASE})
        yield Followed(database)


async def test_what_a_manager_changes_of_spaces_and_domains_makes_no_router_read_everything(followed: Followed) -> None:
    before = followed.published
    assert set(before) == {"shop.apps.example"}
    assert not await followed.make([("Space", {"guid": "space", "name": "renamed"})])
    assert not await followed.make([("Space", {"guid": "space", "allow_ssh": False})])
    assert not await followed.make([("Space", {"guid": "new", "name": "new", "organization_guid": "org"})])
    assert not await followed.make([domain("mine", organization_guid="org")])
    assert followed.published == before
    assert followed.picture.public == ("apps.example", "mine.example")
    assert await followed.make(route("own", "new", "mine", "app")) == {"own.mine.example"}
    assert followed.published["own.mine.example"][0].organization_guid == "org"
    assert await followed.make([domain("mine", deleting=True)]) == {"own.mine.example"}
    assert followed.published == before
    await followed.make([], [("Destination", "to-own"), ("Route", "own"), ("Domain", "mine"), ("Space", "new")])
    assert followed.picture.public == ("apps.example",)
    assert followed.wholes == 1


async def test_a_node_that_is_lost_costs_the_routes_of_its_instances_and_only_one_that_moves_costs_all(
    followed: Followed,
) -> None:
    assert not await followed.make([node("there", zone="z/2", memory_mb=5, incarnation=3, version="new")])
    assert await followed.make([node("there", zone="z/2", state="DEAD")]) == {"shop.apps.example"}
    assert [one.node_guid for one in followed.published["shop.apps.example"][0].endpoints] == [""]
    await followed.make([node("there", zone="z/2", state="READY"), node("third", state="READY")])
    await followed.make([], [("Node", "third")])
    assert followed.wholes == 1
    await followed.make([node("there", zone="y/1")])
    assert [one.distance for one in followed.published["shop.apps.example"][0].endpoints] == [0, 2]
    assert followed.wholes == 2


async def test_a_route_is_found_before_its_domain_and_space_were_looked_at(followed: Followed) -> None:
    picture, database = followed.picture, followed.database
    rows: Rows = [("Space", {"guid": "new", "name": "new", "organization_guid": "org"}), domain("mine")]
    await database.write(change, {"put": [*rows, *route("own", "new", "mine", "app")]})
    with database.read() as tx:
        assert picture.reread(tx, [("destinations", "to-own")]) == {"own.mine.example"}
    assert picture.entries("own.mine.example")[0].organization_guid == "org"
    assert picture.public == ("apps.example", "mine.example")


async def test_a_domain_that_is_gone_takes_its_routes_before_they_were_looked_at(followed: Followed) -> None:
    picture, database = followed.picture, followed.database
    await followed.make([domain("mine"), *route("own", "space", "mine", "app")])
    await database.write(change, {"delete": [("Destination", "to-own"), ("Route", "own"), ("Domain", "mine")]})
    with database.read() as tx:
        assert picture.reread(tx, [("domains", "mine")]) == {"own.mine.example"}
        assert picture.entries("own.mine.example") == ()
        assert picture.reread(tx, [("routes", "own"), ("destinations", "to-own")]) == set()


@pytest.mark.parametrize("seed", range(5))
async def test_any_changes_lead_to_what_reading_everything_finds(followed: Followed, seed: int) -> None:
    random = Random(seed)
    there: dict[str, str] = {}
    for _ in range(60):
        put: Rows = []
        delete: list[tuple[str, str]] = []
        for _ in range(random.randint(1, 4)):
            name = random.choice("abc")
            match random.randrange(7):
                case 0:
                    organization = random.choice(("org", "other"))
                    allowed = random.random() < 0.5
                    fields = {"name": name + organization, "organization_guid": organization, "allow_ssh": allowed}
                    put.append(("Space", {"guid": f"s{name}{organization}", **fields}))
                case 1:
                    put.append(domain(f"d{name}", deleting=random.random() < 0.3))
                case 2 if name not in there:
                    there[name] = random.choice(("apps", f"d{name}"))
                    put += [domain(f"d{name}"), *route(name, "space", there[name], "app")]
                case 3 if name in there:
                    delete += [("Destination", f"to-{name}"), ("Route", name)]
                    if there.pop(name) != "apps":
                        delete.append(("Domain", f"d{name}"))
                case 4:
                    put.append(("App", {"guid": "app", "state": random.choice(("STARTED", "STOPPED"))}))
                case 5:
                    put.append(node("there", zone="z/2", state=random.choice(("READY", "DEAD", "DRAINING", "REMOVED"))))
                case 6:
                    put.append(("Instance", {"guid": "there", "epoch": random.choice((1, 1, 2))}))
        await followed.make(put, delete)
    assert followed.wholes == 1
