"""Plans from rows, without a database."""

import tracemalloc

from msgspec.structs import replace

from paasd.config import SchedulerConfig
from paasd.model import App, Build, Instance, Lease, Node, PlacementFailure, Process
from paasd.scheduler.desired import Snapshot, make_plan

NODE = Node(guid="n1", name="n1", zone="a", memory_mb=1000, disk_mb=9000, cpus=2)
OTHER = replace(NODE, guid="n2", name="n2")
APP = App(guid="a", name="a", space_guid="s", state="STARTED", droplet_guid="d", version=3)
WEB = Process(guid="p", app_guid="a", type="web", instances=2, memory_mb=100, disk_mb=100)


def instance(index: int, **changes: object) -> Instance:
    base = Instance(
        guid=f"i{index}",
        app_guid="a",
        process_guid="p",
        process_type="web",
        index=index,
        app_version=3,
        droplet_guid="d",
        node_guid="n1",
        memory_mb=100,
        disk_mb=100,
    )
    return replace(base, **changes)


def snapshot(**changes: object) -> Snapshot:
    base = Snapshot(apps=[APP], processes=[WEB], instances=[], nodes=[NODE, OTHER], builds=[], failures=[])
    return replace(base, **changes)


def test_missing_instances_are_placed() -> None:
    plan = make_plan(snapshot(instances=[instance(0)]))
    assert [(one.demand.index, one.demand.app_version, one.node_guid) for one in plan.place] == [(1, 3, "n2")]
    assert plan.remove == []


def test_what_is_as_it_should_be_is_left_alone() -> None:
    plan = make_plan(snapshot(instances=[instance(0), instance(1, node_guid="n2")]))
    assert (plan.remove, plan.place, plan.reasons, plan.assign) == ([], [], {}, [])


def test_instances_of_an_older_version_make_room_for_new_ones() -> None:
    old = [instance(0, app_version=2), instance(1, app_version=2)]
    tight = replace(NODE, memory_mb=200)
    plan = make_plan(snapshot(instances=old, nodes=[tight]))
    assert plan.remove == ["i0", "i1"]
    assert [one.demand.index for one in plan.place] == [0, 1]


def test_scaling_down_takes_the_highest_indices() -> None:
    plan = make_plan(snapshot(processes=[replace(WEB, instances=1)], instances=[instance(0), instance(1)]))
    assert (plan.remove, plan.place) == (["i1"], [])


def test_a_stopped_deleted_or_dropletless_app_keeps_no_instances() -> None:
    for app in (replace(APP, state="STOPPED"), replace(APP, deleting=True), replace(APP, droplet_guid=None)):
        plan = make_plan(snapshot(apps=[app], instances=[instance(0)]))
        assert (plan.remove, plan.place) == (["i0"], [])


def test_instances_of_a_dead_node_are_replaced_under_a_higher_epoch() -> None:
    dead = replace(NODE, state="DEAD")
    plan = make_plan(snapshot(instances=[instance(0, epoch=4), instance(1, node_guid="n2")], nodes=[dead, OTHER]))
    assert plan.remove == []  # the placement takes the lost one with it, so that its epoch is never forgotten
    [one] = plan.place
    demand = one.demand
    assert (demand.index, demand.epoch, demand.replaces, demand.lost, one.node_guid) == (0, 5, "i0", True, "n2")


def test_while_the_brake_is_on_nothing_lost_is_replaced_and_nothing_moves() -> None:
    nodes = [replace(NODE, state="DEAD"), replace(OTHER, state="DRAINING"), replace(NODE, guid="n3")]
    rows = [instance(0), instance(1, node_guid="n2")]
    assert len(make_plan(snapshot(instances=rows, nodes=nodes)).place) == 2
    frozen = make_plan(snapshot(instances=rows, nodes=nodes, frozen=True))
    assert (frozen.remove, frozen.retire, frozen.place) == ([], [], [])


def test_what_is_on_a_draining_node_is_started_elsewhere_and_stopped_only_when_that_runs() -> None:
    nodes = [replace(NODE, state="DRAINING"), OTHER]
    rows = [instance(0), instance(1, node_guid="n2")]
    first = make_plan(snapshot(instances=rows, nodes=nodes))
    assert (first.remove, first.retire) == ([], [])
    assert [(one.demand.index, one.demand.epoch, one.node_guid) for one in first.place] == [(0, 2, "n2")]
    rows.append(instance(0, guid="next", node_guid="n2", epoch=2))
    starting = make_plan(snapshot(instances=rows, nodes=nodes))
    assert (starting.remove, starting.retire, starting.place, starting.moving) == ([], [], [], True)
    running = make_plan(snapshot(instances=rows, nodes=nodes, running=frozenset({"next"})))
    assert (running.remove, running.retire, running.place) == ([], ["i0"], [])


