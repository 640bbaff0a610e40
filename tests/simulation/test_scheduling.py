"""Whole clusters in storms: real databases, schedulers, liveness and lease holders under cuts, pauses and losses.

At every moment at most one instance of a singleton is alive. Ten seconds after the storm nothing serves that was
replaced, and soon everything runs where it should, once. A failing seed fails again in the same way.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import trio

from paasd.errors import PaasdError
from paasd.model.arguments import SYSTEM
from paasd.model.brake import read_brake
from paasd.model.draining import DrainNode, drain_node, undrain_node
from paasd.state.checking import contents
from tests.scheduler.cluster import Cluster, open_cluster
from tests.scheduler.test_cut_off import restart
from tests.virtual.running import run_virtually

ZONES = {"a1": "a", "a2": "a", "b1": "b", "b2": "b", "c1": "c", "c2": "c"}
APPS = {"dora": 4, "web": 2}
SINGLES = ["one", "two"]
STEPS = 12
HEALED_S = 10.0
SHARE = 50
"""Of the seeds of the quick simulations one in so many is played here: a storm takes seconds."""


async def storm(seed: int, folder: Path) -> None:
    random = Random(seed)
    async with open_cluster(folder, ZONES, voters=["a1", "b1", "c1"], apps=APPS, singles=SINGLES, seed=seed) as cluster:
        for node in cluster.nodes.values():
            node.clock_rate = random.uniform(0.96, 1.04)
        for _ in range(STEPS):
            await random.choice(FAULTS)(cluster, random)
            await trio.sleep(random.uniform(0.5, 25))
            alive = {guid: count for guid, count in cluster.most_alive.items() if guid.removesuffix("-web") in SINGLES}
            assert all(count <= 1 for count in alive.values()), f"seed {seed}: a singleton ran twice: {alive}"
        await check_peace(cluster, seed)


async def check_peace(cluster: Cluster, seed: int) -> None:
    cluster.network.heal()
    cluster.network.paused.clear()
    cluster.network.down.clear()
    await trio.sleep(HEALED_S)
    rows = {(row.guid, row.epoch) for row in cluster.rows()}
    stale = [f for node in cluster.nodes.values() for f in node.facts.values() if f.routable]
    stale = [fact for fact in stale if (fact.instance_guid, fact.epoch) not in rows]
    assert not stale, f"seed {seed}: replaced ones serve: {stale}"
    # One that was drained, lost and found again drains on.
    await cluster.until(lambda: {cluster.state(guid) for guid in ZONES} <= {"READY", "DRAINING"}, 900)
    for guid in cluster.nodes:
        if cluster.state(guid) == "DRAINING":
            await cluster.reader.write(undrain_node, DrainNode(node_guid=guid, actor=SYSTEM))
    await cluster.until(lambda: settled(cluster), 900)
    await cluster.settled()
    first, *others = (contents(node.database.path) for node in cluster.nodes.values())
    assert all(other == first for other in others), f"seed {seed}: replicas differ"


def settled(cluster: Cluster) -> bool:
    """Everything runs once, on nodes that are ready."""
    with cluster.reader.read() as tx:
        if read_brake(tx).engaged:
            return False
    rows = sorted((row.process_guid, row.index) for row in cluster.rows())
    wanted = [
        (f"{name}-web", index)
        for name, count in {**APPS, **dict.fromkeys(SINGLES, 1)}.items()
        for index in range(count)
    ]
    serving = all(len(cluster.serving(f"{name}-web")) == count for name, count in APPS.items())
    singles = all(len(cluster.serving(f"{name}-web")) == 1 for name in SINGLES)
    return rows == sorted(wanted) and serving and singles and {cluster.state(guid) for guid in ZONES} == {"READY"}


async def isolate(cluster: Cluster, random: Random) -> None:
    cluster.network.isolate(random.choice(list(ZONES)))


async def isolate_zone(cluster: Cluster, random: Random) -> None:
    zone = random.choice("abc")
    cluster.network.isolate(f"{zone}1", f"{zone}2")


async def cut_one_way(cluster: Cluster, random: Random) -> None:
    one, *others = random.sample(list(ZONES), random.randint(2, 6))
    ways = ([one], others) if random.random() < 0.5 else (others, [one])
    cluster.network.cut(*ways, both=False)


async def pause(cluster: Cluster, random: Random) -> None:
    cluster.network.paused.add(random.choice(list(ZONES)))


async def kill(cluster: Cluster, random: Random) -> None:
    cluster.kill(random.choice(list(ZONES)))


async def heal(cluster: Cluster, random: Random) -> None:
    cluster.network.heal()
    cluster.network.paused.clear()
    cluster.network.down.clear()


async def roll_out(cluster: Cluster, random: Random) -> None:
    await attempt(cluster, random, lambda node: node.write(restart, DrainNode(node_guid="", actor=SYSTEM), timeout_s=5))


async def drain(cluster: Cluster, random: Random) -> None:
    change = DrainNode(node_guid=random.choice(list(ZONES)), actor=SYSTEM)
    operation = random.choice([drain_node, undrain_node])
    await attempt(cluster, random, lambda node: node.write(operation, change, timeout_s=5))


async def attempt(cluster: Cluster, random: Random, write: Callable[..., Awaitable[object]]) -> None:
    """Through any node; what is refused is refused."""
    try:
        await write(cluster.nodes[random.choice(list(ZONES))].database)
    except PaasdError:
        return


FAULTS = [isolate, isolate_zone, cut_one_way, pause, kill, heal, heal, roll_out, drain]


def test_storms_pass_and_leave_everything_running_once(seeds: range, tmp_path: Path) -> None:
    for seed in seeds[::SHARE]:
        run_virtually(seed, storm, seed, tmp_path / str(seed), limit_s=7200)
