"""Histories of several databases that forward to each other while nodes are cut off and the log misbehaves."""

from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import msgspec
import pytest
import trio

from paasd.errors import PaasdError
from paasd.state import Database, Duplicate
from paasd.state.checking import contents
from tests.state.replication.nodes import Cluster
from tests.state.things import AddThing, Grow, Thing, add_thing, grow
from tests.virtual.quorum import QuorumLog
from tests.virtual.running import run_virtually

VOTERS = ["n0", "n1", "n2"]
CLIENTS = 8
TURNS = 30


class History(msgspec.Struct):
    """What clients were told. A count is the size before; reads saw at least what was acknowledged before them."""

    counted: list[int] = []
    added: dict[str, str] = {}
    taken: int = 0
    read: int = 0
    failed: int = 0

    @property
    def acknowledged(self) -> int:
        return max(self.counted, default=-1) + 1


async def work(databases: list[Database], history: History, random: Random, number: int) -> None:
    for turn in range(TURNS):
        await trio.sleep(random.random() * 0.5)
        request_id, name = f"{number}/{turn}", f"n{random.randrange(40)}"
        while True:
            database = random.choice(databases)
            try:
                if turn % 3 == 0:
                    known = history.acknowledged
                    if await database.fresh(0.5):
                        with database.read() as tx:
                            assert tx.find(Thing, name="counter").size >= known  # type: ignore[union-attr]
                        history.read += 1
                elif turn % 3 == 1:
                    history.counted.append(
                        await database.write(grow, Grow("counter"), request_id=request_id, timeout_s=1.5)
                    )
                else:
                    thing = await database.write(add_thing, AddThing(name), request_id=request_id, timeout_s=1.5)
                    with database.read() as tx:
                        assert tx.get(Thing, thing.guid) is not None, "who wrote it reads it"
                    assert history.added.setdefault(name, thing.guid) == thing.guid
                break
            except Duplicate:
                history.taken += 1
                break
            except PaasdError:
                history.failed += 1
                await trio.sleep(random.random() * 0.2)


async def disturb(cluster: Cluster, random: Random) -> None:
    """Cut nodes off, both ways or one way, and let them disagree about who writes for all."""
    while True:
        await trio.sleep(random.random() * 0.4)
        one, other = random.sample(list(cluster.nodes), 2)
        match random.randrange(5):
            case 0:
                cluster.isolate(one)
            case 1:
                cluster.network.cut(one, other)
            case 2:
                cluster.hints[one] = random.choice([*cluster.nodes, None])
            case _:
                cluster.heal()


async def run(seed: int, folder: Path) -> None:
    random = Random(seed)
    cluster = Cluster(folder, seed)
    quorum = QuorumLog(random, VOTERS, cluster.network.passes)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        for guid in VOTERS:
            cluster.network.add(guid)
        databases = [await enter(cluster.node(guid, quorum.client(guid))) for guid in VOTERS]
        databases += [await enter(cluster.node(guid)) for guid in ("n3", "n4")]
        cluster.hint = "n0"
        await databases[0].write(add_thing, AddThing("counter"))
        quorum.lose_answer = 0.05
        history = History()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(disturb, cluster, random)
            async with trio.open_nursery() as clients:
                for number in range(CLIENTS):
                    clients.start_soon(work, databases, history, random, number)
            nursery.cancel_scope.cancel()
        quorum.lose_answer = 0.0
        cluster.heal()
        await trio.sleep(10)
        for database in databases:
            assert await database.fresh(10)
        check(seed, databases, history)


def check(seed: int, databases: list[Database], history: History) -> None:
    held = [contents(database.path) for database in databases]
    assert all(one == held[0] for one in held), f"seed {seed}"
    with databases[0].read() as tx:
        things = {thing.name: thing for thing in tx.all(Thing)}
    counter = things.pop("counter")
    assert sorted(history.counted) == list(range(CLIENTS * TURNS // 3)), f"seed {seed}: each count was given once"
    assert counter.size == CLIENTS * TURNS // 3
    assert {name: thing.guid for name, thing in things.items()} == history.added, f"seed {seed}"
    assert len(history.added) + history.taken == CLIENTS * TURNS // 3
    assert history.failed, f"seed {seed}: nothing went wrong, so nothing was tested"
    assert history.read > 5


@pytest.mark.parametrize("seed", range(12))
def test_every_acknowledged_write_is_on_every_node_exactly_once_and_read_by_all(seed: int, tmp_path: Path) -> None:
    run_virtually(seed, run, seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 500))
def test_many_more_histories(seed: int, tmp_path: Path) -> None:
    run_virtually(seed, run, seed, tmp_path)
