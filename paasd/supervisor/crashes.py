"""Carries crashes into the platform's events, at most once per app and minute: a crash loop must not flood the log."""

from collections.abc import Callable
from functools import partial
from math import inf

import msgspec
import structlog
import trio

from paasd.containment import contained
from paasd.errors import PaasdError, Unavailable
from paasd.model.instances import RecordCrash, record_crash
from paasd.state import Database


class CrashReports:
    """`report` is immediate; `run` writes. What the database cannot take now is tried again after `interval_s`."""

    def __init__(self, database: Database, interval_s: float, clock: Callable[[], float]) -> None:
        self._database = database
        self._interval_s = interval_s
        self._clock = clock
        self._waiting: dict[str, RecordCrash] = {}
        self._written_at: dict[str, float] = {}
        self._changed = trio.Event()

    def report(self, app_guid: str, crash: RecordCrash) -> None:
        """Note a crash; `crash.count` adds up with those of the app that were not written yet."""
        earlier = self._waiting.get(app_guid)
        if earlier is not None:
            crash = msgspec.structs.replace(crash, count=crash.count + earlier.count)
        self._waiting[app_guid] = crash
        self._changed.set()

    async def run(self) -> None:
        while True:
            with trio.move_on_at(trio.current_time() + max(0.0, self._due_in_s())):
                await self._changed.wait()
            self._changed = trio.Event()
            for app_guid in self._due():
                crash = self._waiting.pop(app_guid)
                self._written_at[app_guid] = self._clock()
                await contained("record of a crash", partial(self._record, app_guid, crash), app=app_guid)
            old = self._clock() - self._interval_s
            self._written_at = {app: at for app, at in self._written_at.items() if at > old}

    async def _record(self, app_guid: str, crash: RecordCrash) -> None:
        try:
            await self._database.write(record_crash, crash)
        except PaasdError as error:
            structlog.get_logger().warning("crash not recorded", app=app_guid, error=error.detail)
            if isinstance(error, Unavailable):
                self._put_back(app_guid, crash)

    def _put_back(self, app_guid: str, crash: RecordCrash) -> None:
        """For the next turn, unless a newer one waits already: that one then counts for both."""
        newest = self._waiting.get(app_guid)
        total = crash.count + (newest.count if newest is not None else 0)
        self._waiting[app_guid] = msgspec.structs.replace(newest or crash, count=total)

    def _due(self) -> list[str]:
        now = self._clock()
        return [app for app in self._waiting if now >= self._written_at.get(app, -inf) + self._interval_s]

    def _due_in_s(self) -> float:
        now = self._clock()
        return min((self._written_at.get(app, -inf) + self._interval_s - now for app in self._waiting), default=inf)
