"""The one task that changes a database: groups what is queued, has the log order it, applies what others wrote.

A refused group is rolled back, what came between is applied, and the group runs again. An append without an answer is
sent again, the same bytes to the same index, until the log says which it was: nothing else can tell. What must happen
between two groups (another log, a snapshot put in place, a migration) is an errand: `between` runs it in this task.
"""

import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, TypeVar

import apsw
import trio

from paasd.errors import OutcomeUnknown, PaasdError, Unavailable
from paasd.state.engine.connection import StateDamaged
from paasd.state.engine.recent import Recent
from paasd.state.engine.replica import Applied, Call, Prepared, Replica
from paasd.state.engine.waiting import Errand, Waiting, WriterLimits
from paasd.state.engine.watch import Feed
from paasd.state.log import Log, LogTrimmed, LogUnavailable, NoAnswer, OtherLog, Refused, Runner
from paasd.state.log.entries import LogDamaged, Migration, decode_entry

R = TypeVar("R")
Rescue = Callable[[PaasdError], Awaitable[None]]
"""Makes the database whole again after LogTrimmed, LogDamaged or StateDamaged; called in the writer's task."""

AllowedSchema = Callable[[], int]
"""Number of the newest migration that every live node knows."""


class CommitFailed(Exception):
    """The log accepted an entry that could not be committed here: the process has to exit and replay the log."""


