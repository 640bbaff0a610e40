"""Three and more nodes: who is dead, what is replaced, what moves; in virtual time."""

from pathlib import Path

import trio

from paasd.model.arguments import SYSTEM
from paasd.model.brake import ReleaseBrake, read_brake, release_brake
from paasd.model.draining import DrainNode, drain_node, drain_progress
from paasd.model.records import Node
from tests.scheduler.cluster import open_cluster

THREE = {"a1": "a", "b1": "b", "c1": "c"}


async def test_what_a_dead_node_ran_serves_elsewhere_under_a_higher_epoch(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with open_cluster(tmp_path, THREE, apps={"dora": 3}) as cluster:
        before = {row.index: row for row in cluster.rows()}
        lost = next(index for index, node in cluster.serving("dora-web").items() if node == "c1")
        cluster.kill("c1")
        took_s = await cluster.until(lambda: len(cluster.serving("dora-web")) == 3, 15)
        assert took_s <= 8
        after = {row.index: row for row in cluster.rows()}
        assert cluster.state("c1") == "DEAD"
        assert after[lost].epoch == before[lost].epoch + 1 and after[lost].node_guid != "c1"
        assert {index: row.guid for index, row in after.items() if index != lost} == {
            index: row.guid for index, row in before.items() if index != lost
        }


async def test_a_node_that_one_other_cannot_reach_goes_on(tmp_path: Path, autojump_clock: object) -> None:
    async with open_cluster(tmp_path, THREE, apps={"dora": 3}) as cluster:
        for watcher in ("a1", "b1"):
            # Not even through the third: only this one is wrong about c1.
            node = cluster.nodes[watcher]
            node.hear = lambda now, node=node: None  # type: ignore[method-assign, misc]
            node._gone = frozenset({"c1"}) if watcher == "a1" else frozenset()
        await trio.sleep(30)
        assert cluster.state("c1") == "READY"


async def test_with_two_nodes_nobody_is_declared_dead(tmp_path: Path, autojump_clock: object) -> None:
    async with open_cluster(tmp_path, {"a1": "a", "b1": "b"}, voters=["a1"]) as cluster:
        cluster.kill("b1")
        await trio.sleep(60)
        assert cluster.state("b1") == "READY"


async def test_a_drained_node_ends_empty_and_no_index_is_ever_without_an_instance(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with open_cluster(tmp_path, THREE, apps={"dora": 3, "one": 1}) as cluster:
        database = cluster.nodes["b1"].database
        await database.write(drain_node, DrainNode(node_guid="a1", actor=SYSTEM))
        await cluster.until(lambda: not any(row.node_guid == "a1" for row in cluster.rows()), 30)
        await cluster.settled()
        with database.read() as tx:
            progress = drain_progress(tx, tx.need(Node, "a1"))
        assert progress.drained and progress.in_words().startswith("drained")
        await cluster.until(lambda: len(cluster.rows()) == 4, 10)
        assert cluster.least_serving == {"dora-web": 3, "one-web": 1}


async def test_a_node_that_comes_back_is_given_something_only_after_its_grace(
    tmp_path: Path, autojump_clock: object
) -> None:
    async with open_cluster(tmp_path, THREE, apps={"dora": 3}) as cluster:
        cluster.network.isolate("c1")
        await cluster.until(lambda: cluster.state("c1") == "DEAD", 15)
        await cluster.until(lambda: all(row.node_guid != "c1" for row in cluster.rows()), 5)
        assert cluster.nodes["c1"].facts, "cut off, it goes on with what it runs"
        cluster.network.heal()
        took_s = await cluster.until(lambda: not cluster.nodes["c1"].facts, 10)
        assert took_s <= 10
        await cluster.until(lambda: cluster.state("c1") == "RETURNING", 10)
        back_s = await cluster.until(lambda: cluster.state("c1") == "READY", 30)
        assert back_s >= 3.5


async def test_half_of_all_at_once_freezes_replacement_until_somebody_says_go(
    tmp_path: Path, autojump_clock: object
) -> None:
    zones = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}
    async with open_cluster(tmp_path, zones, voters=["a1", "a2", "b1"], apps={"dora": 4}) as cluster:
        cluster.kill("b1", "b2")
        reader = cluster.nodes["a1"].database

        def engaged() -> bool:
            with reader.read() as tx:
                return read_brake(tx).engaged

        await cluster.until(engaged, 15)
        await trio.sleep(120)
        assert cluster.state("b1") == cluster.state("b2") == "READY"
        assert sum(row.node_guid in ("b1", "b2") for row in cluster.rows()) == 2
        await reader.write(release_brake, ReleaseBrake(by_operator=True, actor=SYSTEM))
        await cluster.until(lambda: len(cluster.serving("dora-web")) == 4, 15)


async def test_the_brake_lets_go_by_itself_when_they_are_back(tmp_path: Path, autojump_clock: object) -> None:
    zones = {"a1": "a", "a2": "a", "b1": "b", "b2": "b"}
    async with open_cluster(tmp_path, zones, voters=["a1", "a2", "b1"], apps={"dora": 4}) as cluster:
        cluster.network.isolate("b1", "b2")
        reader = cluster.nodes["a1"].database

        def engaged() -> bool:
            with reader.read() as tx:
                return read_brake(tx).engaged

        await cluster.until(engaged, 15)
        cluster.network.heal()
        await cluster.until(lambda: not engaged(), 15)
        assert {cluster.state(node) for node in zones} == {"READY"}
        assert all(row.epoch == 1 for row in cluster.rows())


async def test_the_loss_of_one_whole_zone_of_three_is_replaced(tmp_path: Path, autojump_clock: object) -> None:
    zones = {f"{zone}{number}": zone for zone in "abc" for number in (1, 2, 3)}
    async with open_cluster(tmp_path, zones, voters=["a1", "b1", "c1"], apps={"dora": 9}) as cluster:
        cluster.kill("c1", "c2", "c3")
        await cluster.until(lambda: len(cluster.serving("dora-web")) == 9, 20)
        assert cluster.setting("brake") is None
