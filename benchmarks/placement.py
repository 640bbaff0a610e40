"""Placement decisions per second, on a cluster that is full of instances, beside a scan of every node for each.

    python benchmarks/placement.py [--nodes 1000] [--instances 250000] [--demands 20000]

Measured are demands one by one (new instances; lost ones), and whole plans from rows as the scheduler makes them: when
nothing is to be done, when a node or a zone is lost, and when a node has joined. The peer is the plain way of doing it:
look at all nodes for each demand and take the best by the same rule. The budget is 10,000 decisions a second with 1,000
nodes and 250,000 instances.
"""

import argparse
import gc
import random
import time
from collections import Counter
from collections.abc import Callable

from msgspec.structs import replace

from paasd.config import SchedulerConfig
from paasd.model import App, Instance, Node, Process
from paasd.scheduler.desired import Snapshot, make_plan
from paasd.scheduler.placement import Demand, NodeCapacity, place

ZONES = 3
MEMORY_MB = 256
BUDGET_PER_S = 10_000
PEER_DEMANDS = 200


def build(nodes: int, instances: int) -> Snapshot:
    """Nodes in three zones, two thirds full; processes of 1 to 30 instances, spread over them."""
    chance = random.Random(1)
    share = instances // nodes
    rows = [
        Node(
            guid=f"n{n}",
            name=f"n{n}",
            zone=f"z{n % ZONES}",
            memory_mb=share * MEMORY_MB * 3 // 2,
            disk_mb=10**9,
            cpus=8,
        )
        for n in range(nodes)
    ]
    apps: list[App] = []
    processes: list[Process] = []
    placed: list[Instance] = []
    while len(placed) < instances:
        guid = f"p{len(processes)}"
        count = min(chance.randint(1, 30), instances - len(placed))
        apps.append(App(guid=guid, name=guid, space_guid="s", state="STARTED", droplet_guid="d", version=1))
        processes.append(
            Process(guid=guid, app_guid=guid, type="web", instances=count, memory_mb=MEMORY_MB, disk_mb=64)
        )
        first = chance.randrange(nodes)
        placed += [
            Instance(
                guid=f"{guid}-{index}",
                app_guid=guid,
                process_guid=guid,
                process_type="web",
                index=index,
                app_version=1,
                droplet_guid="d",
                node_guid=f"n{(first + index) % nodes}",
                memory_mb=MEMORY_MB,
                disk_mb=64,
            )
            for index in range(count)
        ]
    return Snapshot(apps=apps, processes=processes, instances=placed, nodes=rows, builds=[], failures=[])


def capacities(snapshot: Snapshot) -> list[NodeCapacity]:
    used = Counter(instance.node_guid for instance in snapshot.instances)
    return [
        NodeCapacity(
            guid=node.guid,
            zone=node.zone,
            memory_mb=node.memory_mb,
            disk_mb=node.disk_mb,
            used_memory_mb=used[node.guid] * MEMORY_MB,
            used_disk_mb=used[node.guid] * 64,
        )
        for node in snapshot.nodes
    ]


def demands(count: int, *, lost: bool = False) -> list[Demand]:
    return [
        Demand(
            process_guid=f"new{number // 10}",
            index=number % 10,
            app_version=1,
            memory_mb=MEMORY_MB,
            disk_mb=64,
            replaces="old" if lost else None,
            lost=lost,
        )
        for number in range(count)
    ]


def scan(wanted: list[Demand], nodes: list[NodeCapacity], headroom: float) -> int:
    """The peer: the same rule without any index."""
    on_node: Counter[tuple[str, str]] = Counter()
    in_zone: Counter[tuple[str, str]] = Counter()
    found = 0
    for demand in wanted:
        fitting = [node for node in nodes if node.fits(demand, headroom)]
        if not fitting:
            continue
        process = demand.process_guid
        best = min(fitting, key=lambda n: (in_zone[process, n.zone], on_node[process, n.guid], n.load))
        best.used_memory_mb += demand.memory_mb
        best.used_disk_mb += demand.disk_mb
        on_node[process, best.guid] += 1
        in_zone[process, best.zone] += 1
        found += 1
    return found


def timed(function: Callable[[], int]) -> tuple[int, float]:
    gc.collect()
    gc.disable()
    began = time.perf_counter()
    count = function()
    took_s = time.perf_counter() - began
    gc.enable()
    return count, took_s


def report(what: str, count: int, took_s: float, budget: bool = True) -> None:
    rate = count / took_s
    verdict = "" if not budget else f"   budget {BUDGET_PER_S:,}/s: {'met' if rate >= BUDGET_PER_S else 'MISSED'}"
    print(f"{what:<46} {count:>8,} in {took_s:7.3f} s = {rate:>10,.0f}/s{verdict}")


def decisions(snapshot: Snapshot, config: SchedulerConfig, number: int, *, lost: bool) -> None:
    """Demands one after the other on the full cluster, its instances counted anew each time."""
    present = [(one.process_guid, one.node_guid) for one in snapshot.instances]
    nodes, wanted = capacities(snapshot), demands(number, lost=lost)
    count, took_s = timed(lambda: len(place(wanted, nodes, present, headroom=config.headroom)[0]))
    report("decisions, lost ones replaced" if lost else "decisions, new instances", count, took_s)
    ours = count / took_s
    count, took_s = timed(lambda: scan(demands(PEER_DEMANDS, lost=lost), capacities(snapshot), config.headroom))
    report("  peer: scan of all nodes for each", count, took_s, budget=False)
    print(f"  ratio {ours * took_s / count:,.0f} times the peer")


def plans(snapshot: Snapshot, config: SchedulerConfig) -> None:
    """What a pass costs; its decisions are all slots that it looks at."""
    count = len(snapshot.instances)
    _, took_s = timed(lambda: len(make_plan(snapshot, config).place))
    report("whole plan, nothing to do (slots judged)", count, took_s)
    lost = replace(snapshot, nodes=[replace(snapshot.nodes[0], state="DEAD"), *snapshot.nodes[1:]])
    placed, took_s = timed(lambda: len(make_plan(lost, config).place))
    report(f"whole plan, a node lost ({placed:,} replaced)", count, took_s)
    zone = replace(snapshot, nodes=[replace(one, state="DEAD") if one.zone == "z0" else one for one in snapshot.nodes])
    placed, took_s = timed(lambda: len(make_plan(zone, config).place))
    report(f"whole plan, a zone lost ({placed:,} replaced)", count, took_s)
    empty = Node(guid="fresh", name="fresh", zone="z0", memory_mb=snapshot.nodes[0].memory_mb, disk_mb=10**9, cpus=8)
    joined = replace(snapshot, nodes=[*snapshot.nodes, empty], calm=True)
    placed, took_s = timed(lambda: len(make_plan(joined, config).place))
    report(f"whole plan, a node joined ({placed:,} moves)", count, took_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--instances", type=int, default=250_000)
    parser.add_argument("--demands", type=int, default=20_000)
    options = parser.parse_args()
    config = SchedulerConfig()
    snapshot = build(options.nodes, options.instances)
    print(
        f"{len(snapshot.nodes):,} nodes, {len(snapshot.instances):,} instances, {len(snapshot.processes):,} processes"
    )
    for lost in (False, True):
        decisions(snapshot, config, options.demands, lost=lost)
    plans(snapshot, config)


if __name__ == "__main__":
    main()