class Writer:
    """Owns the replica. Nobody else touches it while `serve` runs."""

    def __init__(
        self,
        replica: Replica,
        log: Log,
        run: Runner,
        feed: Feed,
        limits: WriterLimits,
        clock: Callable[[], float],
        random: Random,
    ) -> None:
        self._replica = replica
        self._log = log
        self._run = run
        self._feed = feed
        self._limits = limits
        self._clock = clock
        self._random = random
        self._queue: deque[Waiting] = deque()
        self._started: list[Waiting] = []
        self._errands: deque[Errand] = deque()
        self._wake = trio.Event()
        self._behind = False
        self._known = 0  # an entry of this index is known to exist
        self._moved = trio.Event()
        self._looked = trio.Event()
        self._waiting_for_log = trio.CancelScope()
        self._trimmed = 0
        self.rescue: Rescue | None = None
        self.recent: Recent | None = None
        self.conflicts = 0
        self.resent = 0

    @property
    def log(self) -> Log:
        return self._log

    def put(self, call: Call[Any]) -> Waiting:
        """Queue a call. Raises Unavailable when the queue is full."""
        if len(self._queue) >= self._limits.queue:
            raise Unavailable("too many writes are waiting; nothing was changed, try again in a moment")
        waiting = Waiting(call=call)
        self._queue.append(waiting)
        self._wake.set()
        return waiting

    def withdraw(self, waiting: Waiting) -> bool:
        """Take a call back that has not begun; False when it has."""
        if waiting.started:
            return False
        self._queue.remove(waiting)
        return True

    async def wait_applied(self, index: int) -> None:
        """Return when the database has this entry, which exists, and all before it."""
        self._known = max(self._known, index)
        while self._replica.index < index:
            self._behind = True
            self._wake.set()
            await self._moved.wait()

    @property
    def moved(self) -> trio.Event:
        """Set at the next entry."""
        return self._moved

    async def between(self, function: Callable[[], Awaitable[R]]) -> R:
        """Run it between two groups of writes, when no transaction is open. Raises what it raises as PaasdError."""
        errand = Errand(function=function)
        self._errands.append(errand)
        self._wake.set()
        await errand.done.wait()
        if errand.failure is not None:
            raise errand.failure
        return errand.result  # type: ignore[no-any-return]

    def replace_log(self, log: Log) -> None:
        """Use another log from now on; an append under way goes on there. Only for one with the same entries."""
        self._log = log
        self._waiting_for_log.cancel()

    async def serve(self) -> None:
        """Work until cancelled. Raises CommitFailed, and what only a snapshot can heal when there is no `rescue`:
        LogDamaged, StateDamaged, LogTrimmed.
        """
        try:
            while True:
                if not (self._queue or self._behind or self._errands):
                    await self._wake.wait()
                self._wake = trio.Event()
                try:
                    await self._turn()
                except (LogTrimmed, LogDamaged, OtherLog, StateDamaged) as error:
                    if self.rescue is None:
                        raise
                    self._put_back(self._started)
                    await self.rescue(error)
        finally:
            self._close()

    async def _turn(self) -> None:
        while self._errands:
            await self._run_errand(self._errands.popleft())
        if self._behind:
            self._behind = False
            await self._catch_up_or_wait()
        await self._write_group()
        await self._trim()

    async def _run_errand(self, errand: Errand) -> None:
        try:
            errand.result = await errand.function()
        except PaasdError as error:
            errand.failure = error
        except BaseException:
            errand.failure = Unavailable("paasd is stopping")
            raise
        finally:
            errand.done.set()

    async def follow(self) -> None:
        """Wake the writer whenever others have appended."""
        while True:
            with trio.CancelScope() as self._waiting_for_log:
                await self._log.wait_newer(self._replica.index)
                looked = self._looked
                self._behind = True
                self._wake.set()
                await looked.wait()

    async def catch_up(self) -> None:
        """Apply everything that the log has now. Raises LogUnavailable, LogTrimmed, LogDamaged, StateDamaged."""
        newest = await self._log.newest()
        if newest < self._replica.index:
            raise CommitFailed(f"the log ends at {newest}, before entry {self._replica.index} of this database")
        await self._apply_until(newest)

    async def _apply_until(self, newest: int) -> None:
        """Apply at least this far, which exists. Raises LogUnavailable when the log cannot give it now."""
        while self._replica.index < newest:
            entries = await self._log.read(self._replica.index, self._limits.catch_up)
            if not entries:
                raise LogUnavailable(f"entry {newest} exists and cannot be had now")
            await self._apply(entries)

    async def start(self, migrations: tuple[Migration, ...], allowed: AllowedSchema) -> None:
        """Catch up and bring the schema up to date, as far as it may be. Only before `serve`.

        Without quorum a node that has a schema starts all the same and catches up later.
        """
        try:
            await self.catch_up()
            await self.migrate(migrations, allowed)
        except (LogTrimmed, LogDamaged, OtherLog, StateDamaged) as error:
            if self.rescue is None:
                raise
            await self.rescue(error)
        except LogUnavailable:
            if self._replica.schema == 0:
                raise
            self._behind = True

    async def migrate(self, migrations: tuple[Migration, ...], allowed: AllowedSchema) -> None:
        """Append the migrations that are missing here and that every node knows. In the writer's task, or before it."""
        while self._replica.schema < min(len(migrations), allowed()):
            migration = migrations[self._replica.schema]
            prepared = await self._run(self._prepare_migration, migration)
            await self._settle(prepared)

    async def _catch_up_or_wait(self) -> None:
        """Apply what there is. It does not ask for the newest: who has to know that does so itself."""
        try:
            while entries := await self._log.read(self._replica.index, self._limits.catch_up):
                await self._apply(entries)
            await self._apply_until(self._known)
        except OtherLog:
            if self.rescue is not None:
                raise
            await trio.sleep(1.0)
        except Unavailable:  # the log cannot be reached, or the disk is full
            await trio.sleep(self._backoff(10))
            self._behind = True
            self._wake.set()
        finally:
            self._looked.set()
            self._looked = trio.Event()

    async def _write_group(self) -> None:
        group = [self._queue.popleft() for _ in range(min(len(self._queue), self._limits.group))]
        if not group:
            return
        self._started = group
        for waiting in group:
            waiting.started = True
        try:
            finished = await self._write([waiting.call for waiting in group])
        except (Unavailable, apsw.IOError) as error:
            if isinstance(error, OtherLog) and self.rescue is not None:
                raise
            failure = error if isinstance(error, PaasdError) else Unavailable(f"the disk failed: {error}; see dmesg")
            for waiting in group:
                waiting.fail(failure)
        else:
            for waiting in group[:finished]:
                waiting.done.set()
            self._put_back(group[finished:])
        self._started = []

    def _put_back(self, group: list[Waiting]) -> None:
        self._started = []
        for waiting in reversed(group):
            waiting.started = False
            self._queue.appendleft(waiting)

    async def _write(self, calls: list[Call[Any]]) -> int:
        """Write the first of the calls, as many as fit; how many that were."""
        tries = 0
        while True:
            if not self._log.external:
                return await self._write_alone(calls)
            prepared = await self._run(self._prepare, calls)
            if prepared.data is None:
                # Nothing changed, so this was a read: it counts only if nothing came between.
                index = self._replica.index
                await self.catch_up()
                if self._replica.index == index:
                    return len(prepared.calls)
            elif await self._settle(prepared):
                return len(prepared.calls)
            tries += 1
            self.conflicts += 1
            if tries > 2:
                await trio.sleep(self._backoff(tries))

    async def _write_alone(self, calls: list[Call[Any]]) -> int:
        """Nobody can come between: all of it in one visit to the thread."""
        prepared, applied = await self._run(self._prepare_and_commit, calls)
        if applied is not None:
            assert prepared.data is not None
            self.publish(applied, prepared.data)
        return len(prepared.calls)

    def _prepare_and_commit(self, calls: list[Call[Any]]) -> tuple[Prepared, Applied | None]:
        prepared = self._prepare(calls)
        if prepared.data is None:
            return prepared, None
        try:
            return prepared, self._replica.commit(prepared)
        except BaseException:
            self._replica.rollback()
            raise

    def _prepare(self, calls: list[Call[Any]]) -> Prepared:
        prepared = self._replica.prepare(calls, self._clock(), self._random.getrandbits)
        return self._staged(prepared)

    def _prepare_migration(self, migration: Migration) -> Prepared:
        return self._staged(self._replica.prepare_migration(migration, f"{self._random.getrandbits(128):032x}"))

    def _staged(self, prepared: Prepared) -> Prepared:
        if prepared.data is not None:
            try:
                self._log.stage(prepared.index, prepared.data)
            except BaseException:
                self._replica.rollback()
                raise
        return prepared

    async def _settle(self, prepared: Prepared) -> bool:
        """Have the open transaction ordered, and commit it or roll it back. False: others were first."""
        try:
            refused = await self._append(prepared)
        except BaseException:
            with trio.CancelScope(shield=True):
                await self._run(self._replica.rollback)
            raise
        if refused is None:
            with trio.CancelScope(shield=True):
                await self._commit(prepared)
            return True
        with trio.CancelScope(shield=True):
            await self._run(self._replica.rollback)
        if refused.entries and decode_entry(refused.entries[0]).index == prepared.index:
            await self._apply(refused.entries)
        else:  # the log was trimmed past us, or told us nothing
            await self.catch_up()
        return False

    async def _append(self, prepared: Prepared) -> Refused | None:
        assert prepared.data is not None
        unknown, tries = False, 0
        while True:
            try:
                refused = await self._log.append(prepared.index, prepared.data)
            except NoAnswer:
                unknown = True
            except LogUnavailable as error:
                if not unknown or isinstance(error, OtherLog):  # the log that could have it is no more
                    raise
            else:
                ours = refused is not None and refused.entries[:1] == (prepared.data,)
                return None if ours else refused
            tries += 1
            self.resent += 1
            await trio.sleep(self._backoff(tries))

    async def _commit(self, prepared: Prepared) -> None:
        try:
            applied = await self._run(self._replica.commit, prepared)
        except (PaasdError, apsw.Error) as error:
            if self._log.external:
                raise CommitFailed(f"entry {prepared.index} is in the log and not in the database: {error}") from error
            await self._run(self._replica.rollback)
            raise
        assert prepared.data is not None
        self.publish(applied, prepared.data)

    async def _apply(self, entries: Sequence[bytes]) -> None:
        for applied, data in zip(await self._run(self._replica.apply, entries), entries, strict=True):
            self.publish(applied, data)

    def publish(self, applied: Applied, data: bytes) -> None:
        """Tell everybody of an entry that can be read now."""
        if self.recent is not None:
            self.recent.add(applied.index, data)
        self._feed.publish(applied.index, applied.touched)
        self._moved.set()
        self._moved = trio.Event()

    def moved_at_once(self) -> None:
        """A snapshot took the place of the database: whoever watches reads everything anew."""
        if self.recent is not None:
            self.recent.clear()
        self._feed.publish(self._replica.index, None)
        self._moved.set()
        self._moved = trio.Event()

    async def _trim(self) -> None:
        """Bound a log that only this database uses; a shared one is trimmed when every node has a snapshot."""
        before = self._replica.index - self._limits.keep_entries
        if not self._log.external and before - self._trimmed > self._limits.keep_entries // 10:
            try:
                await self._log.trim(before)
            except (apsw.FullError, apsw.IOError):
                return  # deleting takes space too; the next write tries again
            self._trimmed = before

    def _backoff(self, tries: int) -> float:
        return self._random.random() * min(self._limits.retry_s * math.pow(2, min(tries, 10)), 1.0)

    def _close(self) -> None:
        for waiting in self._started:
            detail = "paasd stopped while the write was under way; ask again with the same request id"
            waiting.fail(OutcomeUnknown(detail, waiting.call.request_id))
        for waiting in self._queue:
            waiting.fail(Unavailable("paasd is stopping; nothing was changed"))
        for errand in self._errands:
            errand.failure = Unavailable("paasd is stopping")
            errand.done.set()
        self._queue.clear()
        self._errands.clear()
