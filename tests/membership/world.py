"""Nodes of one process that join each other over real TLS on the loopback address; their rows are on one log."""

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import trio

from paasd import pki
from paasd.config import ClusterConfig, PeerConfig
from paasd.membership import Book, Machine, MemberFile, MemberFiles, Membership, choose_ports, join, open_membership
from paasd.membership.doors import Vault
from paasd.membership.rotation import RootKeeper, Rotation, find_root_key, open_rotation
from paasd.membership.tokens import Token, parse_token
from paasd.model.arguments import SYSTEM
from paasd.model.nodes import RegisterNode, register_node
from paasd.observed import NodeFact
from paasd.peer import TlsPeers, open_peers
from paasd.peer.interface import Role
from paasd.pki import KeyPair
from paasd.state import Database, InlineRunner, MemoryLog, open_database
from paasd.state.engine import load_migrations
from paasd.state.sealing import Keyless, RootKeys, Sealer, open_sealer, root_id_of

QUICK = PeerConfig(connect_timeout_s=1.0, ping_s=0.1, silence_s=0.5, strangers_per_minute=200)
LOOPBACK = ClusterConfig(
    listen="127.0.0.1", address="127.0.0.1", peer_port=0, tunnel_port=0, etcd_client_port=0, etcd_peer_port=0
)


class Person:
    """A node as tests see it. `ahead_s` is how wrong its clock is."""

    def __init__(self, world: "World", directory: Path, name: str, zone: str) -> None:
        self.world = world
        self.directory = directory
        self.name = name
        self.zone = zone
        self.guid = str(uuid.uuid5(uuid.NAMESPACE_URL, str(directory)))
        self.files = MemberFiles(directory)
        self.ahead_s = 0.0
        self.said: list[str] = []
        self.public = pki.make_authority("authority", datetime.now(UTC))
        self.database: Database
        self.sealer: Sealer
        self.peers: TlsPeers
        self.membership: Membership

    def clock(self) -> float:
        return time.time() + self.ahead_s

    def machine(self, **changes: Any) -> Machine:
        machine = Machine(
            guid=self.guid,
            name=self.name,
            zone=self.zone,
            memory_mb=1024,
            disk_mb=1024,
            cpus=1,
            listen="127.0.0.1",
            address="127.0.0.1",
            ports=choose_ports(LOOPBACK),
            version="1",
            schema_limit=len(load_migrations()),
        )
        return msgspec.structs.replace(machine, **changes)

    async def join(self, token: Token | str, **changes: Any) -> MemberFile:
        wanted = parse_token(token) if isinstance(token, str) else token
        return await join(wanted, self.machine(**changes), self.directory, QUICK, self.said.append, self.clock)

    async def token(self, role: Role = "control", zone: str | None = None, ttl_s: int = 3600, uses: int = 1) -> str:
        return (await self.membership.make_token(role, zone, ttl_s, uses, SYSTEM))[0]


class World:
    """Makes nodes and runs them. `refusals` are what strangers were told, by whom it was said."""

    def __init__(self, directory: Path, nursery: trio.Nursery) -> None:
        self.directory = directory
        self.log = MemoryLog(1, identity="world")
        self.refusals: list[tuple[str, str, str]] = []
        self.people: list[Person] = []
        self.rotates = True
        self._nursery = nursery
        self._registers = True
        self._ends: dict[str, tuple[trio.Event, trio.Event]] = {}

    def person(self, name: str, zone: str = "dc/a") -> Person:
        """A machine on which nothing has happened yet."""
        directory = self.directory / name
        directory.mkdir()
        return Person(self, directory, name, zone)

    async def first(self, name: str = "one") -> Person:
        """A node that runs alone."""
        person = self.person(name)
        await self.start(person)
        return person

    async def joined(self, name: str, by: Person, role: Role = "control", zone: str = "dc/a") -> Person:
        """A node that has joined and runs."""
        person = self.person(name, zone)
        await person.join(await by.token(role))
        await self.start(person)
        return person

    def facts(self) -> dict[str, NodeFact]:
        """What those that run say of themselves, as gossip would spread it."""
        return {
            person.guid: NodeFact(node_guid=person.guid, boot=1, holds=person.membership.holds())
            for person in self.people
            if person.name in self._ends and hasattr(person, "membership")
        }

    def vaults(self) -> list[Vault]:
        """Of the control nodes that have run."""
        return [person.membership.vault for person in self.people if person.membership.vault is not None]

    async def start(self, person: Person, *, registers: bool = True) -> None:
        self._ends[person.name] = trio.Event(), trio.Event()
        self._registers = registers
        if person not in self.people:
            self.people.append(person)
        await self._nursery.start(self._live, person)

    async def stop(self, person: Person) -> None:
        end, ended = self._ends.pop(person.name)
        end.set()
        await ended.wait()

    async def _live(self, person: Person, task_status: trio.TaskStatus[None]) -> None:
        end, ended = self._ends[person.name]
        async with AsyncExitStack() as stack:
            await self._open(person, stack.enter_async_context)
            task_status.started()
            await end.wait()
        ended.set()

    async def _open(self, person: Person, enter: Any) -> None:
        book = Book(person.files, person.guid)
        person.peers = await enter(
            open_peers(QUICK, person.guid, book.address_of, clock=person.clock, allowed=book.allowed)
        )
        person.database = await enter(
            open_database(
                person.directory,
                node=person.guid,
                log=self.log.client(),
                random=Random(f"{person.name} {time.monotonic()}"),
                runner=InlineRunner(),
                sync=False,
            )
        )
        book.attach(person.database)
        worker = person.files.exists and person.files.read().role == "worker"
        keys = None
        if not worker:
            keys, counts = RootKeys(person.directory), root_id_of(person.database)
            if counts is not None and not keys.knows(counts):
                person.peers.identify(person.files.identity())
                await find_root_key(keys, counts, person.peers, book)
        person.sealer = Keyless() if keys is None else await open_sealer(person.database, keys)
        person.membership = Membership(
            LOOPBACK,
            QUICK,
            person.directory,
            person.database,
            person.peers,
            book,
            sealer=None if worker else person.sealer,
            root_keys=keys,
            domains=("apps.localhost", "system.localhost"),
            schema_limit=len(load_migrations()),
            clock=person.clock,
            refused=lambda address, token, why: self.refusals.append((address, token, why)),
        )
        person.membership.public = lambda: self._public(person)
        await enter(open_membership(person.membership))
        if person.files.exists:
            await person.membership.start()
        if keys is not None:
            keeper = RootKeeper(person.database, keys, person.peers, book)
            rotation = Rotation(
                person.database,
                person.sealer,
                keeper,
                self.facts,
                lambda _: self.rotates and self.people[0] is person,
                person.membership.public,
                person.clock,
            )
            person.membership.rotation = await enter(open_rotation(rotation))
        if not self._registers:
            return
        registered = RegisterNode(
            guid=person.guid, name=person.name, zone=person.zone, memory_mb=1024, disk_mb=1024, cpus=1
        )
        await person.database.write(register_node, registered)
        if person.files.exists:
            await person.membership.advertise()

    @staticmethod
    def _public(person: Person) -> KeyPair:
        return person.public


@asynccontextmanager
async def world(directory: Path) -> AsyncIterator[World]:
    """Everything ends with the block."""
    async with trio.open_nursery() as nursery:
        made = World(directory, nursery)
        try:
            yield made
        finally:
            nursery.cancel_scope.cancel()


async def until(condition: Any, limit_s: float = 10.0) -> None:
    """Wait for something to be true."""
    with trio.fail_after(limit_s):
        while not condition():
            await trio.sleep(0.01)
