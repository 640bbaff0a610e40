"""Environment variables: sealed at rest, merged, limited, and shown to developers only."""

import msgspec
import pytest
import trio

from paasd.actions import apps, environment
from paasd.errors import Unprocessable
from paasd.model import App, AuditEvent
from paasd.state.sealing import SealingError
from tests.actions.world import World


def row(world: World, guid: str) -> App:
    with world.context.database.read() as tx:
        return tx.need(App, guid)


async def test_values_are_sealed_in_the_row_and_absent_from_events(world: World) -> None:
    app = await apps.create(
        world.context, world.admin, name="dora", space_guid=world.space.guid, environment={"KEY": "open-sesame"}
    )
    await environment.update_environment(world.context, world.admin, app.guid, {"OTHER": "xyzzy-123"})
    stored = row(world, app.guid).environment
    assert stored and "sesame" not in stored and "xyzzy" not in stored
    found = await environment.read_environment(world.context, world.admin, app.guid)
    assert found == {"KEY": "open-sesame", "OTHER": "xyzzy-123"}
    with world.context.database.read() as tx:
        events = repr(tx.all(AuditEvent))
    assert "OTHER" in events and "xyzzy" not in events


async def test_the_environment_of_one_app_does_not_open_for_another(world: World) -> None:
    one = await apps.create(world.context, world.admin, name="one", space_guid=world.space.guid, environment={"A": "b"})
    two = await world.app("two")
    stolen = msgspec.structs.replace(two, environment=row(world, one.guid).environment)
    assert environment.open_environment(world.context, row(world, one.guid)) == {"A": "b"}
    with pytest.raises(SealingError):
        environment.open_environment(world.context, stolen)


async def test_changes_are_merged_and_null_takes_away(world: World) -> None:
    app = await world.app()
    await environment.update_environment(world.context, world.admin, app.guid, {"A": "1", "B": "2"})
    merged = await environment.update_environment(world.context, world.admin, app.guid, {"A": None, "C": "3"})
    assert merged == {"B": "2", "C": "3"}
    await environment.update_environment(world.context, world.admin, app.guid, {"B": None, "C": None})
    assert row(world, app.guid).environment == ""


async def test_changes_at_the_same_time_are_all_kept(world: World) -> None:
    app = await world.app()
    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(
                environment.update_environment, world.context, world.admin, app.guid, {f"N{number}": "x"}
            )
    found = await environment.read_environment(world.context, world.admin, app.guid)
    assert sorted(found) == ["N0", "N1", "N2", "N3"]


@pytest.mark.parametrize("name", ["PORT", "VCAP_SERVICES", "vcap_x", "", "A=B", "A\0"])
async def test_names_of_the_platform_are_refused(world: World, name: str) -> None:
    app = await world.app()
    with pytest.raises(Unprocessable):
        await environment.update_environment(world.context, world.admin, app.guid, {name: "x"})
    assert await environment.update_environment(world.context, world.admin, app.guid, {"PORTS": "x"})


async def test_a_huge_environment_is_refused(world: World) -> None:
    app = await world.app()
    limit = world.context.config.apps.environment_limit_bytes
    with pytest.raises(Unprocessable, match=f"{limit} bytes"):
        await environment.update_environment(world.context, world.admin, app.guid, {"A": "x" * limit})


async def test_the_whole_environment_names_app_space_and_routes(world: World) -> None:
    app = await world.app()
    shown = await environment.full_environment(world.context, world.admin, app.guid)
    application = shown["application_env_json"]["VCAP_APPLICATION"]
    assert (application["application_name"], application["space_name"]) == ("dora", "dev")
    assert shown["system_env_json"] == {"VCAP_SERVICES": {}}
