from typing import Any

from paasd.model.records import App, Destination, Domain, Route
from paasd.observed import InstanceFact
from paasd.router.records import RouteEntry
from paasd.router.routes import Knowledge, build_entries


def route(guid: str, created_at: str, space: str = "mine", **fields: Any) -> Route:
    usual = {"domain_guid": "long", "host": "shop", **fields}
    return Route(guid=guid, created_at=created_at, space_guid=space, **usual)


def built(*routes: Route, stopped: str = "") -> dict[str, str]:
    """Spaces by path. Each space has an app of its own name, which all its routes lead to."""
    known = Knowledge("here")
    known.domains = {
        "long": Domain(guid="long", name="Apps.example.org"),
        "short": Domain(guid="short", name="example.org"),
        "inside": Domain(guid="inside", name="apps.example.org", internal=True),
    }
    known.organizations = {"mine": "we", "ours": "we", "theirs": "they"}
    for space in known.organizations:
        state = "STOPPED" if space == stopped else "STARTED"
        known.apps[space] = App(guid=space, name=space, space_guid=space, state=state)
        known.instances[space, "web"] = (
            InstanceFact(
                instance_guid=space,
                process_guid="p",
                app_guid=space,
                process_type="web",
                index=0,
                epoch=1,
                node_guid="here",
                state="RUNNING",
                since=0.0,
                address="10.0.0.1",
                port=8080,
            ),
        )
    for one in routes:
        known.destinations[one.guid] = (Destination(guid=one.guid, route_guid=one.guid, app_guid=one.space_guid),)
    entries: tuple[RouteEntry, ...] = build_entries(routes, known)
    assert {entry.host for entry in entries} <= {"shop.apps.example.org"}
    return {entry.path: entry.space_guid for entry in entries}


OLD, NEW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def test_of_two_routes_of_one_name_the_oldest_serves_whatever_their_order() -> None:
    mine, theirs = route("b", OLD), route("a", NEW, "theirs", domain_guid="short", host="shop.apps")
    assert built(mine, theirs) == built(theirs, mine) == {"": "mine"}
    assert built(route("z", NEW), theirs) == {"": "theirs"}, "made in the same second, the guid decides"


def test_a_stopped_app_leaves_its_name_to_its_own_organization_alone() -> None:
    mine, ours, theirs = route("b", OLD), route("c", NEW, "ours", path="/"), route("a", NEW, "theirs", path="//")
    assert built(theirs, ours, mine, stopped="mine") == {"/": "ours"}
    assert built(theirs, mine, stopped="mine") == {}


def test_internal_routes_take_nothing_away_and_paths_are_served_apart() -> None:
    inside = route("a", OLD, "theirs", domain_guid="inside")
    assert built(inside, route("b", NEW), route("c", NEW, "ours", path="/a")) == {"": "mine", "/a": "ours"}
