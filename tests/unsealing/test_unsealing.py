"""Secrets for nodes without keys, over a network of one process and a real database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import msgspec
import pytest
import trio

from paasd.errors import BadRequest, Forbidden, NotFound, Unavailable
from paasd.model import App, Build, Instance, Node, Task
from paasd.model.apps import environment_context
from paasd.peer import MemoryNetwork
from paasd.state import Database, Tx, open_database, operation
from paasd.state.sealing import load_root_key, open_sealer
from paasd.unsealing import LocalUnsealing, RemoteUnsealing, Unsealed, controls_of, serve

OPENED = Unsealed(environment={"SECRET": "hunter2", "PORTS": "5"})


class Rows(msgspec.Struct):
    apps: list[App] = []
    instances: list[Instance] = []
    builds: list[Build] = []
    tasks: list[Task] = []
    nodes: list[Node] = []


@operation("test.unsealing_rows", version=1)
def put_rows(tx: Tx, args: Rows) -> None:
    for row in (*args.apps, *args.nodes):
        tx.insert(row)
    for row in (*args.instances, *args.builds, *args.tasks):
        known = tx.get(type(row), row.guid)
        if known is not None:
            tx.delete(known)
        tx.insert(row)


def instance(guid: str, node: str, epoch: int = 1, index: int = 0) -> Instance:
    return Instance(
        guid=guid,
        app_guid="app",
        process_guid="p",
        process_type="web",
        index=index,
        app_version=1,
        droplet_guid="d",
        node_guid=node,
        epoch=epoch,
        memory_mb=64,
        disk_mb=64,
    )


def build(guid: str, node: str, epoch: int = 1) -> Build:
    return Build(guid=guid, app_guid="app", package_guid="p", deadline_at="", stack="host", node_guid=node, epoch=epoch)


def task(guid: str, node: str, state: str = "RUNNING") -> Task:
    sizes = {"memory_mb": 64, "disk_mb": 64}
    return Task(
        guid=guid,
        app_guid="app",
        sequence_id=1,
        name="t",
        command="c",
        droplet_guid="d",
        node_guid=node,
        epoch=1,
        state=state,
        **sizes,
    )


class World:
    def __init__(self, database: Database, network: MemoryNetwork) -> None:
        self.database = database
        self.network = network
        self.away: set[str] = set()
        controls = controls_of(database, lambda: self.away)
        self.worker = RemoteUnsealing(network.add("worker", "worker"), controls)
        self.other = RemoteUnsealing(network.add("other", "worker"), controls)

    async def put(self, *rows: Instance | Build | Task) -> None:
        tasks = [row for row in rows if isinstance(row, Task)]
        instances = [row for row in rows if isinstance(row, Instance)]
        builds = [row for row in rows if isinstance(row, Build)]
        await self.database.write(put_rows, Rows(instances=instances, builds=builds, tasks=tasks))


@asynccontextmanager
async def open_world(directory: Path) -> AsyncIterator[World]:
    async with open_database(directory, sync=False) as database:
        sealer = await open_sealer(database, load_root_key(directory / "root-key"))
        local = LocalUnsealing(database, sealer)
        sealed = sealer.seal(b'{"SECRET": "hunter2", "PORTS": 5}', environment_context("app"))
        nodes = [
            Node(guid=guid, name=guid, zone="z", memory_mb=1, disk_mb=1, cpus=1, role=role)
            for guid, role in (("c1", "control"), ("c2", "control"), ("worker", "worker"), ("other", "worker"))
        ]
        apps = [
            App(guid="app", name="app", space_guid="s", environment=sealed),
            App(guid="bare", name="b", space_guid="s"),
        ]
        await database.write(put_rows, Rows(apps=apps, nodes=nodes))
        world = World(database, MemoryNetwork(Random(1)))
        for guid in ("c1", "c2"):
            serve(world.network.add(guid), database, local, catch_up_s=0.4)
        yield world


async def test_a_worker_gets_the_environment_of_what_is_placed_on_it(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.put(instance("i", "worker", 3), build("b", "worker", 2))
        assert await world.worker.instance("i", 3) == OPENED
        assert await world.worker.build("b", 2) == OPENED


async def test_what_is_placed_elsewhere_or_was_placed_anew_since_is_refused(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.put(instance("i", "worker", 3), build("b", "worker", 2))
        for ask in (world.other.instance("i", 3), world.other.build("b", 2), world.worker.instance("i", 2)):
            with pytest.raises(Forbidden, match="not given to node"):
                await ask
        with pytest.raises(Forbidden):
            await world.worker.instance("nothing", 1)
        await world.put(instance("i", "other", 4))
        with pytest.raises(Forbidden):
            await world.worker.instance("i", 3)
        assert await world.other.instance("i", 4) == OPENED


async def test_a_task_is_opened_for_its_node_until_it_has_ended(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.put(task("t", "worker"))
        assert await world.worker.task("t", 1) == OPENED
        for ask in (world.other.task("t", 1), world.worker.task("t", 2)):
            with pytest.raises(Forbidden, match="is not given to node"):
                await ask
        await world.put(task("t", "worker", "SUCCEEDED"))
        with pytest.raises(Forbidden):
            await world.worker.task("t", 1)


async def test_a_control_node_that_has_not_heard_of_the_row_waits_for_it(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world, trio.open_nursery() as nursery:
        await world.put(instance("i", "other", 3))

        async def place() -> None:
            await trio.sleep(0.2)
            await world.put(instance("i", "worker", 4))

        nursery.start_soon(place)
        assert await world.worker.instance("i", 4) == OPENED


async def test_a_control_node_that_is_away_is_passed_over_and_none_is_said_plainly(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.put(*(instance(f"i{number}", "worker", index=number) for number in range(4)))
        world.network.remove("c1")
        world.away.add("c1")
        for number in range(4):
            assert await world.worker.instance(f"i{number}", 1) == OPENED
        world.away.clear()
        world.network.remove("c2")
        world.network.add("c2")
        world.network.add("c1")
        with pytest.raises(Unavailable, match="has to come from a control node, and none answers"):
            await world.worker.instance("i0", 1)


async def test_nodes_with_keys_open_what_they_run_themselves(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await world.put(instance("i", "c1"), msgspec.structs.replace(instance("bare", "c1", index=1), app_guid="bare"))
        local = LocalUnsealing(world.database, await open_sealer(world.database, load_root_key(tmp_path / "root-key")))
        assert await local.instance("i", 1) == OPENED
        assert await local.instance("bare", 1) == Unsealed()
        with pytest.raises(NotFound, match="of epoch 2"):
            await local.instance("i", 2)


async def test_a_question_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        with pytest.raises(BadRequest):
            await world.network.peers["worker"].call("c1", "secrets.environment", b"\xc1")
