"""The database as the parts of a node see it: writes, reads, the watch feed, and how fresh all of it is."""

import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple, TypeVar

import apsw
import msgspec
import trio

from paasd.config import StateConfig
from paasd.errors import OutcomeUnknown, Unavailable
from paasd.state.engine.barrier import Barrier
from paasd.state.engine.changes import touched_rows
from paasd.state.engine.charging import charge
from paasd.state.engine.connection import damaged, open_reader
from paasd.state.engine.forwarding import Forwarder, NotTaken, Undelivered
from paasd.state.engine.older import Older
from paasd.state.engine.recent import Recent
from paasd.state.engine.repeating import current_request
from paasd.state.engine.replica import Call, Replica
from paasd.state.engine.standing import LogKind
from paasd.state.engine.switching import StartLog, change_log
from paasd.state.engine.watch import Changes, Feed
from paasd.state.engine.writer import Rescue, Writer
from paasd.state.log import Log, LogTrimmed, LogUnavailable, Runner
from paasd.state.log.entries import Migration, decode_entry
from paasd.state.operations import Operation
from paasd.state.transactions import ReadTx

A = TypeVar("A", bound=msgspec.Struct)
R = TypeVar("R")

FILE_NAME = "state.db"


class Schema(NamedTuple):
    """The migrations of this paasd, how to run without the newest of them, and which of them may be applied."""

    migrations: tuple[Migration, ...]
    older: Older
    allowed: Callable[[ReadTx], int] | None


