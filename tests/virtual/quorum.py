"""A log that a node can use only while it and a majority of the voters reach each other, as etcd's clients see it.

The entries themselves are those of one `MemoryLog`, so there is one truth to compare every replica with.
"""

from collections.abc import Callable, Sequence
from random import Random

import apsw
import trio

from paasd.state.log import LogTrimmed, LogUnavailable, MemoryLog, NoAnswer, Refused, Runner

LOOK_S = 0.05
"""How often a waiting follower looks whether it can reach the log again."""


class QuorumLog:
    """The log and who can reach it. `reaches(a, b)` says whether messages pass from a to b."""

    def __init__(self, random: Random, voters: Sequence[str], reaches: Callable[[str, str], bool]) -> None:
        self.log = MemoryLog(random.getrandbits(32), identity="virtual")
        self.random = random
        self.voters = list(voters)
        self._reaches = reaches
        self.delay_s = (0.001, 0.004)
        self.lose_answer = 0.0

    def client(self, node: str) -> "QuorumClient":
        return QuorumClient(self, node)

    def available_to(self, node: str) -> bool:
        """Whether some voter that the node reaches is joined, both ways, with a majority."""
        return any(self._both(node, voter) and self._leads(voter) for voter in self.voters)

    def _leads(self, voter: str) -> bool:
        return sum(self._both(voter, other) for other in self.voters) * 2 > len(self.voters)

    def _both(self, one: str, two: str) -> bool:
        return self._reaches(one, two) and self._reaches(two, one)


class QuorumClient:
    """The log as one node sees it; see `paasd.state.log.Log`."""

    external = True

    def __init__(self, quorum: QuorumLog, node: str) -> None:
        self._quorum = quorum
        self._node = node
        self.identity: str | None = quorum.log.identity

    def attach(self, connection: apsw.Connection, run: Runner) -> None:
        """Nothing is kept in the database."""

    def stage(self, index: int, data: bytes) -> None:
        """Nothing is kept in the database."""

    async def append(self, index: int, data: bytes) -> Refused | None:
        await self._way()
        if not self._quorum.available_to(self._node):
            raise LogUnavailable("the log has no quorum; nothing was changed")
        self._quorum.log.deliver_late(0.5)
        answer = self._quorum.log.offer(index, data)
        await self._way()
        lost = self._quorum.random.random() < self._quorum.lose_answer
        if lost or not self._quorum.available_to(self._node):
            raise NoAnswer
        return answer

    async def read(self, after: int, limit: int) -> Sequence[bytes]:
        await self._answer()
        log = self._quorum.log
        if after < log.newest and after + 1 not in log.entries:
            raise LogTrimmed(after + 1, min(log.entries))
        return [log.entries[i] for i in range(after + 1, min(after + limit, log.newest) + 1)]

    async def newest(self) -> int:
        await self._answer()
        return self._quorum.log.newest

    async def wait_newer(self, after: int) -> None:
        while not (self._quorum.log.newest > after and self._quorum.available_to(self._node)):
            with trio.move_on_after(LOOK_S):
                await self._quorum.log.wait_newer(after)
                await trio.sleep(LOOK_S)
        await self._way()

    async def trim(self, before: int) -> None:
        await self._answer()

    async def _answer(self) -> None:
        await self._way()
        if not self._quorum.available_to(self._node):
            raise LogUnavailable("the log has no quorum; nothing was changed")
        await self._way()

    async def _way(self) -> None:
        await trio.sleep(self._quorum.random.uniform(*self._quorum.delay_s))
