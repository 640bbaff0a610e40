"""What operations on instances and nodes do once they are inside their transaction."""

from msgspec.structs import replace

from paasd.model import (
    AuditEvent,
    instances,
    nodes,
    processes,
)
from paasd.model.arguments import SYSTEM
from tests.model.seeding import NODE, SIZES, Seed


async def test_placements_are_checked_again_inside_the_transaction(seed: Seed) -> None:
    placement = await seed.placement()
    [wanted] = placement.placements
    for wrong in (
        replace(wanted, app_version=0),
        replace(wanted, index=5),
        replace(wanted, node_guid="none"),
        replace(wanted, process_guid="none"),
    ):
        arguments = instances.PlaceInstances(placements=[wrong])
        assert await seed.database.write(instances.place_instances, arguments) == []
    await seed.node(memory_mb=100)
    assert await seed.database.write(instances.place_instances, placement) == []
    await seed.node(memory_mb=1000)
    twice = instances.PlaceInstances(placements=[wanted, wanted])
    assert len(await seed.database.write(instances.place_instances, twice)) == 1


async def test_two_schedulers_together_do_not_overfill_a_node(seed: Seed) -> None:
    placement = await seed.placement()
    [wanted] = placement.placements
    scale = processes.ScaleProcess(process_guid=wanted.process_guid, instances=4, sizes=SIZES, actor=SYSTEM)
    await seed.database.write(processes.scale_process, scale)
    await seed.node(memory_mb=SIZES.memory_mb * 2)
    first = instances.PlaceInstances(placements=[replace(wanted, index=index) for index in (0, 1)])
    second = instances.PlaceInstances(placements=[replace(wanted, index=index) for index in (2, 3)])
    assert len(await seed.database.write(instances.place_instances, first)) == 2
    assert await seed.database.write(instances.place_instances, second) == []


async def test_crashes_make_one_event_per_app_and_minute(seed: Seed) -> None:
    instance = await seed.instance()
    crash = instances.RecordCrash(
        instance_guid=instance.guid, epoch=1, node_guid=NODE, exit_description="exited", count=3
    )
    assert await seed.database.write(instances.record_crash, replace(crash, epoch=9)) is False
    results = [await seed.database.write(instances.record_crash, crash) for _ in range(5)]
    assert results[0] is True and sum(results) <= 2  # two when the minute turned meanwhile
    with seed.database.read() as tx:
        event = tx.all(AuditEvent, type="app.crash")[0]
    assert (event.target_guid, event.data["crash_count"], event.data["index"]) == (instance.app_guid, 3, 0)


async def test_a_nodes_state_is_decided_about_one_incarnation(seed: Seed) -> None:
    await seed.node()
    await seed.node()
    dead = nodes.SetNodeState(guid=NODE, incarnation=1, state="DEAD")
    assert await seed.database.write(nodes.set_node_state, dead) is False
    assert await seed.database.write(nodes.set_node_state, replace(dead, incarnation=2)) is True
