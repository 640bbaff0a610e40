"""What instances are shown to do: rows and facts together."""

from paasd.actions import apps
from paasd.model import Instance, Process
from paasd.observed import InstanceFact
from tests.actions.world import World, process_stats


def process_of(world: World, guid: str) -> Process:
    with world.context.database.read() as tx:
        return tx.all(Process, app_guid=guid)[0]


def report(world: World, instance: Instance, state: str, **more: object) -> None:
    world.context.observed.put(
        InstanceFact(
            instance_guid=instance.guid,
            epoch=instance.epoch,
            node_guid=instance.node_guid,
            app_guid=instance.app_guid,
            process_guid=instance.process_guid,
            process_type=instance.process_type,
            index=instance.index,
            state=state,  # type: ignore[arg-type]
            since=world.context.clock() - 60,
            **more,  # type: ignore[arg-type]
        )
    )


async def test_a_placed_instance_is_starting_until_its_node_says_more(world: World) -> None:
    app = await world.running()
    process = process_of(world, app.guid)
    assert [one.state for one in process_stats(world.context, process.guid)] == ["STARTING"]
    with world.context.database.read() as tx:
        [instance] = tx.all(Instance)
    report(world, instance, "RUNNING", address="10.254.0.2", port=8080, routable=True)
    [found] = process_stats(world.context, process.guid)
    assert (found.state, found.address, found.routable) == ("RUNNING", "10.254.0.2", True)
    assert 59 <= found.uptime_s <= 75
    assert found.memory_quota_bytes == process.memory_mb * 1024 * 1024


async def test_a_crashed_instance_says_why(world: World) -> None:
    app = await world.running()
    with world.context.database.read() as tx:
        [instance] = tx.all(Instance)
    report(world, instance, "CRASHED", details="out of memory")
    [found] = process_stats(world.context, process_of(world, app.guid).guid)
    assert (found.state, found.details) == ("CRASHED", "out of memory")


async def test_after_a_restart_the_old_instance_proves_nothing(world: World) -> None:
    app = await world.running()
    with world.context.database.read() as tx:
        [instance] = tx.all(Instance)
    report(world, instance, "RUNNING")
    await apps.restart(world.context, world.admin, app.guid)
    [found] = process_stats(world.context, process_of(world, app.guid).guid)
    assert found.state == "DOWN"
    await world.scheduler.reconcile()
    [found] = process_stats(world.context, process_of(world, app.guid).guid)
    assert found.state == "STARTING"


async def test_a_stopped_app_is_down(world: World) -> None:
    app = await world.running()
    await apps.stop(world.context, world.admin, app.guid)
    found = process_stats(world.context, process_of(world, app.guid).guid)
    assert [(one.state, one.details) for one in found] == [("DOWN", None)]
