"""Three databases on a log in three members of etcd; all that is between them can be cut, slowed, stopped, killed."""

import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import trio

from paasd.errors import OutcomeUnknown, Unavailable
from paasd.etcd import open_client
from paasd.state import Database, Duplicate
from paasd.state.log.etcd import EtcdLog
from tests.etcd.history import Seen, broken_rules
from tests.etcd.members import LISTEN, MakeLog, Village, found_client
from tests.etcd.proxy import Network, forward, owner_of_port
from tests.state.things import AddThing, Grow, Thing, add_thing, grow, open_things

PEERS_AT = "127.0.0.2"


def clients_at(number: int) -> str:
    """Where the clients of a node find all members."""
    return f"127.0.0.{10 + number}"


class Troubled:
    """Node `number` has member `m<number>` and client `client<number>`."""

    def __init__(self, found: Village, network: Network, directory: Path) -> None:
        self.village = found
        self.network = network
        self.directory = directory
        self.databases: list[Database] = []
        self.history: list[Seen] = []
        self.random = Random(1)
        self._names = 0

    @property
    def count(self) -> int:
        return len(self.village.members)

    def isolate(self, number: int) -> None:
        """Cut the machine of a node off: its member and its client, from all others."""
        others = [each for each in range(self.count) if each != number]
        names = [f"m{each}" for each in others] + [f"client{each}" for each in others]
        self.network.isolate(f"m{number}", names)
        self.network.isolate(f"client{number}", [f"m{each}" for each in others])

    async def leader(self) -> int:
        """The node whose member leads."""
        async with found_client(self.village) as client:
            lead = (await client.status()).leader
            for member in await client.members():
                if lead == member.ID:
                    return int(member.name[1:])
        raise AssertionError("nobody leads")

    def kill(self, number: int) -> None:
        """kill -9; it is started again at once."""
        self.signal(number, signal.SIGKILL)

    def signal(self, number: int, what: signal.Signals) -> None:
        pid = self.village.members[number].pid
        if pid is not None:
            os.kill(pid, what)

    async def use(self, number: int) -> None:
        """Write and read through one node without a pause, until cancelled."""
        database = self.databases[number]
        while True:
            match self.random.choice(("grow", "grow", "read", "name")):
                case "grow":
                    await self._note("grow", lambda: database.write(grow, Grow("counter"), timeout_s=2))
                case "read":
                    await self._note("read", lambda: self._read(database))
                case "name":
                    self._names += self.random.random() < 0.5
                    await self._take_name(database, f"n{self._names}")
            await trio.sleep(0.002)

    async def grow_once(self, number: int) -> None:
        """One write through a node."""
        database = self.databases[number]
        await self._note("grow", lambda: database.write(grow, Grow("counter"), timeout_s=2))

    async def _take_name(self, database: Database, name: str) -> None:
        async def take() -> str:
            await database.write(add_thing, AddThing(name), timeout_s=2)
            return name

        await self._note("name", take, name)

    async def _read(self, database: Database) -> int:
        if not await database.fresh(1.0):
            raise Unavailable("no quorum")
        return self.counter(database)

    async def _note(self, kind: str, call: Callable[[], object], value: int | str = 0) -> None:
        began = trio.current_time()
        seen = Seen(kind=kind, began=began, value=value, outcome="unknown")
        try:
            answer = await call()  # type: ignore[misc]
            seen = Seen(kind=kind, began=began, ended=trio.current_time(), value=answer)
        except (Unavailable, Duplicate):
            seen = Seen(kind=kind, began=began, ended=trio.current_time(), value=value, outcome="refused")
        except OutcomeUnknown:
            pass
        finally:
            self.history.append(seen)

    def counter(self, database: Database) -> int:
        with database.read() as tx:
            thing = tx.find(Thing, name="counter")
        assert thing is not None
        return thing.size

    def acknowledged(self, since: float) -> list[Seen]:
        return [each for each in self.history if each.outcome == "done" and each.began >= since and each.kind != "read"]

    async def check(self) -> None:
        """After all is healed: no rule broken, and all nodes have the same."""
        with trio.fail_after(15):
            for database in self.databases:
                while not await database.fresh(1.0):
                    await trio.sleep(0.05)
        states = [self._state(database) for database in self.databases]
        assert states[0] == states[1] == states[2]
        names = {name for name, _ in states[0]} - {"counter"}
        broken = broken_rules(self.history, self.counter(self.databases[0]), names)
        assert not broken, broken

    def _state(self, database: Database) -> list[tuple[str, int]]:
        with database.read() as tx:
            return [(thing.name, thing.size) for thing in tx.all(Thing, order=("guid",))]


@asynccontextmanager
async def troubled(seed: int = 0, make: MakeLog = EtcdLog) -> AsyncIterator[Troubled]:
    """Running, used by nobody yet; gone afterwards."""
    directory = Path(tempfile.mkdtemp(dir="/dev/shm"))
    network = Network(seed)
    found = Village(directory, 3, address=PEERS_AT)
    trouble = Troubled(found, network, directory)
    try:
        async with trio.open_nursery() as nursery:
            await _open_ways(trouble, nursery)
            await found.start()
            for member, spec in zip(found.members, found.specs, strict=True):
                nursery.start_soon(member.supervise, spec)
            async with found_client(found) as client:
                await found.until_ready(client)
            for number in range(3):
                await nursery.start(_run_node, trouble, number, make)
            await trouble.databases[0].write(add_thing, AddThing("counter"))
            yield trouble
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            for number in range(3):
                trouble.signal(number, signal.SIGCONT)
            await found.stop()
            shutil.rmtree(directory, ignore_errors=True)


async def _open_ways(trouble: Troubled, nursery: trio.Nursery) -> None:
    found = trouble.village

    def source(port: int) -> str:
        pids = {spec.name: member.pid for spec, member in zip(found.specs, found.members, strict=True)}
        return owner_of_port(port, pids) or "nobody"

    for spec in found.specs:
        [listener] = await trio.open_tcp_listeners(spec.peer_port, host=PEERS_AT)
        nursery.start_soon(forward, trouble.network, listener, spec.name, spec.peer_port, source)
        for number in range(3):
            [listener] = await trio.open_tcp_listeners(spec.client_port, host=clients_at(number))
            name = f"client{number}"
            nursery.start_soon(forward, trouble.network, listener, spec.name, spec.client_port, lambda _, n=name: n)


async def _run_node(trouble: Troubled, number: int, make: MakeLog, task_status: trio.TaskStatus[None]) -> None:
    specs = trouble.village.specs
    order = specs[number:] + specs[:number]
    addresses = [(clients_at(number), spec.client_port) for spec in order]
    context = trouble.village.members[number].client_context()
    async with open_client(lambda: addresses, lambda: context) as client, trio.open_nursery() as nursery:
        log = make(client, "one")
        await log.start_at(0, b"")
        nursery.start_soon(log.follow)
        async with open_things(trouble.directory / f"n{number}", log=log, seed=number) as database:
            trouble.databases.append(database)
            task_status.started()
            await trio.sleep_forever()


assert LISTEN != PEERS_AT
