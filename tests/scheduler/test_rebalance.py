"""Evening out: what is worth a move, and what is not."""

from collections import Counter

from paasd.config import SchedulerConfig
from paasd.model import Instance, Node, Process
from paasd.scheduler.patience import Patience
from paasd.scheduler.placement import NodeCapacity, Placed
from paasd.scheduler.rebalance import Rebalancing, at_once, demands_of
from tests.scheduler.test_placement import node

CONFIG = SchedulerConfig(rebalance_after_s=60, move_patience_s=600)


def world(
    where: dict[str, str], nodes: list[NodeCapacity], *, memory_mb: int = 100, zones: tuple[str, ...] = ()
) -> Rebalancing:
    """`where` has the nodes of each process's instances, in a word: `{"p": "1 1 2"}`."""
    processes = {guid: Process(guid=guid, app_guid=guid, type="web", memory_mb=memory_mb, disk_mb=10) for guid in where}
    rows = [
        Instance(
            guid=f"{process}{index}",
            app_guid=process,
            process_guid=process,
            process_type="web",
            index=index,
            app_version=1,
            droplet_guid="d",
            node_guid=f"n{number}",
            memory_mb=memory_mb,
            disk_mb=10,
        )
        for process, numbers in where.items()
        for index, number in enumerate(numbers.split())
    ]
    for row in rows:
        home = next(one for one in nodes if one.guid == row.node_guid)
        home.used_memory_mb += memory_mb
        home.used_disk_mb += 10
    patterns = dict.fromkeys(where, zones) if zones else {}
    return Rebalancing(nodes, rows, demands_of(processes, patterns), headroom=0.1, difference=0.25)


def homes(moved: list[Placed]) -> Counter[str]:
    return Counter(one.node_guid for one in moved)


def test_a_zone_that_came_back_gets_its_part_of_every_process() -> None:
    nodes = [node(1, "a"), node(2, "b"), node(3, "c")]
    moved = world({"p": "1 1 2 2", "q": "1 2"}, nodes).moves(100)
    assert homes(moved) == {"n3": 1} and moved[0].demand.process_guid == "p"
    assert moved[0].demand.moves


def test_one_more_in_one_zone_than_in_another_is_even() -> None:
    assert world({"p": "1 2 1"}, [node(1, "a"), node(2, "b")]).moves(100) == []


def test_a_node_that_joined_takes_from_the_fullest_until_they_differ_little() -> None:
    nodes = [node(1), node(2), node(3)]
    moved = world({f"p{number}": "1" if number < 8 else "2" for number in range(12)}, nodes).moves(100)
    assert set(homes(moved)) == {"n3"}
    loads = [one.load for one in nodes]
    assert max(loads) - min(loads) <= 0.25


def test_little_difference_is_not_worth_a_move() -> None:
    assert world({"p": "1", "q": "1"}, [node(1), node(2)]).moves(100) == []


def test_never_more_than_the_limit_are_moved() -> None:
    nodes = [node(1), node(2)]
    assert len(world({f"p{number}": "1" for number in range(10)}, nodes).moves(2)) == 2
    assert (at_once(0.05, 1000, 0), at_once(0.05, 1000, 30), at_once(0.05, 3, 0), at_once(0.0, 9, 0)) == (50, 20, 1, 0)


def test_a_large_instance_is_not_thrown_to_and_fro() -> None:
    assert world({"p": "1"}, [node(1), node(2)], memory_mb=800).moves(100) == []


def test_no_move_leaves_the_zones_of_its_app_or_fills_the_headroom() -> None:
    nodes = [node(1, "a"), node(2, "b")]
    assert world({"p": "1 1 1 1"}, nodes, zones=("a",)).moves(100) == []
    nodes = [node(1, "a"), node(2, "b", used_memory_mb=850)]
    assert world({"p": "1 1 1"}, nodes).moves(100) == []


def row(state: str = "READY", incarnation: int = 1) -> Node:
    return Node(guid="n", name="n", zone="a", memory_mb=1, disk_mb=1, cpus=1, state=state, incarnation=incarnation)


def test_it_is_calm_when_the_nodes_were_steady_for_a_while() -> None:
    patience = Patience(CONFIG)
    patience.see_nodes(0.0, [row()], frozenset())
    assert (patience.calm(59.0), patience.calm(60.0)) == (False, True)
    patience.see_nodes(70.0, [row()], frozenset({"n"}))
    assert (patience.calm(129.0), patience.calm(130.0)) == (False, True)
    patience.see_nodes(140.0, [row("DRAINING")], frozenset())
    patience.see_nodes(141.0, [row("DRAINING", 2)], frozenset())
    assert (patience.calm(200.0), patience.calm(201.0)) == (False, True)


def test_a_successor_is_overdue_after_its_time_and_then_nothing_is_tried_for_long() -> None:
    patience = Patience(CONFIG)
    patience.see_nodes(0.0, [row()], frozenset())
    patience.see_successors(100.0, ["one"])
    patience.see_successors(400.0, ["one", "two"])
    assert patience.overdue(699.0) == frozenset()
    assert patience.overdue(700.0) == {"one"}
    patience.see_successors(700.0, ["two"])
    assert patience.overdue(700.0) == frozenset()
    assert (patience.calm(1300.0), patience.calm(1360.0)) == (False, True)
