"""The ordered log in etcd: one key per entry, and a conditional append as the only lock between nodes.

An append is accepted if the next key does not exist *and* the one before it does. Without the second condition a node
that lags behind a trimmed log would find its slot empty and write over history.
"""

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import apsw
import structlog
import trio

from paasd.errors import TooLarge
from paasd.etcd import Client, Lost, Unreachable
from paasd.etcd import Refused as EtcdRefused
from paasd.etcd import messages as m
from paasd.state.log.entries import LogDamaged
from paasd.state.log.heard import Heard
from paasd.state.log.interface import LogTrimmed, LogUnavailable, NoAnswer, Refused, Runner

ENTRY_LIMIT_BYTES: Final = 1_400_000
FRESH_S: Final = 2.5
"""Without contact for so long an append asks first whether there is a quorum, so that its outcome is not left open."""

PROBE_S: Final = 1.0
LOOK_S: Final = 1.0
"""How often the newest index is asked for beside the watch: the loss of a last event leaves no gap to see."""

RETRY_S: Final = 0.2
BATCH: Final = 256
"""Entries asked for at once; fewer after an answer that did not arrive in time."""

SLOW_S: Final = 5.0
"""Patience with a single entry, once smaller and smaller batches did not arrive."""

# Errors of etcd after which nothing was done: bad request, no permission, no space, no such method.
_DEFINITE: Final = frozenset({3, 7, 8, 9, 11, 12, 16})


_OUT_OF_RANGE: Final = 11


