"""The rows of docs/cut-off-nodes.md, each played in virtual time."""

from pathlib import Path

import pytest
import trio

from paasd.errors import PaasdError
from paasd.model import App, Build, Node
from paasd.model.arguments import SYSTEM
from paasd.model.brake import ReleaseBrake, read_brake, release_brake
from paasd.model.builds import FailBuild, fail_build
from paasd.model.draining import DrainNode, drain_node, undrain_node
from paasd.model.liveness import DeclareDeadByHand, declare_dead_by_hand
from paasd.model.settings import PutSetting, put_setting
from paasd.state import Tx, operation
from tests.scheduler.cluster import LEASE_S, Cluster, open_cluster

THREE = {"a1": "a", "b1": "b", "c1": "c"}
TWO_ZONES = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}
THREE_ZONES = {"a1": "a", "a2": "a", "b1": "b", "b2": "b", "c1": "c", "c2": "c"}
HEALED_S = 10.0


@operation("test.stage", version=1)
def stage(tx: Tx, args: DrainNode) -> Build:
    """A build that the node works on."""
    return tx.insert(
        Build(
            guid="build",
            app_guid="dora",
            package_guid="p",
            stack="host",
            deadline_at="2999-01-01T00:00:00Z",
            node_guid=args.node_guid,
            epoch=1,
        )
    )


@operation("test.restart", version=1)
def restart(tx: Tx, args: DrainNode) -> None:
    """A new version of the app; the node's guid is not looked at."""
    for app in tx.all(App):
        tx.update(app, version=app.version + 1)


def engaged(cluster: Cluster) -> bool:
    with cluster.reader.read() as tx:
        return read_brake(tx).engaged


async def declared_dead(cluster: Cluster, node: str) -> None:
    await cluster.until(lambda: cluster.state(node) == "DEAD", 15)


async def refused(cluster: Cluster, node: str) -> bool:
    """Whether a write there fails with nothing changed."""
    try:
        await cluster.nodes[node].database.write(put_setting, PutSetting(name="n", value=node), timeout_s=5)
    except PaasdError:
        return True
    return False


