"""A voter was recovered and has a log of its own now: who follows it takes its state."""

from pathlib import Path

import trio

from paasd.state import Database, LocalLog
from paasd.state.checking import contents
from paasd.state.engine import stand_alone
from tests.state.replication.nodes import Cluster
from tests.state.things import AddThing, Thing, add_thing


async def follow(cluster: Cluster, *, task_status: trio.TaskStatus[Database]) -> None:
    """n1, which follows, until it is cancelled."""
    async with cluster.node("n1") as database:
        task_status.started(database)
        await trio.sleep_forever()


async def live(
    cluster: Cluster, end: trio.Event, closed: trio.Event, *, task_status: trio.TaskStatus[Database]
) -> None:
    """n0 with a log of its own, until `end`; then `closed`."""
    async with cluster.node("n0", LocalLog()) as database:
        task_status.started(database)
        await end.wait()
    closed.set()


async def test_a_node_that_followed_takes_over_a_log_with_a_new_identity(
    tmp_path: Path, autojump_clock: object
) -> None:
    cluster, end, closed = Cluster(tmp_path), trio.Event(), trio.Event()
    cluster.hint = "n0"
    async with trio.open_nursery() as nursery:
        first = await nursery.start(live, cluster, end, closed)
        await first.write(add_thing, AddThing("kept"))
        follower = await nursery.start(follow, cluster)
        former = follower.log_identity
        await first.write(add_thing, AddThing("kept too"))
        await follower.catch_up()
        end.set()
        await closed.wait()
        cluster.network.cut("n0", "n1")
        await trio.sleep(5)  # the stream of the former life breaks
        cluster.network.heal("n0", "n1")
        identity = stand_alone(tmp_path / "n0" / "state.db")
        first = await nursery.start(live, cluster, trio.Event(), closed)
        await first.write(add_thing, AddThing("new"))
        with trio.fail_after(5):
            while follower.log_identity == former or follower.suspect:  # by itself: nobody writes or reads there
                await trio.sleep(0.1)
        assert follower.log_identity == first.log_identity == identity
        await follower.write(add_thing, AddThing("through the follower"))
        await first.write(add_thing, AddThing("and on"))
        await follower.catch_up()
        assert contents(follower.path) == contents(first.path)
        with follower.read() as tx:
            assert len(tx.all(Thing)) == 5
        nursery.cancel_scope.cancel()


async def test_one_that_was_off_meanwhile_does_so_when_it_starts(tmp_path: Path, autojump_clock: object) -> None:
    cluster = Cluster(tmp_path)
    async with cluster.node("n0", LocalLog()) as first:
        cluster.hint = "n0"
        await first.write(add_thing, AddThing("kept"))
        async with cluster.node("n1") as follower:
            await follower.catch_up()
    stand_alone(tmp_path / "n0" / "state.db")
    async with cluster.node("n0", LocalLog()) as first, cluster.node("n1") as follower:
        assert follower.log_identity == first.log_identity
        await follower.write(add_thing, AddThing("new"))
        assert contents(follower.path) == contents(first.path)