class EtcdLog:
    """One log, named by its identity, as one node sees it. Several tasks may use it at once."""

    external = True

    def __init__(self, client: Client, identity: str) -> None:
        self.identity: str | None = identity
        self._client = client
        self._prefix = f"/paasd/{identity}/log/".encode()
        self._end = self._prefix[:-1] + bytes([self._prefix[-1] + 1])
        self._newest = 0  # the highest index that is known to exist
        self._heard = Heard()
        self._told_nothing = -1
        self._batch = BATCH
        self._moved = trio.Event()
        self._contact_at = -math.inf
        self._made_at = trio.current_time()
        self._log = structlog.get_logger(__name__)

    @property
    def silent_s(self) -> float:
        """Seconds since etcd answered, or since this log was made if it never did."""
        return trio.current_time() - max(self._contact_at, self._made_at)

    def attach(self, connection: apsw.Connection, run: Runner) -> None:
        """Nothing is kept in the database; a snapshot that was loaded changes nothing either."""

    def stage(self, index: int, data: bytes) -> None:
        """Nothing is kept in the database."""

    async def start_at(self, index: int, data: bytes) -> None:
        """Begin the log with entry `index` unless it has begun. Raises LogUnavailable, NoAnswer; may be repeated."""
        empty = m.RangeRequest(key=self._prefix, range_end=self._end, limit=1, keys_only=True)
        if (await self._ask(self._client.range, empty)).kvs:
            return
        await self._write(
            m.TxnRequest(
                compare=[self._compare(m.EQUAL, index)],
                success=[m.RequestOp(request_put=m.PutRequest(key=self._key(index), value=data))],
            )
        )
        self._learn(index)

    async def append(self, index: int, data: bytes) -> Refused | None:
        if len(data) > ENTRY_LIMIT_BYTES:
            raise TooLarge(f"an entry of {len(data)} bytes; the log takes {ENTRY_LIMIT_BYTES}")
        if trio.current_time() - self._contact_at > FRESH_S:
            await self._find_quorum()
        after = m.RangeRequest(key=self._key(index), range_end=self._end, limit=self._batch)
        answer = await self._write(
            m.TxnRequest(
                compare=self._next_is(index),
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

    async def _find_quorum(self) -> None:
        """Sooner than a client loses its patience, who then is told that nothing was changed."""
        with trio.move_on_after(PROBE_S):
            await self.newest()
            return
        raise LogUnavailable(f"the log did not answer for {PROBE_S} s; nothing was changed")

    async def read(self, after: int, limit: int) -> Sequence[bytes]:
        """Who has everything that this node has heard of gets nothing, and etcd's answer when it asks again at once:
        a writer is woken by its own entries too, and would ask in vain after each of them.
        """
        self._heard.forget(after)
        kept = self._heard.take(after, limit)
        if kept:
            return kept
        if after >= self._newest > 0 and self._told_nothing != after:
            self._told_nothing = after
            return []
        self._told_nothing = -1
        answer = await self._range(after + 1, limit)
        if not answer.kvs:
            return []
        first = self._index(answer.kvs[0].key)
        if first != after + 1:
            raise LogTrimmed(after + 1, first)
        self._learn(self._index(answer.kvs[-1].key))
        return [kv.value for kv in answer.kvs]

    async def _range(self, first: int, limit: int) -> Any:
        """As many entries as arrive in time: large ones in small batches, at last one by one with more patience."""
        while True:
            size = min(limit, self._batch)
            request = m.RangeRequest(key=self._key(first), range_end=self._end, limit=size)
            try:
                answer = await self._once(self._client.range, request, *([SLOW_S] if size == 1 else []))
            except LogUnavailable:
                if size == 1:
                    self._batch = BATCH
                    raise
                self._batch = max(1, size // 16)
            else:
                self._batch = min(BATCH, self._batch * 2)
                return answer

    async def newest(self) -> int:
        await self._look()
        return self._newest

    async def _look(self) -> int:
        """Learn the newest index; the revision at which it was that. Raises LogUnavailable, LogDamaged."""
        known = self._newest
        request = m.RangeRequest(key=self._key(known), range_end=self._end, limit=1, keys_only=True)
        answer = await self._ask(self._client.range, request)
        if answer.kvs:
            # Correct at any lag: the count is of everything from the first key on, and there are no gaps.
            self._learn(self._index(answer.kvs[0].key) - 1 + answer.count)
        elif known:
            raise LogDamaged(f"etcd has lost entry {known} of the log and what follows; `paasd recover` starts it anew")
        return int(answer.header.revision)

    async def wait_newer(self, after: int) -> None:
        self._heard.forget(after)
        while self._newest <= after:
            await self._moved.wait()

    async def trim(self, before: int) -> None:
        """Delete in two steps, leaving the newest entry, then compact at the first.

        Compacting where a tombstone is the newest revision, followed by a crash, loses revisions in etcd 3.4.23. An
        entry written in between would do as well as a second deletion, but not when etcd's space is used up.
        """
        end = min(before, await self.newest())
        self._heard.forget(end - 1)
        many = m.DeleteRangeRequest(key=self._prefix, range_end=self._key(end - 1))
        last = m.DeleteRangeRequest(key=self._key(end - 1), range_end=self._key(end))
        revision = (await self._ask(self._client.delete_range, many)).header.revision
        if not (await self._ask(self._client.delete_range, last)).deleted:
            return  # somebody has trimmed as far already
        try:
            await self._client.compact(revision)
        except EtcdRefused as error:
            if error.status != _OUT_OF_RANGE:  # another node has compacted further already
                raise LogUnavailable(f"the log was trimmed and not compacted: {error.detail}") from error
        except (Lost, Unreachable) as error:
            raise LogUnavailable("the log was trimmed and perhaps not compacted; the next time does it") from error

    async def follow(self) -> None:
        """Learn of others' entries, for ever: by watch, and by asking once a second as well."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_now_and_then)
            reason = ""
            while True:
                try:
                    await self._watch()
                except (Lost, EtcdRefused, Unreachable, LogUnavailable, LogDamaged) as error:
                    # What is damaged stops whoever reads it; here it is only not followed.
                    if error.detail != reason:
                        reason = error.detail
                        self._log.info("log.watch_ended", reason=reason)
                    await trio.sleep(RETRY_S)

    async def _watch(self) -> None:
        revision = await self._look()
        async with self._client.watch(self._prefix, self._end, revision + 1) as answers:
            async for answer in answers:
                for event in answer.events:
                    if event.type == 0:
                        index = self._index(event.kv.key)
                        self._heard.add(index, event.kv.value)
                        self._learn(index)

    async def _look_now_and_then(self) -> None:
        while True:
            await trio.sleep(LOOK_S)
            try:
                await self._look()
            except (LogUnavailable, LogDamaged):
                continue

    def _learn(self, index: int) -> None:
        if index > self._newest:
            self._newest = index
            self._moved.set()
            self._moved = trio.Event()

    async def _ask(self, method: Callable[..., Awaitable[Any]], request: Any) -> Any:
        """A question that changes nothing, or whose repetition does no harm: one more try elsewhere."""
        try:
            return await self._once(method, request)
        except LogUnavailable:
            return await self._once(method, request)

    async def _once(self, method: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        try:
            answer = await method(*arguments)
        except (Lost, EtcdRefused, Unreachable) as error:
            raise LogUnavailable(
                f"the log has no quorum or cannot be reached ({error.detail}); nothing was changed"
            ) from error
        self._contact_at = trio.current_time()
        return answer

    async def _write(self, request: Any) -> Any:
        """Raises LogUnavailable when nothing was changed by this attempt, NoAnswer when that is not known."""
        try:
            answer = await self._client.txn(request)
        except Unreachable as error:
            raise LogUnavailable(f"the log cannot be reached: {error.detail}; nothing was changed") from error
        except (Lost, EtcdRefused) as error:
            if isinstance(error, EtcdRefused) and error.status in _DEFINITE:
                raise LogUnavailable(f"the log takes no writes: {error.detail}; nothing was changed") from error
            raise NoAnswer from error
        self._contact_at = trio.current_time()
        return answer

    def _next_is(self, index: int) -> list[Any]:
        """That `index` is free and follows the newest: what was trimmed is absent too."""
        return [self._compare(m.EQUAL, index), self._compare(m.GREATER, index - 1)]

    def _compare(self, result: int, index: int) -> Any:
        """That the key of `index` exists (GREATER), or does not (EQUAL)."""
        return m.Compare(result=result, target=m.CREATE, key=self._key(index), create_revision=0)

    def _key(self, index: int) -> bytes:
        return self._prefix + f"{index:016x}".encode()

    def _index(self, key: bytes) -> int:
        return int(key[len(self._prefix) :], 16)


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
