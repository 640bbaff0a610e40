"""The calls of a push, one by one, as `cf push` makes them."""

from paasd.actions import apps
from paasd.model import Instance, Process
from tests.actions.world import World


async def test_a_staged_app_that_is_started_gets_one_instance(world: World) -> None:
    app = await world.running()
    with world.context.database.read() as tx:
        instances = tx.all(Instance, app_guid=app.guid)
        process = tx.find(Process, app_guid=app.guid, type="web")
    assert process is not None
    assert [(i.index, i.app_version, i.memory_mb) for i in instances] == [(0, app.version, process.memory_mb)]


async def test_a_restart_replaces_the_instances(world: World) -> None:
    app = await world.running()
    with world.context.database.read() as tx:
        before = {i.guid for i in tx.all(Instance, app_guid=app.guid)}
    await apps.restart(world.context, world.admin, app.guid)
    await world.scheduler.reconcile()
    with world.context.database.read() as tx:
        after = {i.guid for i in tx.all(Instance, app_guid=app.guid)}
    assert len(after) == 1
    assert not before & after


async def test_a_stopped_app_has_no_instances(world: World) -> None:
    app = await world.running()
    await apps.stop(world.context, world.admin, app.guid)
    await world.scheduler.reconcile()
    with world.context.database.read() as tx:
        assert tx.count(Instance, app_guid=app.guid) == 0
