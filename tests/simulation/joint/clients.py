"""Clients of a simulated platform: they count, and keep account of what they were told."""

from random import Random

import msgspec
import trio

from paasd.errors import PaasdError, Unavailable
from paasd.model import Setting
from paasd.state import Database, Tx, operation
from tests.simulation.joint.platform import Platform


class Count(msgspec.Struct):
    name: str


@operation("test.joint_count", version=1)
def count(tx: Tx, args: Count) -> int:
    """One more; the number that it is."""
    known = tx.get(Setting, args.name)
    if known is None:
        tx.insert(Setting(name=args.name, value="1"))
        return 1
    tx.update(known, value=str(int(known.value) + 1))
    return int(known.value) + 1


def counted(database: Database, name: str) -> int:
    with database.read() as tx:
        found = tx.get(Setting, name)
    return 0 if found is None else int(found.value)


class Client:
    """Each write has a request id and is asked for again under it until there is an answer; under another one
    while all answers were that nothing was changed. A read after a barrier sees at least what was acknowledged before.
    """

    def __init__(self, platform: Platform, seed: int, number: int) -> None:
        self.platform = platform
        self.random = Random(f"client {seed} {number}")
        self.number = number
        self.name = f"count-{number % 2}"  # some share a counter
        self.told: list[int] = []
        self.failed = 0
        self.reads = 0
        self.ended = False
        self.done = False

    async def run(self, clients: "list[Client]") -> None:
        turn = 0
        while not self.ended:
            await trio.sleep(self.random.uniform(0.2, 3.0))
            if turn % 3 == 2:
                await self._read(clients)
            else:
                await self._count(f"{self.number}/{turn}")
            turn += 1
        self.done = True

    async def _count(self, request_id: str) -> None:
        first, tries, unknown = request_id, 0, False
        while True:
            daemons = self.platform.open_daemons()
            if daemons:
                database = self.random.choice(daemons).database
                try:
                    told = await database.write(count, Count(self.name), request_id=request_id, timeout_s=1.5)
                except PaasdError as error:
                    self.failed += 1
                    self.platform.fabric.note(f"client {self.number}: {request_id} failed: {error}")
                    unknown = unknown or not isinstance(error, Unavailable)
                    if not unknown:
                        tries += 1
                        request_id = f"{first}/{tries}"
                else:
                    self.told.append(told)
                    self.platform.fabric.note(f"client {self.number}: {self.name} is {told}")
                    return
            await trio.sleep(self.random.uniform(0.1, 1.0))

    async def _read(self, clients: "list[Client]") -> None:
        daemons = self.platform.open_daemons()
        if not daemons:
            return
        known = max((told for one in clients if one.name == self.name for told in one.told), default=0)
        daemon = self.random.choice(daemons)
        try:
            fresh = await daemon.database.fresh(0.5)
        except PaasdError:
            return
        if fresh and daemon.ready.is_set() and daemon.guid in self.platform.daemons:
            self.reads += 1
            seen = counted(daemon.database, self.name)
            assert seen >= known, f"{daemon.guid} reads {seen} of {self.name} after {known} was acknowledged"


def check_counts(platform: Platform, clients: list[Client]) -> None:
    """Every acknowledged write is there, once."""
    for name in {client.name for client in clients}:
        told = sorted(number for client in clients if client.name == name for number in client.told)
        assert told == list(range(1, len(told) + 1)), f"{name} was told as {told}"
        for daemon in platform.open_daemons():
            seen = counted(daemon.database, name)
            assert seen == len(told), f"{daemon.guid} has {seen} of {name}, and {len(told)} were acknowledged"
