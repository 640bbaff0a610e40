"""Carries a spool into the store: reads, splits, limits, stores, and only then removes what it has read."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog
import trio

from paasd.errors import Unavailable
from paasd.logs.line import Line, Stream
from paasd.logs.logs import Logs
from paasd.logs.reader import Cursor, Read, SpoolReader
from paasd.rate import Bucket

MakeLine = Callable[[Stream, int, bytes], Line]  # (stream, unix time in ns, payload)
_REPORT_PERIOD_S = 1.0


def _stored_cursor(logs: Logs, key: str) -> Cursor:
    """From where to go on; from the beginning if that cannot be read: lines that come twice are not worth a build."""
    try:
        stored = logs.cursor(key)
    except Unavailable as error:
        structlog.get_logger().warning("a spool is taken from its beginning", spool=key, reason=error.detail)
        stored = None
    return Cursor() if stored is None else msgspec.msgpack.decode(stored, type=Cursor)


class SpoolTail:
    """One spool's way into the logs. `key` names its cursor and belongs to this spool alone, for ever."""

    def __init__(
        self, logs: Logs, directory: Path, key: str, make_line: MakeLine, *, limit_bytes_per_s: int = -1
    ) -> None:
        cursor = _stored_cursor(logs, key)
        self._reader = SpoolReader(
            directory,
            cursor,
            line_limit_bytes=logs.config.line_limit_bytes,
            read_bytes=logs.config.spool_read_bytes,
        )
        self._logs = logs
        self._directory = directory
        self._key = key
        self._make_line = make_line
        self._limit = limit_bytes_per_s
        self._bucket: Bucket | None = None
        if limit_bytes_per_s > 0:
            self._bucket = Bucket(limit_bytes_per_s, limit_bytes_per_s, logs.clock())
        self._refusing_since: float | None = None
        self._finished = trio.Event()
        self._scope = trio.CancelScope()

    @property
    def payload_bytes(self) -> int:
        """Output read since this tail was made; its growth is the log rate."""
        return self._reader.payload_bytes

    def finish(self) -> None:
        """Nothing writes there any more: `run` returns when it has stored what there is."""
        self._finished.set()

    async def abandon(self) -> None:
        """The spool must go though it was not read to its end: `run` returns, and the stream says what is missing."""
        self._scope.cancel()
        unread = await trio.to_thread.run_sync(self._reader.unread_bytes)
        if unread:
            text = b"%d bytes of output were not taken before the container was removed" % unread
            line = self._make_line("ERR", int(self._logs.clock() * 1e9), text)
            self._logs.append(msgspec.structs.replace(line, tags={**line.tags, "lost_bytes": str(unread)}))

    async def run(self) -> None:
        """Until `finish` was called and everything is stored, or `abandon` was."""
        with self._scope, self._logs.inotify.watching(self._directory) as handle:
            while True:
                changed = self._logs.inotify.armed(handle)
                finished = self._finished.is_set()  # looked at before reading: what came before it will be found
                found = self._reader.read()
                if found is not None:
                    await self._logs.pace.take(len(found))
                    await self._store(self._lines(found))
                    self._reader.discard_read_segments()
                elif finished:
                    await self._store([*self._lines(self._reader.flush()), *self._refusals(force=True)])
                    return
                else:
                    await self._wait(changed)
                    if self._refusing_since is not None and (lines := self._refusals()):
                        await self._store(lines)

    async def _wait(self, changed: trio.Event) -> None:
        """Until the spool changes, is finished, or the poll period is over."""
        with trio.move_on_after(self._logs.config.spool_poll_s):
            async with trio.open_nursery() as nursery:

                async def finished() -> None:
                    await self._finished.wait()
                    nursery.cancel_scope.cancel()

                nursery.start_soon(finished)
                await changed.wait()
                nursery.cancel_scope.cancel()

    async def _store(self, lines: list[Line]) -> None:
        await self._logs.ingest(lines, self._key, msgspec.msgpack.encode(self._reader.cursor))

    def _lines(self, found: list[Read]) -> list[Line]:
        lines: list[Line] = []
        now = self._logs.clock()
        for read in found:
            if read.lost_bytes:
                lines.append(self._gap(read))
            elif self._limit == 0 or (self._bucket is not None and not self._bucket.take(now, len(read.payload) + 1)):
                self._reader.cursor.refused += 1
                self._refusing_since = now if self._refusing_since is None else self._refusing_since
            else:
                lines.append(self._make_line(read.stream, read.at_ns, read.payload))
        return [*lines, *self._refusals()]

    def _gap(self, read: Read) -> Line:
        text = b"%d bytes of output were lost: they came faster than the log spool was read" % read.lost_bytes
        line = self._make_line("ERR", read.at_ns, text)
        return msgspec.structs.replace(line, tags={**line.tags, "lost_bytes": str(read.lost_bytes)})

    def _refusals(self, *, force: bool = False) -> list[Line]:
        """Tell the stream what the limit refused, at most once a second.

        The count stands in the cursor until then, so a killed daemon does not forget it.
        """
        refused = self._reader.cursor.refused
        now = self._logs.clock()
        since = now if self._refusing_since is None else self._refusing_since
        if not refused or not (force or now - since >= _REPORT_PERIOD_S):
            return []
        self._reader.cursor.refused = 0
        self._refusing_since = None
        at_ns = max(self._reader.cursor.last_ns + 1, int(now * 1e9))
        text = b"app instance exceeded log rate limit (%d bytes/sec): %d lines were dropped" % (self._limit, refused)
        line = self._make_line("ERR", at_ns, text)
        return [msgspec.structs.replace(line, tags={**line.tags, "lost_lines": str(refused)})]