def test_a_successor_that_is_lost_before_it_runs_takes_nothing_with_it() -> None:
    nodes = [NODE, replace(OTHER, state="DEAD")]
    rows = [instance(0), instance(0, guid="next", node_guid="n2", epoch=2), instance(1)]
    plan = make_plan(snapshot(instances=rows, nodes=nodes))
    assert (plan.remove, plan.retire, plan.place) == (["next"], [], [])


def test_only_so_many_instances_move_at_once() -> None:
    nodes = [replace(NODE, state="DRAINING"), OTHER]
    rows = [instance(index) for index in range(6)]
    wide = replace(WEB, instances=6)
    assert (
        len(make_plan(snapshot(processes=[wide], instances=rows, nodes=nodes), SchedulerConfig(moves_at_once=2)).place)
        == 2
    )
    rows.append(instance(0, guid="next", node_guid="n2", epoch=2))
    assert (
        len(make_plan(snapshot(processes=[wide], instances=rows, nodes=nodes), SchedulerConfig(moves_at_once=2)).place)
        == 1
    )


def test_a_move_without_room_is_no_lack_of_its_process() -> None:
    plan = make_plan(snapshot(instances=[instance(0), instance(1)], nodes=[replace(NODE, state="DRAINING")]))
    assert (plan.place, plan.reasons) == ([], {})


def test_a_node_that_cannot_be_reached_or_has_just_returned_gets_nothing() -> None:
    for kept in (replace(OTHER, state="RETURNING"), OTHER):
        unreachable = frozenset({"n2"} if kept is OTHER else ())
        rows = [instance(0, node_guid="n2")]
        plan = make_plan(snapshot(instances=rows, nodes=[NODE, kept], unreachable=unreachable))
        assert [(one.demand.index, one.node_guid) for one in plan.place] == [(1, "n1")]


def test_every_process_gets_its_first_instance_before_any_gets_a_second() -> None:
    second = replace(WEB, guid="q", type="worker")
    plan = make_plan(snapshot(processes=[WEB, second], nodes=[replace(NODE, memory_mb=200)]))
    assert sorted((one.demand.process_guid, one.demand.index) for one in plan.place) == [("p", 0), ("q", 0)]
    assert plan.reasons == {"p": "insufficient resources: memory", "q": "insufficient resources: memory"}


def test_a_reason_is_written_once_and_taken_back() -> None:
    known = PlacementFailure(process_guid="p", app_guid="a", reason="insufficient resources: memory")
    full = [replace(NODE, memory_mb=50)]
    assert make_plan(snapshot(nodes=full, failures=[known])).reasons == {}
    assert make_plan(snapshot(failures=[known])).reasons == {"p": None}


def test_builds_go_to_the_node_with_the_fewest() -> None:
    def build(guid: str, **more: object) -> Build:
        return replace(
            Build(guid=guid, app_guid="a", package_guid="k", stack="host", deadline_at="2999-01-01T00:00:00Z"), **more
        )

    builds = [build("b1", node_guid="n1", epoch=1), build("b2"), build("b3")]
    plan = make_plan(snapshot(apps=[], builds=builds))
    assert [(one.build_guid, one.node_guid, one.epoch) for one in plan.assign] == [("b2", "n2", 0), ("b3", "n1", 0)]
    lost = make_plan(snapshot(apps=[], builds=builds[:1], nodes=[replace(NODE, state="DEAD"), OTHER]))
    assert [(one.build_guid, one.node_guid, one.epoch) for one in lost.assign] == [("b1", "n2", 1)]
    assert make_plan(snapshot(apps=[], builds=builds, nodes=[])).assign == []


def lease(node_guid: str, epoch: int = 1, renewals: int = 3) -> Lease:
    return Lease(slot="instance/p/0", node_guid=node_guid, epoch=epoch, duration_s=20, renewals=renewals)


SINGLE = frozenset({"a"})


def test_a_singleton_gets_one_instance_and_says_why_not_more() -> None:
    plan = make_plan(snapshot(singletons=SINGLE))
    assert [(one.demand.index, one.demand.replaces) for one in plan.place] == [(0, None)]
    assert plan.reasons == {"p": "the app is labelled paasd.io/singleton, so only instance 0 runs"}
    grown = make_plan(snapshot(singletons=SINGLE, instances=[instance(0), instance(1)], leases=[lease("n1")]))
    assert (grown.remove, grown.place) == (["i1"], [])


def test_a_singleton_is_not_placed_while_somebody_has_its_lease() -> None:
    plan = make_plan(snapshot(singletons=SINGLE, leases=[lease("n2")]))
    assert (plan.place, plan.waiting) == ([], ["instance/p/0"])
    assert plan.reasons == {"p": "waits until the former instance has surely ended"}
    assert len(make_plan(snapshot(singletons=SINGLE, leases=[lease("")])).place) == 1


