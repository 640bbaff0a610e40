"""`open_database`: state.db with its writer task, its readers and its watch feed."""

import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random, SystemRandom
from typing import TypeVar

import apsw
import msgspec
import trio

from paasd.config import StateConfig
from paasd.errors import OutcomeUnknown, Unavailable
from paasd.state.engine.changes import touched_rows
from paasd.state.engine.connection import damaged, open_reader, open_writer
from paasd.state.engine.replica import Call, Limits, Replica
from paasd.state.engine.requests import forget_requests_until
from paasd.state.engine.runner import ThreadRunner
from paasd.state.engine.schema import SchemaError, checked_migrations, load_migrations
from paasd.state.engine.snapshots import keep_snapshots
from paasd.state.engine.watch import Changes, Feed
from paasd.state.engine.writer import Writer, WriterLimits
from paasd.state.guard import exclusive_access
from paasd.state.log import LocalLog, Log, LogTrimmed, LogUnavailable, Runner
from paasd.state.log.entries import Migration, decode_entry
from paasd.state.operations import Operation
from paasd.state.transactions import ReadTx

A = TypeVar("A", bound=msgspec.Struct)
R = TypeVar("R")

FILE_NAME = "state.db"


class Database:
    """The replicated database as the parts of a node see it; made by `open_database`."""

    def __init__(
        self, path: Path, config: StateConfig, replica: Replica, writer: Writer, log: Log, feed: Feed, random: Random
    ) -> None:
        self.path = path
        self._config = config
        self._replica = replica
        self._writer = writer
        self._log = log
        self._feed = feed
        self._random = random
        self._readers: list[apsw.Connection] = []
        self._reader_count = 0

    async def write(
        self,
        operation: Operation[A, R],
        arguments: A,
        *,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> R:
        """Run the operation and return its result after COMMIT. With the same `request_id` again: the stored result.

        What the operation raises reaches the caller, and then nothing was changed. Raises Unavailable (nothing was
        changed), TooLarge, and OutcomeUnknown after `timeout_s` when the log has not answered.
        """
        call: Call[R] = Call(
            operation=operation,
            arguments=arguments,
            request_id=request_id or str(uuid.UUID(int=self._random.getrandbits(128), version=4)),
            may_be_repeated=request_id is not None,
        )
        waiting = self._writer.put(call)
        try:
            with trio.move_on_after(self._config.write_timeout_s if timeout_s is None else timeout_s):
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
        """`with database.read() as tx`: one snapshot, microseconds, inline; do not await inside."""
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
        await self._writer.wait_applied(await self._log.newest())

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
        if self._readers:
            return self._readers.pop()
        if self._reader_count >= self._config.readers:
            raise RuntimeError(f"{self._reader_count} reads are open at once: something awaits inside database.read()")
        self._reader_count += 1
        return open_reader(self.path)

    def _close_readers(self) -> None:
        for reader in self._readers:
            reader.close()
        self._readers.clear()


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


@asynccontextmanager
async def open_database(
    directory: Path,
    config: StateConfig | None = None,
    *,
    log: Log | None = None,
    migrations: Sequence[Migration] | None = None,
    node: str = "",
    clock: Callable[[], float] = time.time,
    random: Random | None = None,
    runner: Runner | None = None,
    sync: bool = True,
) -> AsyncIterator[Database]:
    """Open `directory`/state.db, replay the log, bring the schema up to date, and write until the block ends.

    `clock` gives unix seconds. `sync=False` gives up durability at power loss, for tests. Raises StateDamaged,
    SchemaError, LogDamaged, LogTrimmed; inside the block CommitFailed ends everything: exit and start again.
    """
    config = config or StateConfig()
    log = log or LocalLog()
    run = runner or ThreadRunner()
    random = random or SystemRandom()
    steps = load_migrations() if migrations is None else checked_migrations(migrations)
    path = directory / FILE_NAME
    async with _writing(path, external=log.external, sync=sync) as connection:
        limits = Limits(group_bytes=config.group_bytes, operation_bytes=config.operation_bytes)
        replica = Replica(connection, path, origin=node, limits=limits)
        replica.open(log.identity)
        log.attach(connection, run)
        if replica.schema > len(steps):
            raise SchemaError(f"{path} has schema {replica.schema}, this paasd knows {len(steps)}; upgrade paasd")
        feed = Feed(config.watch_keys)
        writer = Writer(replica, log, run, feed, _writer_limits(config), clock, random)
        await writer.migrate(steps)
        database = Database(path, config, replica, writer, log, feed, random)
        with _single_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(writer.serve)  # noqa: ASYNC113 - what is asked before it runs is queued
                nursery.start_soon(writer.follow)
                nursery.start_soon(forget_requests_until, database, config.request_memory_s, clock)
                if config.snapshot_interval_s:
                    copier = runner or ThreadRunner()  # a copy must not hold up the writer's thread
                    nursery.start_soon(
                        keep_snapshots, path, config.snapshot_interval_s, config.snapshots, clock, copier
                    )
                try:
                    yield database
                finally:
                    nursery.cancel_scope.cancel()
                    database._close_readers()


@contextmanager
def _single_error() -> Iterator[None]:
    """What a block raises leaves it as it is; a group comes out only if several things failed."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        alone = group.exceptions[0]
        raise alone from alone.__cause__


@asynccontextmanager
async def _writing(path: Path, *, external: bool, sync: bool) -> AsyncIterator[apsw.Connection]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with exclusive_access(path):
        connection = open_writer(path, external=external, sync=sync)
        try:
            yield connection
        finally:
            connection.close()


def _writer_limits(config: StateConfig) -> WriterLimits:
    return WriterLimits(
        queue=config.queue,
        group=config.group,
        catch_up=config.catch_up_entries,
        retry_s=config.retry_s,
        keep_entries=config.log_entries,
    )
