"""What embedded nodes have in place of a disk and a log of voters: the same, with switches to make them fail."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import apsw
import trio

from paasd.state import Log, ThreadRunner
from paasd.state.log import LogUnavailable, Refused, Runner
from paasd.testing.links import Links

T = TypeVar("T")


class SlowRunner:
    """A database's worker whose disk takes its time: each call to it waits `delay_s` more."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self._run = ThreadRunner()

    async def __call__(self, function: Callable[..., T], *arguments: Any) -> T:
        if self.delay_s:
            await trio.sleep(self.delay_s)
        return await self._run(function, *arguments)


class QuorumLog:
    """A log that a node can use only while it reaches most of the voters, as one of etcd."""

    external = True

    def __init__(self, log: Log, node: str, voters: Sequence[str], links: Links) -> None:
        self._log = log
        self._node = node
        self._voters = voters
        self._links = links
        self.identity = log.identity

    @property
    def reached(self) -> bool:
        """Whether it does now."""
        return sum(self._links.joined(self._node, voter) for voter in self._voters) * 2 > len(self._voters)

    def attach(self, connection: apsw.Connection, run: Runner) -> None:
        self._log.attach(connection, run)

    def stage(self, index: int, data: bytes) -> None:
        self._log.stage(index, data)

    async def append(self, index: int, data: bytes) -> Refused | None:
        await self._check()
        return await self._log.append(index, data)

    async def read(self, after: int, limit: int) -> Sequence[bytes]:
        await self._check()
        return await self._log.read(after, limit)

    async def newest(self) -> int:
        await self._check()
        return await self._log.newest()

    async def wait_newer(self, after: int) -> None:
        await self._log.wait_newer(after)
        while not self.reached:
            await self._links.changed()

    async def trim(self, before: int) -> None:
        """Everything is kept: a cluster of a test is short-lived."""

    async def _check(self) -> None:
        await trio.lowlevel.checkpoint()
        if not self.reached:
            raise LogUnavailable("this node does not reach most of the voters")