async def test_one_of_three_stateless_instances_go_on_there_and_are_replaced_here(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with open_cluster(tmp_path, THREE, apps={"dora": 3}) as cluster:
        cluster.network.isolate("c1")
        await declared_dead(cluster, "c1")
        await cluster.until(lambda: all(row.node_guid != "c1" for row in cluster.rows()), 5)
        await trio.sleep(60)
        assert len([fact for fact in cluster.nodes["c1"].facts.values() if fact.routable]) == 1
        assert cluster.least_serving == {"dora-web": 3}
        cluster.network.heal()
        assert await cluster.until(lambda: not cluster.nodes["c1"].facts, HEALED_S) <= HEALED_S
        assert sorted(cluster.serving("dora-web")) == [0, 1, 2]


async def test_one_of_three_writes_fail_there_and_succeed_here_and_reads_go_on_there(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with open_cluster(tmp_path, THREE) as cluster:
        cluster.network.isolate("c1")
        await trio.sleep(1)
        assert await refused(cluster, "c1")
        assert not await refused(cluster, "a1")
        with cluster.nodes["c1"].database.read() as tx:
            assert tx.count(Node) == 3
        cluster.network.heal()
        await trio.sleep(5)
        assert not await refused(cluster, "c1")


async def test_one_of_three_new_pushes_run_on_the_others(tmp_path: Path, autojump_clock: object) -> None:
    async with open_cluster(tmp_path, THREE, apps={"dora": 3}) as cluster:
        cluster.network.isolate("c1")
        await trio.sleep(6)
        await cluster.nodes["a1"].database.write(restart, DrainNode(node_guid="", actor=SYSTEM))
        await cluster.until(lambda: len([row for row in cluster.rows() if row.app_version == 2]) == 3, 15)
        assert all(row.node_guid != "c1" for row in cluster.rows())


async def test_one_of_three_its_build_begins_anew_elsewhere_and_its_report_is_void(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with open_cluster(tmp_path, THREE) as cluster:
        await cluster.nodes["a1"].database.write(stage, DrainNode(node_guid="c1", actor=SYSTEM))
        cluster.network.isolate("c1")
        await cluster.until(lambda: cluster.build("build").node_guid != "c1", 15)
        assert cluster.build("build").epoch == 2
        cluster.network.heal()
        report = FailBuild(build_guid="build", node_guid="c1", epoch=1, error="StagingError - late")
        await trio.sleep(5)
        assert not await cluster.nodes["c1"].database.write(fail_build, report)
        assert cluster.build("build").state == "STAGING"


async def test_one_of_three_a_singleton_ends_there_with_its_lease_and_begins_here_after_it(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with open_cluster(tmp_path, THREE, apps={}, singles=["one"]) as cluster:
        [home] = cluster.serving("one-web").values()
        cluster.network.isolate(home)
        ended_s = await cluster.until(lambda: not any(f.address for f in cluster.nodes[home].facts.values()), 60)
        assert LEASE_S * 0.5 <= ended_s <= LEASE_S
        again_s = await cluster.until(lambda: bool(cluster.serving("one-web")), 60)
        assert ended_s + again_s >= LEASE_S
        [now] = cluster.serving("one-web").values()
        assert now != home
        cluster.network.heal()
        await trio.sleep(60)
        assert cluster.serving("one-web") == {0: now}
        assert cluster.most_alive == {"one-web": 1}


async def test_a_singleton_that_is_lost_with_its_node_waits_for_its_lease_too(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with open_cluster(tmp_path, THREE, apps={}, singles=["one"]) as cluster:
        [home] = cluster.serving("one-web").values()
        cluster.kill(home)
        took_s = await cluster.until(lambda: bool(cluster.serving("one-web")), 60)
        assert LEASE_S * 0.75 <= took_s <= LEASE_S + 2 + 5


async def test_a_rollout_and_a_drain_of_a_singleton_stop_first(tmp_path: Path, autojump_clock: object) -> None:
    async with open_cluster(tmp_path, THREE, apps={}, singles=["one"]) as cluster:
        [home] = cluster.serving("one-web").values()
        database = cluster.nodes["a1"].database
        await database.write(restart, DrainNode(node_guid="", actor=SYSTEM))
        await cluster.until(lambda: [row.app_version for row in cluster.rows()] == [2], 20)
        took_s = await cluster.until(lambda: bool(cluster.serving("one-web")), 30)
        assert took_s < LEASE_S / 2, "a lease that was given back is not waited for"
        [home] = cluster.serving("one-web").values()
        await database.write(drain_node, DrainNode(node_guid=home, actor=SYSTEM))
        await cluster.until(lambda: set(cluster.serving("one-web").values()) not in ({home}, set()), 30)
        assert cluster.most_alive == {"one-web": 1}


@pytest.mark.parametrize("rate", [0.93, 1.07])
async def test_clocks_that_run_at_different_speeds_are_within_the_margin(
    tmp_path: Path, autojump_clock: object, rate: float
) -> None:
    async with open_cluster(tmp_path, THREE, apps={}, singles=["one"]) as cluster:
        [home] = cluster.serving("one-web").values()
        cluster.nodes[home].clock_rate = rate
        await trio.sleep(LEASE_S)
        cluster.network.isolate(home)
        await cluster.until(lambda: bool(set(cluster.serving("one-web").values()) - {home}), 90)
        assert cluster.most_alive == {"one-web": 1}


async def test_two_nodes_nobody_is_declared_dead_and_a_singleton_waits_for_a_person(
    tmp_path: Path, autojump_clock: object
) -> None:
    zones = {"a1": "a", "b1": "b"}
    async with open_cluster(tmp_path, zones, voters=["a1"], apps={"dora": 2}, singles=["one"]) as cluster:
        await cluster.nodes["a1"].database.write(drain_node, DrainNode(node_guid="a1", actor=SYSTEM))
        await cluster.until(lambda: set(cluster.serving("one-web").values()) == {"b1"}, 60)
        cluster.network.isolate("b1")
        await trio.sleep(120)
        assert cluster.state("b1") == "READY"
        assert sorted(cluster.serving("dora-web").values()) == ["b1", "b1"], "stateless ones go on"
        assert cluster.serving("one-web") == {}, "the lease has ended; whether the other lives nobody here can know"
        await cluster.nodes["a1"].database.write(declare_dead_by_hand, DeclareDeadByHand(node_guid="b1", actor=SYSTEM))
        await cluster.nodes["a1"].database.write(undrain_node, DrainNode(node_guid="a1", actor=SYSTEM))
        await cluster.until(lambda: cluster.serving("one-web") == {0: "a1"}, 60)
        assert cluster.most_alive["one-web"] == 1


async def test_two_zones_a_whole_zone_is_not_replaced_until_somebody_says_so(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with open_cluster(tmp_path, TWO_ZONES, voters=["a1", "a2", "b1"], apps={"dora": 4}) as cluster:
        cluster.network.isolate("b1", "b2")
        await cluster.until(lambda: engaged(cluster), 15)
        await trio.sleep(60)
        assert sum(row.node_guid in ("b1", "b2") for row in cluster.rows()) == 2
        assert sum(len(cluster.nodes[node].facts) for node in ("b1", "b2")) == 2, "they go on serving their side"
        await cluster.nodes["a1"].database.write(release_brake, ReleaseBrake(by_operator=True, actor=SYSTEM))
        await cluster.until(lambda: all(row.node_guid in ("a1", "a2") for row in cluster.rows()), 15)


async def test_three_zones_a_whole_zone_is_replaced_without_asking(tmp_path: Path, autojump_clock: object) -> None:
    async with open_cluster(tmp_path, THREE_ZONES, voters=["a1", "b1", "c1"], apps={"dora": 6}) as cluster:
        cluster.network.isolate("c1", "c2")
        await cluster.until(lambda: all(row.node_guid not in ("c1", "c2") for row in cluster.rows()), 15)
        assert not engaged(cluster)
        cluster.network.heal()
        await cluster.until(lambda: not cluster.nodes["c1"].facts and not cluster.nodes["c2"].facts, HEALED_S)


@pytest.mark.parametrize("heard", [False, True])
async def test_a_one_way_cut_counts_as_a_cut(tmp_path: Path, autojump_clock: object, heard: bool) -> None:
    others = ["a1", "b1"]
    async with open_cluster(tmp_path, THREE, apps={"dora": 3}, singles=["one"]) as cluster:
        sources, targets = (["c1"], others) if not heard else (others, ["c1"])
        cluster.network.cut(sources, targets, both=False)
        await declared_dead(cluster, "c1")
        await trio.sleep(60)
        assert cluster.state("c1") == "DEAD", "it does not come back while it would be given up again"
        assert len(cluster.serving("dora-web")) == 3
        cluster.network.heal()
        await cluster.until(lambda: cluster.state("c1") == "READY", 40)
        assert cluster.most_alive["one-web"] == 1


async def test_a_cut_between_two_that_a_third_bridges_is_no_cut(tmp_path: Path, autojump_clock: object) -> None:
    async with open_cluster(tmp_path, THREE, apps={"dora": 3}) as cluster:
        cluster.network.cut(["a1"], ["c1"])
        await trio.sleep(60)
        assert {cluster.state(node) for node in THREE} == {"READY"}
        assert all(row.epoch == 1 for row in cluster.rows())


async def test_a_pause_of_half_a_minute_is_a_loss_and_what_was_replaced_stops_afterwards(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with open_cluster(tmp_path, THREE, apps={"dora": 3}, singles=["one"]) as cluster:
        [home] = cluster.serving("one-web").values()
        cluster.network.paused.add(home)
        await declared_dead(cluster, home)
        await cluster.until(lambda: bool(set(cluster.serving("one-web").values()) - {home}), 60)
        await trio.sleep(1)
        cluster.network.paused.clear()
        await cluster.until(lambda: not cluster.nodes[home].facts, HEALED_S)
        await cluster.until(lambda: cluster.state(home) == "READY", 40)


async def test_a_cut_of_three_seconds_changes_nothing(tmp_path: Path, autojump_clock: object) -> None:
    async with open_cluster(tmp_path, THREE, apps={"dora": 3}, singles=["one"]) as cluster:
        before = cluster.rows()
        cluster.network.isolate("c1")
        await trio.sleep(3)
        cluster.network.heal()
        await trio.sleep(30)
        assert cluster.rows() == before


async def test_without_quorum_everything_goes_on_as_it_is_and_singletons_end(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with open_cluster(tmp_path, THREE, apps={"dora": 3}, singles=["one"]) as cluster:
        cluster.network.isolate("a1")
        cluster.network.isolate("b1")
        await trio.sleep(60)
        assert [await refused(cluster, node) for node in THREE] == [True, True, True]
        assert len(cluster.serving("dora-web")) == 3
        assert cluster.serving("one-web") == {}
        cluster.network.heal()
        await cluster.until(lambda: len(cluster.serving("one-web")) == 1, 30)
        await trio.sleep(30)
        assert {cluster.state(node) for node in THREE} == {"READY"}
        assert cluster.most_alive["one-web"] == 1


async def test_a_node_that_flaps_waits_longer_each_time(tmp_path: Path, autojump_clock: object) -> None:
    async with open_cluster(tmp_path, THREE, apps={"dora": 3}) as cluster:
        waited: list[float] = []
        for _ in range(3):
            cluster.network.isolate("c1")
            await declared_dead(cluster, "c1")
            cluster.network.heal()
            await cluster.until(lambda: cluster.state("c1") == "RETURNING", 20)
            waited.append(await cluster.until(lambda: cluster.state("c1") == "READY", 60))
        assert waited[0] < waited[1] < waited[2]
