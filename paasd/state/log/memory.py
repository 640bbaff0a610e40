"""A seeded log in memory, shared by several databases, that misbehaves the way a real one does.

It delays, loses requests and answers, lets a request that was given up for lost arrive later, and slips in entries of a
stranger so that appends are refused. The same seed and the same order of calls give the same faults.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence

import apsw
import msgspec
import trio

from paasd.state.log.entries import Entry, Migration, decode_entry, encode_entry, entry_hash
from paasd.state.log.interface import LogTrimmed, LogUnavailable, NoAnswer, Refused, Runner


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """Chances (0..1) per append, and the longest delay of a call. The default is a log without faults."""

    delay_s: float = 0.0
    lose_request: float = 0.0
    lose_answer: float = 0.0
    late_request: float = 0.0
    stranger: float = 0.0
    unavailable: float = 0.0


class MemoryLog:
    """The entries. Each database opens with its own `log.client()`."""

    def __init__(self, seed: int, faults: Faults | None = None, *, identity: str = "memory") -> None:
        self.random = random.Random(seed)
        self.faults = faults or Faults()
        self.identity = identity
        self.entries: dict[int, bytes] = {}
        self.newest = 0
        self.accepted = 0
        self.refused = 0
        self.lost = 0
        self.planned: deque[str] = deque()
        self._late: list[tuple[int, bytes]] = []
        self._grown = trio.Event()

    def client(self) -> "MemoryLogClient":
        return MemoryLogClient(self)

    def plan(self, *faults: str) -> None:
        """Let the next appends meet exactly these faults, named as in `Faults`, one for each append."""
        self.planned.extend(faults)

    def fault(self) -> Callable[[str], bool]:
        """What befalls one append: the next that was planned, or by chance."""
        if self.planned:
            planned = self.planned.popleft()
            return lambda name: name == planned
        return lambda name: self.random.random() < getattr(self.faults, name)

    def offer(self, index: int, data: bytes) -> Refused | None:
        """The conditional append itself, without faults: None when accepted."""
        if index != self.newest + 1 or (self.newest and self.newest not in self.entries):
            self.refused += 1
            return Refused(tuple(self.entries[i] for i in range(index, self.newest + 1) if i in self.entries))
        self.entries[index] = data
        self.newest = index
        self.accepted += 1
        self._grown.set()
        self._grown = trio.Event()
        return None

    async def start(self, identity: str, index: int, data: bytes) -> None:
        """Begin with this entry unless it has begun. The next fault that was planned befalls it."""
        befalls = self.fault()
        await trio.lowlevel.checkpoint()
        if befalls("unavailable"):
            raise LogUnavailable("the log has no quorum; nothing was changed")
        if befalls("lose_request"):
            raise NoAnswer
        if not self.newest:
            self.identity = identity
            self.entries[index] = data
            self.newest = index
        if befalls("lose_answer"):
            raise NoAnswer

    def deliver_late(self, chance: float = 1.0) -> None:
        """Let requests arrive whose sender gave up waiting for an answer."""
        waiting, self._late = self._late, []
        for index, data in waiting:
            if self.random.random() < chance:
                self.offer(index, data)
            else:
                self._late.append((index, data))

    def hold(self, index: int, data: bytes) -> None:
        self._late.append((index, data))

    def add_stranger(self) -> None:
        """Append an entry of a node that changed nothing; whoever is about to append will be refused."""
        before = self.entries.get(self.newest)
        if before is None:  # the first entry is a migration, which a stranger cannot stand in for
            return
        last = decode_entry(before)
        migrated = last.kind == "ddl"
        entry = Entry(
            index=self.newest + 1,
            kind="data",
            id=f"stranger-{self.random.getrandbits(64):016x}",
            origin="stranger",
            previous=entry_hash(before),
            schema=msgspec.msgpack.decode(last.payload, type=Migration).number if migrated else last.schema,
        )
        self.offer(entry.index, encode_entry(entry))

    async def wait_newer(self, after: int) -> None:
        while self.newest <= after:
            await self._grown.wait()


class MemoryLogClient:
    """The log as one database sees it, faults included."""

    external = True

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.identity: str | None = log.identity

    def attach(self, connection: apsw.Connection, run: Runner) -> None:
        """Nothing is kept in the database."""

    def stage(self, index: int, data: bytes) -> None:
        """Nothing is kept in the database."""

    async def append(self, index: int, data: bytes) -> Refused | None:
        log = self._log
        befalls = log.fault()
        await self._delay()
        if befalls("unavailable"):
            raise LogUnavailable("the log has no quorum; nothing was changed")
        if befalls("lose_request"):
            log.lost += 1
            raise NoAnswer
        if befalls("late_request"):
            log.lost += 1
            log.hold(index, data)
            raise NoAnswer
        log.deliver_late(0.5)
        if befalls("stranger"):
            log.add_stranger()
        answer = log.offer(index, data)
        await self._delay()
        if befalls("lose_answer"):
            log.lost += 1
            raise NoAnswer
        return answer

    async def read(self, after: int, limit: int) -> Sequence[bytes]:
        await self._answer()
        log = self._log
        if after < log.newest and after + 1 not in log.entries:
            raise LogTrimmed(after + 1, min(log.entries))
        return [log.entries[i] for i in range(after + 1, min(after + limit, log.newest) + 1)]

    async def newest(self) -> int:
        await self._answer()
        return self._log.newest

    async def wait_newer(self, after: int) -> None:
        await self._log.wait_newer(after)
        await self._delay()

    async def trim(self, before: int) -> None:
        await self._delay()
        for index in [i for i in self._log.entries if i < min(before, self._log.newest)]:
            del self._log.entries[index]

    async def _answer(self) -> None:
        await self._delay()
        if self._log.random.random() < self._log.faults.unavailable:
            raise LogUnavailable("the log has no quorum; nothing was changed")

    async def _delay(self) -> None:
        if self._log.faults.delay_s:
            await trio.sleep(self._log.random.random() * self._log.faults.delay_s)
        else:
            await trio.lowlevel.checkpoint()
