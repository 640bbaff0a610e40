"""What operations on nodes and instances refuse, whoever asks for it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from paasd.errors import Unprocessable
from paasd.model import AuditEvent, DropletUpload, Instance, Job, Node
from paasd.model.arguments import SYSTEM
from paasd.model.brake import EngageBrake, ReleaseBrake, brake_finding, engage_brake, release_brake
from paasd.model.draining import DrainNode, drain_node, undrain_node
from paasd.model.instances import RemoveInstances, place_instances, retire_instances
from paasd.model.jobs import OpenJob, start_job
from paasd.model.liveness import AdmitNode, DeclareDead, admit_node, declare_dead
from paasd.model.nodes import RegisterNode, ReturnNode, SetNodeState, register_node, return_node, set_node_state
from paasd.model.takeover import TakeOverWork, take_over_work, work_to_take_over
from paasd.state import InlineRunner
from tests.fresh import open_fresh
from tests.model.seeding import NODE, Seed


@pytest.fixture
async def seed(tmp_path: Path) -> AsyncIterator[Seed]:
    async with open_fresh(tmp_path, runner=InlineRunner()) as database:
        yield Seed(database)


async def register(seed: Seed, **zones: str) -> None:
    for guid, zone in zones.items():
        await seed.database.write(
            register_node, RegisterNode(guid=guid, name=guid, zone=zone, memory_mb=4096, disk_mb=9000, cpus=1)
        )


def state_of(seed: Seed, guid: str) -> str:
    with seed.database.read() as tx:
        return tx.need(Node, guid).state


async def declare(seed: Seed, guid: str, *witnesses: str, incarnation: int = 1) -> bool:
    said = DeclareDead(node_guid=guid, incarnation=incarnation, witnesses=list(witnesses))
    return await seed.database.write(declare_dead, said)


async def test_a_node_is_dead_by_two_live_witnesses_of_which_one_is_elsewhere(seed: Seed) -> None:
    await register(seed, a1="a", a2="a", a3="a", b1="b")
    assert not await declare(seed, "a1", "b1")
    assert not await declare(seed, "a1", "b1", "b1")
    assert not await declare(seed, "a1", "b1", "a1")
    assert not await declare(seed, "a1", "b1", "nobody")
    assert not await declare(seed, "a1", "a2", "a3")
    assert state_of(seed, "a1") == "READY"
    assert await declare(seed, "a1", "a2", "b1")
    assert state_of(seed, "a1") == "DEAD"
    with seed.database.read() as tx:
        [event] = tx.all(AuditEvent, target_guid="a1", type="platform.node.dead")
    assert event.data["witnesses"] == ["a2", "b1"]
    assert not await declare(seed, "a2", "b1", "a1"), "the dead are no witnesses"


async def test_of_two_nodes_neither_is_ever_declared_dead(seed: Seed) -> None:
    await register(seed, a1="a", b1="b")
    assert not await declare(seed, "a1", "b1", "b1")


async def test_one_that_started_anew_is_not_dead_by_what_was_said_before(seed: Seed) -> None:
    await register(seed, a1="a", b1="b", c1="c")
    await register(seed, c1="c")
    assert not await declare(seed, "c1", "a1", "b1", incarnation=1)
    assert await declare(seed, "c1", "a1", "b1", incarnation=2)


async def test_the_brake_stops_declarations_replacements_and_drains(seed: Seed) -> None:
    elder = await seed.instance()
    await register(seed, other="a", third="b")
    lost = replace(seed.successor(elder).placements[0], node_guid="other", lost=True)
    wanted = replace(seed.successor(elder), placements=[lost])
    await seed.database.write(set_node_state, SetNodeState(guid=NODE, incarnation=1, state="DEAD"))
    await seed.database.write(engage_brake, EngageBrake(nodes=[NODE], reason="1 of 3 nodes"))
    assert not await declare(seed, "third", "other", NODE)
    assert await seed.database.write(place_instances, wanted) == []
    with pytest.raises(Unprocessable, match="brake"):
        await seed.database.write(drain_node, DrainNode(node_guid="other", actor=SYSTEM))
    with seed.database.read() as tx:
        assert "node-1" in (brake_finding(tx) or "")
        assert tx.count(AuditEvent, type="platform.brake.engage") == 1
    await seed.database.write(release_brake, ReleaseBrake())
    assert len(await seed.database.write(place_instances, wanted)) == 1
    with seed.database.read() as tx:
        [row] = tx.all(Instance)
        assert (row.node_guid, row.epoch) == ("other", 2)
        assert brake_finding(tx) is None


async def test_two_schedulers_at_once_place_one_successor(seed: Seed) -> None:
    elder = await seed.instance()
    wanted = seed.successor(elder)
    assert len(await seed.database.write(place_instances, wanted)) == 1
    assert await seed.database.write(place_instances, wanted) == []
    fresh = replace(wanted.placements[0], replaces=None, epoch=9)
    assert await seed.database.write(place_instances, replace(wanted, placements=[fresh])) == []
    lower = replace(wanted.placements[0], epoch=elder.epoch)
    assert await seed.database.write(place_instances, replace(wanted, placements=[lower])) == []


async def test_what_runs_on_a_live_node_is_not_taken_for_lost(seed: Seed) -> None:
    elder = await seed.instance()
    wanted = seed.successor(elder)
    lost = replace(wanted, placements=[replace(wanted.placements[0], lost=True)])
    assert await seed.database.write(place_instances, lost) == []
    with seed.database.read() as tx:
        assert [row.guid for row in tx.all(Instance)] == [elder.guid]


async def test_an_instance_is_not_retired_without_a_successor_on_a_live_node(seed: Seed) -> None:
    elder = await seed.instance()
    gone = RemoveInstances(guids=[elder.guid])
    assert await seed.database.write(retire_instances, gone) == 0
    await seed.database.write(place_instances, seed.successor(elder))
    await seed.database.write(set_node_state, SetNodeState(guid=NODE, incarnation=1, state="DEAD"))
    assert await seed.database.write(retire_instances, gone) == 0
    await seed.database.write(set_node_state, SetNodeState(guid=NODE, incarnation=1, state="READY"))
    assert await seed.database.write(retire_instances, gone) == 1


async def test_a_start_undoes_neither_draining_nor_removal_and_death_only_after_a_grace(seed: Seed) -> None:
    await register(seed, a1="a")
    await seed.database.write(set_node_state, SetNodeState(guid="a1", incarnation=1, state="DEAD"))
    await register(seed, a1="a")
    assert state_of(seed, "a1") == "READY", "alone there is nobody to wait for"
    await register(seed, b1="b")
    for incarnation, (before, after) in enumerate(
        [("DEAD", "RETURNING"), ("DRAINING", "DRAINING"), ("JOINING", "READY"), ("READY", "READY")], start=2
    ):
        await seed.database.write(set_node_state, SetNodeState(guid="a1", incarnation=incarnation, state=before))
        await register(seed, a1="a")
        assert state_of(seed, "a1") == after
    await seed.database.write(set_node_state, SetNodeState(guid="a1", incarnation=6, state="REMOVED"))
    with pytest.raises(Unprocessable, match="was removed from the platform"):
        await register(seed, a1="a")
    assert state_of(seed, "a1") == "REMOVED"


async def test_a_dead_node_comes_back_once_and_under_the_next_incarnation(seed: Seed) -> None:
    await register(seed, a1="a")
    back = ReturnNode(guid="a1", incarnation=1)
    assert not await seed.database.write(return_node, back)
    await seed.database.write(set_node_state, SetNodeState(guid="a1", incarnation=1, state="DEAD"))
    assert await seed.database.write(return_node, back)
    assert not await seed.database.write(return_node, back)
    with seed.database.read() as tx:
        node = tx.need(Node, "a1")
    assert (node.state, node.incarnation) == ("RETURNING", 2)


async def test_only_what_drains_can_be_undrained(seed: Seed) -> None:
    await register(seed, a1="a")
    change = DrainNode(node_guid="a1", actor=SYSTEM)
    assert (await seed.database.write(drain_node, change)).state == "DRAINING"
    assert (await seed.database.write(drain_node, change)).state == "DRAINING"
    assert (await seed.database.write(undrain_node, change)).state == "READY"
    await seed.database.write(set_node_state, SetNodeState(guid="a1", incarnation=1, state="DEAD"))
    with pytest.raises(Unprocessable, match="DEAD"):
        await seed.database.write(drain_node, change)


async def test_what_was_to_be_drained_when_it_died_drains_on_after_its_return(seed: Seed) -> None:
    await register(seed, a1="a", b1="b", c1="c")
    await seed.database.write(drain_node, DrainNode(node_guid="a1", actor=SYSTEM))
    assert await declare(seed, "a1", "b1", "c1")
    assert await seed.database.write(return_node, ReturnNode(guid="a1", incarnation=1))
    assert await seed.database.write(admit_node, AdmitNode(node_guid="a1", incarnation=2))
    assert state_of(seed, "a1") == "DRAINING"
    assert await declare(seed, "b1", "a1", "c1")
    assert await seed.database.write(return_node, ReturnNode(guid="b1", incarnation=1))
    assert await seed.database.write(admit_node, AdmitNode(node_guid="b1", incarnation=2))
    assert state_of(seed, "b1") == "READY"


async def test_uploads_and_jobs_of_a_lost_node_go_on_elsewhere_or_fail_in_words(seed: Seed) -> None:
    droplet = await seed.uploaded_droplet()
    await register(seed, **{NODE: "a", "other": "b"})
    lost = await seed.database.write(start_job, OpenJob(operation="space.apply", owner_node_guid=NODE))
    ours = await seed.database.write(start_job, OpenJob(operation="space.apply", owner_node_guid="other"))
    with seed.database.read() as tx:
        assert not work_to_take_over(tx)
    await seed.database.write(set_node_state, SetNodeState(guid=NODE, incarnation=1, state="DEAD"))
    with seed.database.read() as tx:
        assert work_to_take_over(tx)
    assert await seed.database.write(take_over_work, TakeOverWork()) == 2
    assert await seed.database.write(take_over_work, TakeOverWork()) == 0
    with seed.database.read() as tx:
        upload = tx.need(DropletUpload, droplet.guid)
        assert upload.node_guid == tx.need(Job, upload.job_guid).owner_node_guid == "other"
        assert [tx.need(Job, job.guid).state for job in (lost, ours)] == ["FAILED", "PROCESSING"]
        assert "lost" in tx.need(Job, lost.guid).errors[0].detail
