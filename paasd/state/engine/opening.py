"""`open_database`: state.db with its writer task, its readers and its watch feed."""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random, SystemRandom

import apsw
import trio

from paasd.config import StateConfig
from paasd.state.engine.connection import StateDamaged, open_writer
from paasd.state.engine.database import Database, Schema
from paasd.state.engine.older import Older
from paasd.state.engine.replica import Limits, Replica
from paasd.state.engine.requests import forget_requests_until
from paasd.state.engine.rescuing import Fetch, Rescuer, place_snapshot
from paasd.state.engine.runner import ThreadRunner
from paasd.state.engine.schema import SchemaError, checked_migrations, load_migrations
from paasd.state.engine.snapshots import keep_snapshots
from paasd.state.engine.switching import StartLog, check_log, finish_change
from paasd.state.engine.waiting import WriterLimits
from paasd.state.engine.watch import Feed
from paasd.state.engine.writer import Writer
from paasd.state.guard import exclusive_access
from paasd.state.log import LocalLog, Log, Runner
from paasd.state.log.entries import Migration
from paasd.state.transactions import ReadTx

FILE_NAME = "state.db"


@asynccontextmanager
async def open_database(
    directory: Path,
    config: StateConfig | None = None,
    *,
    log: Log | None = None,
    start: StartLog | None = None,
    fetch: Fetch | None = None,
    migrations: Sequence[Migration] | None = None,
    allowed_schema: Callable[[ReadTx], int] | None = None,
    node: str = "",
    clock: Callable[[], float] = time.time,
    random: Random | None = None,
    runner: Runner | None = None,
    sync: bool = True,
) -> AsyncIterator[Database]:
    """Open `directory`/state.db, replay the log, bring the schema up to date, and write until the block ends.

    `start` begins a shared log, should the last run have ended in the middle of going over to it. `fetch` gives the
    state of another node, for a node that has none yet, a damaged one, or one that the log no longer follows.
    `allowed_schema` is the newest migration that every other node knows, as rows say. `clock` gives unix seconds.
    `sync=False` gives up durability at power loss, for tests. Raises StateDamaged, SchemaError, LogDamaged,
    LogTrimmed; inside the block CommitFailed ends everything: exit and start again.
    """
    config, log = config or StateConfig(), log or LocalLog()
    run = runner or ThreadRunner()
    random = random or SystemRandom()
    steps = load_migrations() if migrations is None else checked_migrations(migrations)
    path = directory / FILE_NAME
    has_state = _prepare(path)
    async with _writing(path, fetch, has_state, external=log.external, sync=sync) as connection:
        older = Older(steps)
        replica = Replica(connection, path, origin=node, limits=_limits(config), older=older)
        replica.open(log.identity, "etcd" if log.external else "local")
        check_log(replica, log)
        log.attach(connection, run)
        await finish_change(replica, run, log, start)
        if replica.schema > len(steps):
            raise SchemaError(f"{path} has schema {replica.schema}, this paasd knows {len(steps)}; upgrade paasd")
        feed = Feed(config.watch_keys)
        writer = Writer(replica, log, run, feed, _writer_limits(config), clock, random)
        database = Database(path, config, replica, writer, feed, random, run, Schema(steps, older, allowed_schema))
        if fetch is not None:
            database.rescue_with(Rescuer(database, fetch))
        await writer.start(steps, database.allowed_schema)
        with _single_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(writer.serve)  # noqa: ASYNC113 - what is asked before it runs is queued
                nursery.start_soon(writer.follow)
                nursery.start_soon(database._barrier.serve)  # noqa: ASYNC113 - as above
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


def _prepare(path: Path) -> bool:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path.exists()


@asynccontextmanager
async def _writing(
    path: Path, fetch: Fetch | None, has_state: bool, *, external: bool, sync: bool
) -> AsyncIterator[apsw.Connection]:
    with exclusive_access(path):
        if fetch is not None and not has_state:
            await place_snapshot(fetch, path)
        try:
            connection = open_writer(path, external=external, sync=sync)
        except StateDamaged:
            if fetch is None:
                raise
            await place_snapshot(fetch, path)
            connection = open_writer(path, external=external, sync=sync)
        try:
            yield connection
        finally:
            connection.close()


def _limits(config: StateConfig) -> Limits:
    return Limits(group_bytes=config.group_bytes, operation_bytes=config.operation_bytes)


def _writer_limits(config: StateConfig) -> WriterLimits:
    return WriterLimits(
        queue=config.queue,
        group=config.group,
        catch_up=config.catch_up_entries,
        retry_s=config.retry_s,
        keep_entries=config.log_entries,
    )