class Database:
    """The replicated database as the parts of a node see it; made by `open_database`."""

    def __init__(
        self,
        path: Path,
        config: StateConfig,
        replica: Replica,
        writer: Writer,
        feed: Feed,
        random: Random,
        run: Runner,
        schema: Schema,
    ) -> None:
        self.path = path
        self.forwarder: Forwarder | None = None
        """Set while this node has others that may run its operations."""
        self.suspect = False
        """What is here may be wrong and is being replaced by another node's snapshot: doors answer 503."""
        self._config = config
        self._replica = replica
        self._writer = writer
        self._feed = feed
        self._random = random
        self._run = run
        self._barrier = Barrier(self._ask_newest, config.fresh_s)
        self._schema = schema
        self._readers: list[apsw.Connection] = []
        self._shown: dict[apsw.Connection, int] = {}  # every open reader, and the schema that it was opened for

    async def write(
        self,
        operation: Operation[A, R],
        arguments: A,
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> R:
        """Run the operation and return its result after COMMIT. With the same `request_id` again: the stored result.
        Without one it is that of the request that this task works on, if it is `repeatable`.

        What the operation raises reaches the caller, and then nothing was changed. Raises what a `charging` raises,
        Unavailable (nothing was changed), TooLarge, and OutcomeUnknown after `timeout_s` when the log has not answered.
        """
        charge()
        request = None if request_id is not None else current_request()
        repeated_id = None if request is None else request.next_id(operation.name)
        call: Call[R] = Call(
            operation=operation,
            arguments=arguments,
            request_id=request_id or repeated_id or str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
            may_be_repeated=request_id is not None or (request is not None and request.again),
        )
        deadline = trio.current_time() + (self._config.write_timeout_s if timeout_s is None else timeout_s)
        there = self.forwarder.target() if self.forwarder is not None and self._log.external else None
        if self.forwarder is None or there is None:
            return await self._write_here(call, deadline)
        return await self._write_there(self.forwarder, there, call, deadline)

    async def write_here(self, operation: Operation[A, R], arguments: A, *, request_id: str, timeout_s: float) -> R:
        """Run an operation that another node sent: as `write`, but it is not sent on."""
        call: Call[R] = Call(operation=operation, arguments=arguments, request_id=request_id, may_be_repeated=True)
        return await self._write_here(call, trio.current_time() + timeout_s)

    async def _write_there(self, forwarder: Forwarder, there: str, call: Call[R], deadline: float) -> R:
        """Have the node that is hinted at run it; here, if that node cannot. All under the same request id."""
        maybe_done = False
        try:
            answer = await forwarder.run(there, call, deadline - trio.current_time())
        except Undelivered:
            maybe_done = True
        except NotTaken:
            pass
        else:
            with trio.move_on_at(deadline):
                await self._writer.wait_applied(answer.index)
            if self.index < answer.index:
                raise OutcomeUnknown(
                    "the write was carried out and cannot be read on this node yet; ask again with the same request id",
                    call.request_id,
                )
            if answer.error is not None:
                raise answer.error
            return call.operation.result_decoder.decode(answer.result)
        call.may_be_repeated = True
        try:
            return await self._write_here(call, deadline)
        except Unavailable as error:
            if not maybe_done:
                raise
            detail = f"node {there} did not say whether it carried the write out; ask again with the same request id"
            raise OutcomeUnknown(detail, call.request_id) from error

    async def _write_here(self, call: Call[R], deadline: float) -> R:
        waiting = self._writer.put(call)
        try:
            with trio.move_on_at(deadline):
                await waiting.done.wait()
        finally:
            withdrawn = not waiting.done.is_set() and self._writer.withdraw(waiting)
        if withdrawn:
            raise Unavailable("the write waited too long for its turn; nothing was changed, try again")
        if not waiting.done.is_set():
            raise OutcomeUnknown("the log has not answered yet; ask again with the same request id", call.request_id)
        if waiting.failure is not None:
            raise waiting.failure
        if call.error is not None:
            raise call.error
        return call.result  # type: ignore[return-value]

    def read(self) -> "Reading":
        """`with database.read() as tx`: one snapshot, microseconds, inline or in a thread; do not await inside."""
        return Reading(self.path, self._take_reader, self._readers.append)

    @asynccontextmanager
    async def watch(self, *tables: str, after: int | None = None) -> AsyncIterator[Changes]:
        """Wake on changes of these tables (none named: all). The first wait returns at once, with `resync` set.

        With `after` the watcher has seen everything up to that entry and gets what came later; `resync` is set only
        if the log does not reach back so far.
        """
        async with self._feed.subscribe(tables, self.index) as changes:
            if after is not None:
                await self._resume(changes, after)
            yield changes

    async def _resume(self, changes: Changes, after: int) -> None:
        upto = self.index
        seen = []
        try:
            while after < upto:
                for data in await self._log.read(after, self._config.catch_up_entries):
                    entry = decode_entry(data)
                    after = entry.index
                    seen.append(None if entry.kind == "ddl" else touched_rows(entry.payload))
        except (LogTrimmed, LogUnavailable):
            return
        changes.start_from(self.index, seen)

    async def catch_up(self) -> None:
        """Return when every write acknowledged before this call, through any node, can be read here.

        Raises LogUnavailable when the log has no quorum; what is read then is as old as the last contact.
        """
        if self._log.external:
            await self._writer.wait_applied(await self._barrier.newest())

    async def fresh(self, timeout_s: float | None = None) -> bool:
        """As `catch_up`, but False when that takes longer or the log has no quorum. Free while the log is local.

        Raises Unavailable while what is here is being replaced, because it does not fit the log.
        """
        if self.suspect:
            raise Unavailable("this node is loading its state from another one; try again in a moment")
        if not self._log.external:
            return True
        with trio.move_on_after(self._config.fresh_s if timeout_s is None else timeout_s):
            try:
                await self.catch_up()
            except LogUnavailable:
                return False
            return True
        return False

    @property
    def stale_s(self) -> float:
        """Seconds since this node last knew that it had everything; 0 while the log is local."""
        return self._barrier.age_s if self._log.external else 0.0

    async def newest(self) -> int:
        """Index of the newest entry that was acknowledged before this call. Raises LogUnavailable."""
        return await self._barrier.newest() if self._log.external else self.index

    async def _ask_newest(self) -> int:
        return await self._log.newest()

    async def entries(self, after: int, limit: int) -> Sequence[bytes]:
        """What follows entry `after`, for nodes that follow this one. Raises LogTrimmed, LogUnavailable."""
        return self.recent(after, limit) or await self._log.read(after, limit)

    def recent(self, after: int, limit: int) -> Sequence[bytes]:
        """As `entries`, but only what this node kept in memory; none if the next one is not there."""
        if self._writer.recent is None:
            self._writer.recent = Recent()
        return self._writer.recent.read(after, limit)

    async def wait_beyond(self, index: int) -> None:
        """Return when an entry after this one can be read here."""
        while self.index <= index:
            await self._writer.moved.wait()

    async def trim(self, before: int) -> None:
        """Drop entries of a shared log below `before`. Raises LogUnavailable. Writes and news wait for none of it: an
        answer that is lost takes its time.
        """
        await self._log.trim(before)

    async def use_log(self, log: Log, kind: LogKind, *, start: StartLog | None = None) -> None:
        """Go over to another log while writes go on: from the local one to a shared one, which `start` begins with the
        newest entry of this database; or between two ways to the same shared log. None of the writes is refused.
        """
        await change_log(self._writer, self._replica, self._run, log, kind, start)

    async def load(self, snapshot: Path) -> None:
        """Put the state.db of a snapshot in place of what is here, between two groups of writes."""
        await self._writer.between(partial(self.load_now, snapshot))

    async def load_now(self, snapshot: Path) -> None:
        """As `load`, inside the writer's task: for a rescue."""
        await self._run(self._replica.load, snapshot)
        self._log.attach(self._replica.connection, self._run)
        self._writer.moved_at_once()

    def rescue_with(self, rescue: Rescue | None) -> None:
        """What to do when the log and this database no longer fit together; without it the node stops."""
        self._writer.rescue = rescue

    @property
    def log(self) -> Log:
        """The log as it is now; it may be another one after an await."""
        return self._writer.log

    @property
    def _log(self) -> Log:
        return self._writer.log

    @property
    def index(self) -> int:
        """The newest entry that can be read here."""
        return self._replica.index

    @property
    def schema(self) -> int:
        """Number of the newest migration that is applied."""
        return self._replica.schema

    @property
    def log_identity(self) -> str:
        return self._replica.identity

    @property
    def conflicts(self) -> int:
        """How often a group of writes had to run again because another node was first."""
        return self._writer.conflicts

    def _take_reader(self) -> apsw.Connection:
        while True:
            try:
                reader = self._readers.pop()
            except IndexError:  # asked for it could be there still: threads read, too
                break
            if self._shown.get(reader) == self._replica.schema:
                return reader
            self._drop_reader(reader)
        if len(self._shown) >= self._config.readers:
            raise RuntimeError(f"{len(self._shown)} reads are open at once: something awaits inside database.read()")
        reader = open_reader(self.path)
        schema = self._shown[reader] = self._replica.schema
        if schema < self._schema.older.limit:
            reader.execute("PRAGMA query_only=OFF").fetchall()  # the file itself is open for reading only
            self._schema.older.shadow(reader, schema)
            reader.execute("PRAGMA query_only=ON").fetchall()
        return reader

    def _drop_reader(self, reader: apsw.Connection) -> None:
        del self._shown[reader]
        reader.close()

    def allowed_schema(self) -> int:
        """Number of the newest migration that every live node knows."""
        if self._schema.allowed is None or self._replica.schema == 0:
            return self._schema.older.limit
        with self.read() as tx:
            return min(self._schema.allowed(tx), self._schema.older.limit)

    async def advance_schema(self) -> None:
        """Bring the schema up to date as far as every live node can follow. Raises LogUnavailable."""
        if self._replica.schema < self.allowed_schema():
            await self._writer.between(partial(self._writer.migrate, self._schema.migrations, self.allowed_schema))

    def _close_readers(self) -> None:
        while self._readers:
            self._drop_reader(self._readers.pop())


class Reading:
    """The block of one read."""

    __slots__ = ("_connection", "_give_back", "_path", "_take", "_tx")

    def __init__(
        self, path: Path, take: Callable[[], apsw.Connection], give_back: Callable[[apsw.Connection], None]
    ) -> None:
        self._path = path
        self._take = take
        self._give_back = give_back

    def __enter__(self) -> ReadTx:
        self._connection = self._take()
        self._connection.execute("BEGIN")
        self._tx = ReadTx(self._connection)
        return self._tx

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._tx.close()
        self._connection.execute("ROLLBACK")
        self._give_back(self._connection)
        if isinstance(error, apsw.CorruptError):
            raise damaged(self._path, str(error)) from error
