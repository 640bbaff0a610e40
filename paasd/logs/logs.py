"""The log lines of a node: a bounded queue in front, one writer, a store behind, followers beside."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import apsw
import msgspec
import trio
import trio.lowlevel

from paasd.config import LogsConfig
from paasd.errors import Unavailable
from paasd.logs.followers import Follower, Following, OwnFollowing
from paasd.logs.inotify import Inotify
from paasd.logs.line import Line, Stream, clip
from paasd.logs.pace import Pace
from paasd.logs.wire import Query
from paasd.rate import Bucket
from paasd.state.lines import LineStore, StoredLine

_BATCH_LINES = 4_000
_WRITE_RETRY_S = 1.0
_REPORT_PERIOD_S = 1.0


class _Batch(msgspec.Struct):
    """What one caller wants stored at once. `stored` is set after the transaction that holds it."""

    lines: list[Line]
    cursors: dict[str, bytes] = {}
    stored: trio.Event | None = None

    @property
    def size_bytes(self) -> int:
        return sum(len(line.payload) for line in self.lines)


_Origin = tuple[str, str, str]


class Others(Protocol):
    """The lines of other nodes."""

    async def read(self, query: Query, own: list[Line]) -> list[Line]:
        """`own`, which the query found here, with theirs."""

    async def extents(self, source_ids: Sequence[str], own: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
        """`own`, which is so here, with theirs."""

    def follow(self, source_id: str) -> AbstractAsyncContextManager[Following]:
        """Lines of this node and the others as they are stored."""


class Logs:
    """Made by `open_logs`. `append` and `read` are immediate; all methods belong to the trio thread."""

    others: Others | None = None
    """Set while there are other nodes: `read_all`, `extent_all` and `follow_all` take theirs in."""

    def __init__(self, config: LogsConfig, store: LineStore, clock: Callable[[], float]) -> None:
        self.config = config
        self.clock = clock
        self.inotify = Inotify()
        self.pace = Pace(config.spool_lines_per_s)
        self.lines_dropped = 0
        self.write_error: str | None = None  # why lines cannot be stored at present
        self._store = store
        self._queue: deque[_Batch] = deque()
        self._queued_lines = 0
        self._queued_bytes = 0
        self._appended = trio.Event()
        self._buckets: dict[str, Bucket] = {}
        self._dropped: dict[_Origin, int] = {}
        self._reported_at = 0.0
        self._followers: dict[str, set[Follower]] = {}
        self._limiter = trio.CapacityLimiter(1)

    def append(self, line: Line) -> None:
        """Take a line, or drop and count it when its source or the node logs too much. Never blocks, never raises."""
        now = self.clock()
        bucket = self._buckets.get(line.source_id)
        if bucket is None:
            per_s = self.config.source_lines_per_s
            bucket = self._buckets[line.source_id] = Bucket(per_s, per_s, now)
        full = (
            self._queued_lines >= self.config.queue_limit_lines or self._queued_bytes >= self.config.queue_limit_bytes
        )
        if full or not bucket.take(now):
            self.count_dropped(line.source_id, line.instance_id, line.source_type, 1)
            return
        if len(line.payload) > self.config.line_limit_bytes:
            line = msgspec.structs.replace(line, payload=clip(line.payload, self.config.line_limit_bytes))
        self._enqueue(_Batch([line]))

    def say(
        self, source_id: str, source_type: str, text: str, *, stream: Stream = "OUT", instance_id: str = "0"
    ) -> None:
        """Append a line of the platform itself, stamped now."""
        self.append(
            Line(
                source_id=source_id,
                source_type=source_type,
                instance_id=instance_id,
                stream=stream,
                timestamp_ns=int(self.clock() * 1e9),
                payload=text.encode(errors="replace"),
            )
        )

    def count_dropped(self, source_id: str, instance_id: str, source_type: str, lines: int) -> None:
        """Have the stream say, at most once a second, that so many lines are missing."""
        origin = (source_id, instance_id, source_type)
        self._dropped[origin] = self._dropped.get(origin, 0) + lines
        self.lines_dropped += lines
        self._appended.set()

    async def ingest(self, lines: list[Line], cursor_name: str, cursor: bytes) -> None:
        """Store `lines` and the cursor in one transaction; returns when that is done. Waits while the disk is full."""
        batch = _Batch(lines, {cursor_name: cursor}, trio.Event())
        assert batch.stored is not None
        self._enqueue(batch)
        await batch.stored.wait()

    async def flush(self) -> None:
        """Returns when everything taken before the call is stored."""
        batch = _Batch([], {}, trio.Event())
        assert batch.stored is not None
        self._enqueue(batch)
        await batch.stored.wait()

    def read(
        self,
        source_id: str,
        start_ns: int = 0,
        end_ns: int = 2**63 - 1,
        limit: int = 100,
        descending: bool = False,
        source_types: Sequence[str] = (),
        *,
        skip: int = 0,
    ) -> list[Line]:
        """The `limit` oldest, or newest if descending, stored lines with start <= time < end; negative times are fine.

        `source_types` keeps those types and what is below them: "APP" stands for APP/PROC/WEB as well;
        the first `skip` are left out. Raises Unavailable when the store is damaged.
        """
        start_ns, end_ns = (max(-(2**63), min(bound, 2**63 - 1)) for bound in (start_ns, end_ns))
        try:
            found = self._store.read(
                source_id, start_ns, end_ns, limit, descending=descending, kinds=source_types, skip=skip
            )
        except apsw.Error as error:
            raise Unavailable(f"the log lines of this node cannot be read: {error}") from error
        return [
            Line(
                source_id=line.source,
                instance_id=line.instance,
                source_type=line.kind,
                stream="ERR" if line.stream == "ERR" else "OUT",
                timestamp_ns=line.at_ns,
                payload=line.payload,
                tags=line.tags,
            )
            for line in found
        ]

    async def read_all(self, query: Query) -> list[Line]:
        """Lines of all nodes, as `read` gives those of this one. Raises Unavailable when the store here is damaged."""
        if query.flush:
            await self.flush()
        await trio.lowlevel.checkpoint()
        span = query.start_ns, query.end_ns, query.limit
        own = self.read(query.source_id, *span, query.descending, query.source_types)
        return own if self.others is None else await self.others.read(query, own)

    def extent(self, source_id: str) -> tuple[int, int] | None:
        """Times of the oldest and newest line; None when there is none."""
        oldest, newest = self.read(source_id, limit=1), self.read(source_id, limit=1, descending=True)
        return (oldest[0].timestamp_ns, newest[0].timestamp_ns) if oldest and newest else None

    async def extent_all(self, source_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """The same on all nodes, of the sources that have lines."""
        own = {}
        for source_id in source_ids:
            await trio.lowlevel.checkpoint()  # each reads the disk, and there may be a thousand
            if (times := self.extent(source_id)) is not None:
                own[source_id] = times
        return own if self.others is None else await self.others.extents(source_ids, own)

    @asynccontextmanager
    async def follow_all(self, source_id: str) -> AsyncIterator[Following]:
        """Lines of all nodes, as `follow` gives those of this one."""
        if self.others is None:
            async with self.follow(source_id) as follower:
                yield OwnFollowing(follower, self.flush)
        else:
            async with self.others.follow(source_id) as following:
                yield following

    @asynccontextmanager
    async def follow(self, source_id: str) -> AsyncIterator[Follower]:
        """Lines stored from now on. A follower that reads too slowly loses lines and is told how many."""
        follower = Follower(source_id, self.config.follower_limit_lines, self.clock)
        self._followers.setdefault(source_id, set()).add(follower)
        try:
            yield follower
        finally:
            followers = self._followers[source_id]
            followers.discard(follower)
            if not followers:
                del self._followers[source_id]

    def cursor(self, name: str) -> bytes | None:
        """How far a spool was taken. Raises Unavailable when the store is damaged."""
        try:
            return self._store.cursor(name)
        except apsw.Error as error:
            raise Unavailable(f"the log lines of this node cannot be read: {error}") from error

    async def forget_cursor(self, name: str) -> None:
        """For a spool that is gone. Its key may then be used again, unless the disk refuses: then it stays, unused."""
        try:
            await trio.to_thread.run_sync(self._store.forget_cursor, name, limiter=self._limiter)
        except apsw.Error as error:
            self.write_error = str(error)

    def _enqueue(self, batch: _Batch) -> None:
        self._queue.append(batch)
        self._queued_lines += len(batch.lines)
        self._queued_bytes += batch.size_bytes
        self._appended.set()

    async def write_forever(self) -> None:
        """The writer: everything that waits, in one transaction, again and again."""
        while True:
            report_in_s = self._reported_at + _REPORT_PERIOD_S - self.clock() if self._dropped else float("inf")
            with trio.move_on_after(max(0.0, report_in_s)):
                await self._appended.wait()
            self._appended = trio.Event()
            if self._queued_lines < _BATCH_LINES // 4:
                await trio.sleep(self.config.write_delay_s)
            await self.write_queued()

    async def write_queued(self) -> None:
        """Store what waits now. A disk that refuses is tried again for as long as it takes."""
        self._report_dropped()
        while self._queue:
            batches, lines, cursors = self._take()
            while True:
                try:
                    await trio.to_thread.run_sync(self._store_all, lines, cursors, limiter=self._limiter)
                except apsw.Error as error:  # full, read-only or failing disk: the queue fills and counts what it drops
                    self.write_error = str(error)
                    await trio.sleep(_WRITE_RETRY_S)
                else:
                    self.write_error = None
                    break
            self._queued_lines -= len(lines)
            self._queued_bytes -= sum(len(line.payload) for line in lines)
            for batch in batches:
                if batch.stored is not None:
                    batch.stored.set()
            self._notify(lines)

    def _store_all(self, lines: list[Line], cursors: dict[str, bytes]) -> None:
        """In a thread, the conversion too: it takes as long as the transaction."""
        self._store.append([_stored(line) for line in lines], cursors)

    def _take(self) -> tuple[list[_Batch], list[Line], dict[str, bytes]]:
        batches: list[_Batch] = []
        lines: list[Line] = []
        cursors: dict[str, bytes] = {}
        while self._queue and len(lines) < _BATCH_LINES:
            batch = self._queue.popleft()
            batches.append(batch)
            lines += batch.lines
            cursors |= batch.cursors
        return batches, lines, cursors

    def _report_dropped(self) -> None:
        now = self.clock()
        if not self._dropped or now < self._reported_at + _REPORT_PERIOD_S:
            return
        dropped, self._dropped = self._dropped, {}
        self._reported_at = now
        for (source_id, instance_id, source_type), count in dropped.items():
            line = Line(
                source_id=source_id,
                instance_id=instance_id,
                source_type=source_type,
                stream="ERR",
                timestamp_ns=int(now * 1e9),
                payload=b"%d log lines were dropped: they came faster than they are taken" % count,
                tags={"lost_lines": str(count)},
            )
            self._enqueue(_Batch([line]))

    def _notify(self, lines: list[Line]) -> None:
        if not self._followers:
            return
        wanted: dict[str, list[Line]] = {}
        for line in lines:
            if line.source_id in self._followers:
                wanted.setdefault(line.source_id, []).append(line)
        for source_id, found in wanted.items():
            for follower in self._followers.get(source_id, ()):
                follower.put(found)

    async def trim_forever(self) -> None:
        """Apply the size and age limits, in steps that let the writer in between."""
        while True:
            await trio.sleep(self.config.trim_interval_s)
            await self.trim()
            now = self.clock()
            self._buckets = {source: bucket for source, bucket in self._buckets.items() if not bucket.full(now)}

    async def trim(self) -> None:
        more = True
        while more:
            before_ns = int((self.clock() - self.config.age_limit_s) * 1e9)
            try:
                more = await trio.to_thread.run_sync(self._trim_step, before_ns, limiter=self._limiter)
            except apsw.Error as error:
                self.write_error = str(error)
                return

    def _trim_step(self, before_ns: int) -> bool:
        return self._store.trim(
            size_limit_bytes=self.config.size_limit_bytes,
            lines_per_source=self.config.lines_per_source,
            before_ns=before_ns,
        )

    def end_followers(self) -> None:
        for followers in self._followers.values():
            for follower in followers:
                follower.end()


def _stored(line: Line) -> StoredLine:
    return StoredLine(
        line.source_id,
        line.instance_id,
        line.source_type,
        line.stream,
        line.timestamp_ns,
        line.payload,
        line.tags,
    )


@asynccontextmanager
async def open_logs(config: LogsConfig, directory: Path, clock: Callable[[], float]) -> AsyncIterator[Logs]:
    """Open the store below `directory`. On leaving, what waits is stored (for at most 5 s) and followers end.

    `clock` gives unix seconds.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240 - once, while the node opens
    store = LineStore(directory / "lines.db")
    logs = Logs(config, store, clock)
    # Else a node that is cancelled would wait for lines that nobody writes any more.
    writing = trio.CancelScope(shield=True)

    async def write() -> None:
        with writing:
            await logs.write_forever()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            nursery.start_soon(logs.trim_forever)
            nursery.start_soon(logs.inotify.run)
            try:
                yield logs
            finally:
                logs.end_followers()
                with trio.move_on_after(5, shield=True):
                    await logs.flush()
                writing.cancel()
                nursery.cancel_scope.cancel()
    finally:
        logs.inotify.close()
        store.close()
