"""Shortens the log that several nodes share: what every live node has applied, and a snapshot here covers, may go."""

from collections.abc import Callable, Mapping
from typing import Final

import structlog
import trio

from paasd.config import StateConfig
from paasd.errors import PaasdError
from paasd.state.engine import Database, list_snapshots, take_snapshot
from paasd.state.engine.snapshots import FOLDER, read_manifest
from paasd.state.log import FeedLog, Runner

Progress = Callable[[], Mapping[str, int | None]]
"""The newest entry that each live node has applied; None for a node that did not say."""

_SHARE: Final = 10  # of what is kept; less than that is not worth a trim


def trim_point(newest: int, snapshot: int, applied: Mapping[str, int | None], *, keep: int, away: int) -> int:
    """Entries below this may go.

    The last `keep` stay for those who resume, and what a live node does not have yet, up to `away` entries: who is
    further behind loads a snapshot. Nothing goes that the snapshot does not cover, or nobody could join.
    """
    behind = min((index or 0 for index in applied.values()), default=newest)
    return min(max(min(behind + 1, newest - keep), newest - away), snapshot + 1)


class Trimmer:
    """Runs on every node that votes; the one that writes for all does the work."""

    def __init__(
        self,
        database: Database,
        config: StateConfig,
        hint: Callable[[], str | None],
        own_guid: str,
        progress: Progress,
        run: Runner,
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._config = config
        self._hint = hint
        self._own_guid = own_guid
        self._progress = progress
        self._run = run
        self._clock = clock
        self._trimmed = 0
        self._log = structlog.get_logger("paasd.state")

    async def trim_until(self) -> None:
        """Every `trim_interval_s`, until cancelled."""
        while True:
            await trio.sleep(self._config.trim_interval_s)
            try:
                await self.trim()
            except (PaasdError, OSError) as error:  # no quorum, or a full disk: the next round will do
                self._log.warning("the log was not shortened", reason=str(error))

    async def trim(self) -> None:
        """Shorten the log if this node is the one to do it and it is worth it."""
        database, keep = self._database, self._config.log_entries
        log = database.log
        if not log.external or isinstance(log, FeedLog) or self._hint() not in (None, self._own_guid):
            return
        newest = database.index
        if newest - self._trimmed < keep + keep // _SHARE:
            return
        before = trim_point(newest, await self._snapshot(), self._progress(), keep=keep, away=self._config.away_entries)
        if before - self._trimmed >= max(keep // _SHARE, 1):
            await database.trim(before)
            self._trimmed = before
            self._log.info("shortened the log", first=before, newest=newest)

    async def _snapshot(self) -> int:
        """Entry of a snapshot that is on disk and new enough; made if there is none."""
        folder = self._database.path.parent / FOLDER
        for newest in (await self._run(list_snapshots, folder))[-1:]:
            manifest = await self._run(read_manifest, newest)
            fresh = manifest.position >= self._database.index - self._config.log_entries
            if fresh and manifest.log_identity == self._database.log_identity:
                return manifest.position
        return (await self._run(take_snapshot, self._database.path, folder, self._clock())).position
