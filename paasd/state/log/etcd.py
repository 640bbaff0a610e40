"""The ordered log in etcd: one key per entry, and a conditional append as the only lock between nodes.

An append is accepted if the next key does not exist *and* the one before it does. Without the second condition a node
that lags behind a trimmed log would find its slot empty and write over history.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import apsw
import structlog
import trio

from paasd.errors import PaasdError, TooLarge
from paasd.etcd import Client, Lost, Unreachable
from paasd.etcd import Refused as EtcdRefused
from paasd.etcd import messages as m
from paasd.state.log.entries import LogDamaged
from paasd.state.log.interface import LogTrimmed, LogUnavailable, NoAnswer, Refused, Runner

ENTRY_LIMIT_BYTES: Final = 1_400_000
FRESH_S: Final = 2.5
"""Without contact for so long an append asks first whether there is a quorum, so that its outcome is not left open."""

LOOK_S: Final = 1.0
"""How often the newest index is asked for beside the watch: the loss of a last event leaves no gap to see."""

RETRY_S: Final = 0.2
KEPT: Final = 512
"""Entries that the watch brought, kept until they are read."""

BATCH: Final = 200


class EtcdLog:
    """One log, named by its identity, as one node sees it. Several tasks may use it at once."""

    external = True

    def __init__(self, client: Client, identity: str) -> None:
        self.identity: str | None = identity
        self._client = client
        self._prefix = f"/paasd/{identity}/log/".encode()
        self._newest = 0  # the highest index that is known to exist
        self._kept: dict[int, bytes] = {}
        self._moved = trio.Event()
        self._contact_at = -FRESH_S
        self._log = structlog.get_logger(__name__)

    def attach(self, connection: apsw.Connection, run: Runner) -> None:
        """Nothing is kept in the database."""

    def stage(self, index: int, data: bytes) -> None:
        """Nothing is kept in the database."""

    async def start_at(self, index: int, data: bytes) -> None:
        """Begin the log with entry `index` unless it has begun. Raises LogUnavailable, NoAnswer; may be repeated."""
        empty = m.RangeRequest(key=self._prefix, range_end=_after(self._prefix), limit=1, keys_only=True)
        answer = await self._ask(self._client.range, empty)
        if answer.kvs:
            return
        request = m.TxnRequest(
            compare=[m.Compare(result=m.EQUAL, target=m.CREATE, key=self._key(index), create_revision=0)],
            success=[m.RequestOp(request_put=m.PutRequest(key=self._key(index), value=data))],
        )
        await self._write(request)
        self._learn(index)

    async def append(self, index: int, data: bytes) -> Refused | None:
        if len(data) > ENTRY_LIMIT_BYTES:
            raise TooLarge(f"an entry of {len(data)} bytes; the log takes {ENTRY_LIMIT_BYTES}")
        if trio.current_time() - self._contact_at > FRESH_S:
            await self.newest()
        after = m.RangeRequest(key=self._key(index), range_end=_after(self._prefix), limit=BATCH)
        answer = await self._write(
            m.TxnRequest(
                compare=[
                    m.Compare(result=m.EQUAL, target=m.CREATE, key=self._key(index), create_revision=0),
                    m.Compare(result=m.GREATER, target=m.CREATE, key=self._key(index - 1), create_revision=0),
                ],
                success=[m.RequestOp(request_put=m.PutRequest(key=self._key(index), value=data))],
                failure=[m.RequestOp(request_range=after)],
            )
        )
        if answer.succeeded:
            self._learn(index)
            return None
        found = [(self._index(kv.key), kv.value) for kv in answer.responses[0].response_range.kvs]
        if found and found[0][0] == index:
            return Refused(tuple(value for _, value in found))
        return Refused(())

    async def read(self, after: int, limit: int) -> Sequence[bytes]:
        kept = self._take_kept(after, limit)
        if kept:
            return kept
        request = m.RangeRequest(key=self._key(after + 1), range_end=_after(self._prefix), limit=min(limit, BATCH))
        answer = await self._ask(self._client.range, request)
        if not answer.kvs:
            return []
        first = self._index(answer.kvs[0].key)
        if first != after + 1:
            raise LogTrimmed(after + 1, first)
        self._learn(self._index(answer.kvs[-1].key))
        return [kv.value for kv in answer.kvs]

    def _take_kept(self, after: int, limit: int) -> list[bytes]:
        found: list[bytes] = []
        while len(found) < limit and (data := self._kept.get(after + 1 + len(found))) is not None:
            found.append(data)
        for index in [one for one in self._kept if one <= after]:
            del self._kept[index]
        return found

    async def newest(self) -> int:
        request = m.RangeRequest(key=self._key(self._newest), range_end=_after(self._prefix), limit=1, keys_only=True)
        answer = await self._ask(self._client.range, request)
        if not answer.kvs:
            if self._newest:
                raise LogDamaged(f"etcd has lost entry {self._newest} of the log; restore it with `paasd recover`")
            return 0
        # Correct at any lag: the count is of everything from the first key on, and there are no gaps.
        self._learn(self._index(answer.kvs[0].key) - 1 + answer.count)
        return self._newest

    async def wait_newer(self, after: int) -> None:
        while self._newest <= after:
            await self._moved.wait()

    async def trim(self, before: int) -> None:
        """Delete, leave the newest, then compact below an entry that is younger than the deletion."""
        newest = await self.newest()
        end = self._key(min(before, newest))
        request = m.DeleteRangeRequest(key=self._prefix, range_end=end)
        await self._ask(self._client.delete_range, request)
        # Compacting where a tombstone is the newest revision, followed by a crash, loses revisions in etcd 3.4.23.
        mark = m.PutRequest(key=self._prefix[:-1], value=str(newest).encode())
        answer = await self._write(m.TxnRequest(success=[m.RequestOp(request_put=mark)]))
        await self._ask(self._client.compact, answer.header.revision - 1)

    async def follow(self) -> None:
        """Learn of others' entries, for ever: by watch, and by asking once a second as well."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look)
            while True:
                try:
                    await self._watch()
                except (Lost, EtcdRefused, Unreachable, LogUnavailable) as error:
                    self._log.debug("log.watch_ended", reason=error.detail)
                    await trio.sleep(RETRY_S)

    async def _watch(self) -> None:
        await self.newest()
        end = _after(self._prefix)
        seen = m.RangeRequest(key=self._key(self._newest), range_end=end, limit=1, keys_only=True)
        revision = (await self._ask(self._client.range, seen)).header.revision
        await self.newest()  # what came before that revision
        async with self._client.watch(self._prefix, end, revision + 1) as answers:
            async for answer in answers:
                for event in answer.events:
                    if event.type == 0:
                        self._heard(self._index(event.kv.key), event.kv.value)

    def _heard(self, index: int, value: bytes) -> None:
        self._kept[index] = value
        while len(self._kept) > KEPT:
            del self._kept[min(self._kept)]
        self._learn(index)

    async def _look(self) -> None:
        while True:
            await trio.sleep(LOOK_S)
            try:
                await self.newest()
            except LogUnavailable:
                continue

    def _learn(self, index: int) -> None:
        if index > self._newest:
            self._newest = index
            self._moved.set()
            self._moved = trio.Event()

    async def _ask(self, method: Any, request: Any) -> Any:
        """A question that changes nothing, or whose repetition does no harm: one more try elsewhere."""
        failure: PaasdError | None = None
        for _ in range(2):
            try:
                answer = await method(request)
            except (Lost, EtcdRefused, Unreachable) as error:
                failure = error
            else:
                self._contact_at = trio.current_time()
                return answer
        raise LogUnavailable(f"the log has no quorum, or cannot be reached: {failure}; nothing was changed")

    async def _write(self, request: Any) -> Any:
        try:
            answer = await self._client.txn(request)
        except Unreachable as error:
            raise LogUnavailable(f"the log cannot be reached: {error.detail}; nothing was changed") from error
        except (Lost, EtcdRefused) as error:
            raise NoAnswer from error
        self._contact_at = trio.current_time()
        return answer

    def _key(self, index: int) -> bytes:
        return self._prefix + f"{index:016x}".encode()

    def _index(self, key: bytes) -> int:
        return int(key[len(self._prefix) :], 16)


def _after(prefix: bytes) -> bytes:
    """The end of the range of all keys with this prefix."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


@asynccontextmanager
async def open_etcd_log(client: Client, identity: str) -> AsyncIterator[EtcdLog]:
    """The log of that identity, followed until the block ends."""
    log = EtcdLog(client, identity)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.follow)
        try:
            yield log
        finally:
            nursery.cancel_scope.cancel()