def test_a_lost_singleton_goes_first_and_is_not_placed_in_the_same_plan() -> None:
    dead = replace(NODE, state="DEAD")
    plan = make_plan(snapshot(singletons=SINGLE, instances=[instance(0)], nodes=[dead, OTHER], leases=[lease("n1")]))
    assert (plan.lost, plan.place, plan.waiting) == (["i0"], [], ["instance/p/0"])
    frozen = make_plan(
        snapshot(singletons=SINGLE, instances=[instance(0)], nodes=[dead, OTHER], leases=[lease("n1")], frozen=True)
    )
    assert (frozen.lost, frozen.place, frozen.waiting) == ([], [], [])


def test_a_singleton_on_a_draining_node_is_stopped_first_and_only_if_there_is_room_elsewhere() -> None:
    draining = replace(NODE, state="DRAINING")
    rows, held = [instance(0)], [lease("n1")]
    plan = make_plan(snapshot(singletons=SINGLE, instances=rows, nodes=[draining, OTHER], leases=held))
    assert (plan.remove, plan.place) == (["i0"], [])
    full = make_plan(snapshot(singletons=SINGLE, instances=rows, nodes=[draining], leases=held))
    assert (full.remove, full.place) == ([], [])


def test_what_became_a_singleton_while_it_ran_is_given_a_lease_and_what_lost_it_is_taken_away() -> None:
    plan = make_plan(snapshot(singletons=SINGLE, instances=[instance(0)]))
    assert (plan.lease, plan.remove) == (["i0"], [])
    lost = make_plan(snapshot(singletons=SINGLE, instances=[instance(0)], leases=[lease("n2", epoch=2)]))
    assert (lost.lease, lost.remove, lost.place) == ([], ["i0"], [])


def test_a_successor_that_takes_too_long_is_given_up_and_a_drain_goes_on_without_it() -> None:
    rows = [instance(0), instance(0, guid="next", node_guid="n2", epoch=2), instance(1)]
    moved = make_plan(snapshot(instances=rows, overdue=frozenset({"next"})))
    assert (moved.remove, moved.retire) == (["next"], [])
    draining = [replace(NODE, state="DRAINING"), OTHER]
    drained = make_plan(snapshot(instances=rows[:2], nodes=draining, overdue=frozenset({"next"})))
    assert (drained.remove, drained.retire) == ([], ["i0"])


def test_a_new_node_gets_something_when_it_is_calm_and_never_more_than_the_share() -> None:
    wide = replace(WEB, instances=8)
    rows = [instance(index) for index in range(8)]
    uneven = snapshot(processes=[wide], instances=rows, nodes=[NODE, replace(OTHER, zone="b")])
    assert make_plan(uneven).place == []
    calm = replace(uneven, calm=True)
    assert len(make_plan(calm).place) == 1, "5 % of 8, one at least"
    some = make_plan(calm, SchedulerConfig(rebalance_share=0.25))
    assert [(one.demand.epoch, one.node_guid) for one in some.place] == [(2, "n2")] * 2
    assert make_plan(calm, SchedulerConfig(rebalance_share=0.0)).place == []
    under_way = [*rows, instance(7, guid="next", node_guid="n2", epoch=2)]
    assert make_plan(replace(calm, instances=under_way)).place == []
    assert make_plan(replace(calm, frozen=True)).place == []


def test_control_nodes_are_spared_while_there_are_workers() -> None:
    spared = SchedulerConfig(apps_on_control=False)
    worker = replace(OTHER, role="worker")
    plan = make_plan(snapshot(nodes=[NODE, worker]), spared)
    assert {one.node_guid for one in plan.place} == {"n2"}
    assert len(make_plan(snapshot(nodes=[NODE]), spared).place) == 2


def test_a_plan_does_not_grow_with_what_is_wanted_and_has_no_room() -> None:
    none_is_smaller = [
        replace(WEB, guid=f"p{number}", instances=1000, memory_mb=9000 + number, disk_mb=9000 - number)
        for number in range(30)
    ]
    rows = snapshot(processes=none_is_smaller)
    tracemalloc.start()
    try:
        plan = make_plan(rows)
        most_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(plan.reasons) == 30 and plan.place == []
    assert most_bytes < 500_000, "30,000 demands would be ten times that"


def test_what_is_lost_is_placed_though_the_room_for_more_of_its_process_is_used_up() -> None:
    rows = [instance(index, node_guid="n1") for index in range(9)] + [instance(15, node_guid="n3")]
    plan = make_plan(
        snapshot(processes=[replace(WEB, instances=40)], instances=rows, nodes=[NODE, replace(OTHER, zone="b")]),
        SchedulerConfig(headroom=0.1),
    )
    assert ("i15", 15) in [(one.demand.replaces, one.demand.index) for one in plan.place]
    assert plan.reasons["p"].startswith("insufficient resources")


def test_what_is_wanted_counts_for_the_size_of_a_plan() -> None:
    assert snapshot(processes=[replace(WEB, instances=1000)] * 3, instances=[instance(0)]).size == 3001
