"""Tidies up once in a while: rows past their time, then the blobs that no row refers to any more."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

import structlog
import trio

from paasd.blobs import Blobs
from paasd.config import RetentionConfig
from paasd.containment import contained
from paasd.errors import OutcomeUnknown, PaasdError, Unavailable
from paasd.model import App
from paasd.model.arguments import Arguments, rfc3339
from paasd.model.layers import ExpireLayers, expire_layers
from paasd.model.retention import (
    ExpireParts,
    ExpireRecords,
    expire_parts,
    expire_records,
    referenced_blobs,
)
from paasd.model.tasks import ExpireTasks, expire_tasks
from paasd.model.usage_events import ExpireUsage, expire_usage
from paasd.scheduler.sight import HOUSEKEEPING, Acts, always
from paasd.state import Database, Operation

A = TypeVar("A", bound=Arguments)
log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_housekeeping(
    config: RetentionConfig,
    database: Database,
    blobs: Blobs,
    also_referenced: Callable[[], Iterable[str]],
    clock: Callable[[], float],
    acts: Acts = always,
) -> AsyncIterator[None]:
    """Tidy once a period while open. `also_referenced` names blobs that this node needs without a row.

    Rows are everybody's, so one node tidies them, as `acts` says; blobs are each node's own.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_keep_house, config, database, blobs, also_referenced, clock, acts)
        yield
        nursery.cancel_scope.cancel()


async def _keep_house(
    config: RetentionConfig,
    database: Database,
    blobs: Blobs,
    also_referenced: Callable[[], Iterable[str]],
    clock: Callable[[], float],
    acts: Acts,
) -> None:
    async def look() -> None:
        try:
            await tidy(config, database, blobs, also_referenced, clock, acts)
        except PaasdError as error:
            log.warning("tidying is put off", reason=error.detail)

    while True:
        await contained("tidying", look)
        await trio.sleep(config.period_s)


async def tidy(
    config: RetentionConfig,
    database: Database,
    blobs: Blobs,
    also_referenced: Callable[[], Iterable[str]],
    clock: Callable[[], float],
    acts: Acts = always,
) -> None:
    """One round. Blobs go a day (`[blobs] collect_after_s`) after the last round that found them referenced.

    Raises Unavailable on a node that is cut off from the log: what its rows say of blobs is old.
    """
    rows = await _expire(config, database, clock) if acts(HOUSEKEEPING) else 0
    if not await database.fresh():
        raise Unavailable("blobs are not looked through while this node does not hear of changes")
    with database.read() as tx:
        referenced = referenced_blobs(tx)
    collected = await blobs.collect(referenced | set(also_referenced()))
    if rows or collected:
        log.info("tidied", rows=rows, blobs=len(collected))


async def _expire(config: RetentionConfig, database: Database, clock: Callable[[], float]) -> int:
    with database.read() as tx:
        apps = [app.guid for app in tx.all(App)]
    rows = 0
    for guid in apps:
        limits = ExpireParts(
            app_guid=guid,
            packages=config.packages,
            droplets=config.droplets,
            builds=config.builds,
            revisions=config.revisions,
        )
        rows += await _all_portions(database, expire_parts, limits)
    now_s = clock()
    records = ExpireRecords(jobs_before=rfc3339(now_s - config.jobs_s), events_before=rfc3339(now_s - config.events_s))
    rows += await _all_portions(database, expire_records, records)
    rows += await _all_portions(database, expire_layers, ExpireLayers())
    rows += await _all_portions(database, expire_usage, ExpireUsage(before=rfc3339(now_s - config.usage_events_s)))
    return rows + await _all_portions(database, expire_tasks, ExpireTasks(before=rfc3339(now_s - config.tasks_s)))


async def _all_portions(database: Database, expire: Operation[A, int], arguments: A) -> int:
    """How many rows went. What cannot be forgotten holds up nothing else: it is logged, and tried in the next round."""
    rows = 0
    try:
        while gone := await database.write(expire, arguments):
            rows += gone
    except (Unavailable, OutcomeUnknown):
        raise
    except PaasdError as error:
        log.error("rows past their time stay", kind=type(arguments).__name__, reason=error.detail)
    return rows
