"""Placement as a pure function: spread, capacity, speed."""

import random
import time
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from paasd.scheduler import Demand, NodeCapacity, place
from paasd.scheduler.demands import Demands
from paasd.scheduler.placement import _Hopeless


def node(number: int, zone: str = "a", memory_mb: int = 1000, **more: int) -> NodeCapacity:
    return NodeCapacity(guid=f"n{number}", zone=zone, memory_mb=memory_mb, disk_mb=10_000, **more)


def demands(count: int, process: str = "p", memory_mb: int = 100) -> list[Demand]:
    return [
        Demand(process_guid=process, index=index, app_version=1, memory_mb=memory_mb, disk_mb=100)
        for index in range(count)
    ]


def test_instances_of_a_process_spread_over_zones_then_nodes() -> None:
    nodes = [node(1, "a"), node(2, "a"), node(3, "b"), node(4, "b")]
    placed, failed = place(demands(4), nodes)
    assert not failed
    assert sorted(one.node_guid for one in placed) == ["n1", "n2", "n3", "n4"]
    assert {one.node_guid for one in placed[:2]} & {"n1", "n2"} and {one.node_guid for one in placed[:2]} & {"n3", "n4"}


def test_the_least_loaded_node_is_taken() -> None:
    placed, _ = place(demands(1), [node(1, used_memory_mb=500), node(2, used_memory_mb=100)])
    assert placed[0].node_guid == "n2"


def test_instances_that_stay_count_for_the_spread() -> None:
    nodes = [node(1, used_memory_mb=100), node(2, used_memory_mb=300)]
    placed, _ = place(demands(1), nodes, [("p", "n1")])
    assert placed[0].node_guid == "n2"


def test_what_fits_nowhere_fails_and_says_what_is_short() -> None:
    placed, failed = place(demands(3, memory_mb=600), [node(1), node(2)])
    assert len(placed) == 2
    assert [one.reason for one in failed] == ["insufficient resources: memory"]


def test_a_smaller_demand_still_finds_room_after_a_large_one_failed() -> None:
    placed, failed = place([*demands(1, "big", 2000), *demands(1, "small")], [node(1)])
    assert [one.demand.process_guid for one in placed] == ["small"]
    assert [one.demand.process_guid for one in failed] == ["big"]


def test_a_large_node_is_found_behind_many_small_ones() -> None:
    nodes = [*(node(number, memory_mb=50) for number in range(20)), node(99, memory_mb=1000, used_memory_mb=800)]
    placed, _ = place(demands(1), nodes)
    assert placed[0].node_guid == "n99"


def test_without_nodes_the_reason_is_that_there_are_none() -> None:
    _, failed = place(demands(1), [])
    assert failed[0].reason == "insufficient resources: no node is ready"


def test_the_headroom_is_for_what_was_lost_elsewhere_and_only_where_there_are_zones() -> None:
    def zones() -> list[NodeCapacity]:
        return [node(1, "a"), node(2, "b")]

    placed, failed = place(demands(20), zones(), headroom=0.2)
    assert (len(placed), len(failed)) == (16, 4)
    assert "20% of every node is kept" in failed[0].reason
    lost = [replace(one, replaces="i", lost=True) for one in demands(20)]
    assert len(place(lost, zones(), headroom=0.2)[0]) == 20
    both, _ = place([*demands(20), *(replace(one, process_guid="q") for one in lost)], zones(), headroom=0.2)
    assert len(both) == 20, "that an ordinary one fits nowhere says nothing about an urgent one"
    assert len(place(demands(10), [node(1)], headroom=0.2)[0]) == 10


def test_an_app_that_is_bound_to_zones_runs_in_no_other() -> None:
    nodes = [node(1, "aws/a"), node(2, "aws/b"), node(3, "gcp/a")]
    bound = [replace(one, zones=("aws/*",)) for one in demands(6)]
    placed, failed = place(bound, nodes)
    assert Counter(one.node_guid for one in placed) == {"n1": 3, "n2": 3}
    nowhere, failed = place([replace(one, zones=("dc1/*",)) for one in demands(1)], nodes)
    assert not nowhere and failed[0].reason == "insufficient resources: no node is ready in the zones dc1/*"
    full = [replace(one, zones=("gcp/a",)) for one in demands(1, memory_mb=2000)]
    placed, _ = place([*full, *demands(1)], nodes)
    assert len(placed) == 1


def test_of_what_fits_nowhere_only_the_first_of_a_run_is_looked_at() -> None:
    wanted = Demands([iter(demands(1000, "big", 600)), iter(demands(1000, "huge", 5000)), iter(demands(3, "small"))])
    placed, failed = place(wanted, [node(1)], give_up=wanted.give_up)
    assert [one.demand.process_guid for one in failed] == ["huge", "big"]
    assert [(one.demand.process_guid, one.demand.index) for one in placed] == [
        ("big", 0),
        ("small", 0),
        ("small", 1),
        ("small", 2),
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=60))
def test_what_is_hopeless_is_what_is_no_smaller_than_something_that_was(sizes: list[tuple[int, int, bool]]) -> None:
    hopeless = _Hopeless()
    known: list[Demand] = []
    for memory_mb, disk_mb, urgent in sizes:
        one = Demand(
            process_guid="p",
            index=0,
            app_version=1,
            memory_mb=memory_mb,
            disk_mb=disk_mb,
            replaces="i" if urgent else None,
        )
        expected = any(
            memory_mb >= other.memory_mb and disk_mb >= other.disk_mb and (other.urgent or not urgent)
            for other in known
        )
        assert (one in hopeless) == expected
        if not expected:
            hopeless.add(one)
            known.append(one)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(0, 80))
def test_no_node_is_ever_overfilled_and_nothing_is_lost(seed: int, nodes: int, count: int) -> None:
    chance = random.Random(seed)
    cluster = [
        node(n, chance.choice("abc"), chance.choice([200, 1000, 3000]), used_memory_mb=chance.randrange(200))
        for n in range(nodes)
    ]
    wanted = [
        Demand(
            process_guid=f"p{chance.randrange(5)}",
            index=i,
            app_version=1,
            memory_mb=chance.choice([50, 200, 900]),
            disk_mb=chance.choice([10, 5000]),
        )
        for i in range(count)
    ]
    placed, failed = place(wanted, cluster)
    assert len(placed) + len(failed) == len(wanted)
    for one in cluster:
        assert one.used_memory_mb <= one.memory_mb and one.used_disk_mb <= one.disk_mb
    for failure in failed:
        assert not any(one.fits(failure.demand) for one in cluster)


def test_a_thousand_equal_nodes_are_filled_evenly() -> None:
    nodes = [node(n, f"z{n % 3}", 100_000) for n in range(1000)]
    wanted = [one for process in range(500) for one in demands(10, f"p{process}")]
    began = time.perf_counter()
    placed, failed = place(wanted, nodes)
    took_s = time.perf_counter() - began
    assert not failed
    assert set(Counter(one.node_guid for one in placed).values()) <= {4, 5, 6}
    # The budget is 10,000 a second; here only a change of order (a scan of all nodes each time) is to be noticed.
    assert len(placed) / took_s > 1_000
