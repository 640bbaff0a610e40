"""Where a route leads, by which weights and protocol, and what labels were before: the events say it."""

from typing import Any

import pytest

from paasd.model import Route, User
from paasd.model.apps import UpdateApp, update_app
from paasd.model.arguments import SYSTEM, Metadata
from paasd.model.metadata import MergeMetadata, merge_resource_metadata
from paasd.model.routes import (
    ChangeDestinations,
    NewDestination,
    RemoveDestination,
    UpdateDestination,
    UpdateRoute,
    add_destinations,
    destinations_of,
    remove_destination,
    replace_destinations,
    update_destination,
    update_route,
)
from paasd.model.spaces import UpdateSpace, update_space
from paasd.state import Operation
from tests.model.seeding import Seed
from tests.model.test_events_say_what_changed import told

MAPPED, UNMAPPED = "audit.app.map-route", "audit.app.unmap-route"


class Mapping:
    """A route and two apps."""

    def __init__(self, seed: Seed, route: Route, apps: tuple[str, str]) -> None:
        self.seed = seed
        self.route = route
        self.apps = apps

    async def replace(self, *weights: int | None, **more: Any) -> None:
        wanted = [
            NewDestination(app_guid=app, weight=weight, **more) for app, weight in zip(self.apps, weights, strict=False)
        ]
        change = ChangeDestinations(route_guid=self.route.guid, destinations=wanted, actor=SYSTEM)
        await self.seed.database.write(replace_destinations, change)

    def destination(self, app: str) -> str:
        with self.seed.database.read() as tx:
            return next(one.guid for one in destinations_of(tx, self.route) if one.app_guid == app)


@pytest.fixture
async def mapping(seed: Seed) -> Mapping:
    await seed.place()
    apps = (await seed.app("one")).guid, (await seed.app("two")).guid
    return Mapping(seed, await seed.route(), apps)


def sides(data: dict[str, Any]) -> tuple[Any, Any]:
    return data["before"], data["after"]


async def test_moving_the_traffic_from_one_app_to_another_is_told(mapping: Mapping) -> None:
    seed = mapping.seed
    await mapping.replace(99, 1)
    data = told(seed, MAPPED)
    assert (data["weight"], data["protocol"], data["route_guid"]) == (1, "http1", mapping.route.guid)
    await mapping.replace(1, 99)
    data = told(seed, MAPPED)
    assert sides(data) == ({"weight": 1}, {"weight": 99})
    assert (data["destination_guid"], data["weight"]) == (mapping.destination(mapping.apps[1]), 99)
    await mapping.replace(None)
    data = told(seed, UNMAPPED)
    assert (data["weight"], data["protocol"], data["app_port"]) == (99, "http1", None)
    assert sides(told(seed, MAPPED)) == ({"weight": 1}, {"weight": None})


async def test_another_protocol_is_told_by_whichever_call(mapping: Mapping) -> None:
    seed, one = mapping.seed, mapping.apps[0]
    await mapping.replace(None)
    added = ChangeDestinations(
        route_guid=mapping.route.guid,
        destinations=[NewDestination(app_guid=one, protocol="http2")],
        actor=SYSTEM,
    )
    await seed.database.write(add_destinations, added)
    assert sides(told(seed, MAPPED)) == ({"protocol": "http1"}, {"protocol": "http2"})
    place = {"route_guid": mapping.route.guid, "destination_guid": mapping.destination(one), "actor": SYSTEM}
    await seed.database.write(update_destination, UpdateDestination(protocol="http1", **place))
    data = told(seed, MAPPED)
    assert sides(data) == ({"protocol": "http2"}, {"protocol": "http1"}) and data["protocol"] == "http1"
    await seed.database.write(remove_destination, RemoveDestination(**place))
    data = told(seed, UNMAPPED)
    assert (data["destination_guid"], data["protocol"]) == (place["destination_guid"], "http1")


async def test_what_a_label_was_and_that_one_was_taken_away_is_told(seed: Seed) -> None:
    _, space, _ = await seed.place()
    app, route = await seed.app(), await seed.route()
    user: User = await seed.user()
    changes: list[tuple[Operation[Any, Any], Any, str]] = [
        (update_app, lambda new: UpdateApp(app_guid=app.guid, metadata=new, actor=SYSTEM), "audit.app.update"),
        (
            update_space,
            lambda new: UpdateSpace(space_guid=space.guid, metadata=new, actor=SYSTEM),
            "audit.space.update",
        ),
        (
            update_route,
            lambda new: UpdateRoute(route_guid=route.guid, metadata=new, actor=SYSTEM),
            "audit.route.update",
        ),
        (
            merge_resource_metadata,
            lambda new: MergeMetadata(resource_type="user", resource_guid=user.guid, metadata=new, actor=SYSTEM),
            "audit.user.update",
        ),
    ]
    for operation, arguments, event in changes:
        first = Metadata(labels={"tier": "test", "team": "a"}, annotations={"pager": "1"})
        await seed.database.write(operation, arguments(first))
        data = told(seed, event)
        assert data["before"]["metadata"]["labels"] == {"tier": None, "team": None}, event
        second = Metadata(labels={"tier": "live", "team": "a"}, annotations={"pager": None})
        await seed.database.write(operation, arguments(second))
        data = told(seed, event)
        assert data["before"]["metadata"] == {"labels": {"tier": "test"}, "annotations": {"pager": "1"}}, event
        assert data["after"]["metadata"] == {"labels": {"tier": "live"}, "annotations": {"pager": None}}, event
        assert data["metadata"]["labels"] == {"tier": "live", "team": "a"}
        await seed.database.write(operation, arguments(second))
        assert "metadata" not in told(seed, event).get("before", {}), "nothing differs any more"
